"""These tests compile nothing: the bundle that they share has a library that was only traced."""

from traced import library, refuse_to_compile

__all__ = ["library", "refuse_to_compile"]
