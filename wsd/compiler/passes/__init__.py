"""Relax passes of our own, one file a pass."""
