"""These tests compile nothing: the bundle that they share has a library that was only traced."""

from reattested import small
from traced import bundle, library, manifest, refuse_to_compile

__all__ = ["bundle", "library", "manifest", "refuse_to_compile", "small"]
