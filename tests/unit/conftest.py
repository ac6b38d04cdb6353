"""These tests compile nothing: the bundle that they share has a library that was only traced."""

from traced import library

__all__ = ["library"]
