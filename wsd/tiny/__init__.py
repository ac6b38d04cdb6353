"""The small models that ship with WSD, and the programs that make them."""
