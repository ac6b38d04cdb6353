"""A model family of an architecture of its own, added from outside ``wsd/``."""
