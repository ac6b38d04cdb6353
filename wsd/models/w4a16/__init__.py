"""Which layers keep 8 bits under ``w4a16``, by the class of their component, as data."""
