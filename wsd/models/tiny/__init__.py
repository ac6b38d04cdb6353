"""The small models that WSD trains and ships, on the code path of the large ones."""
