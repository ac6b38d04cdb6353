"""Precisions of a bundle's weights; this module needs only the standard library."""

from __future__ import annotations

from typing import Literal, get_args

# float32; float16; int8 weights with per-channel scales, float16 for embeddings and the VAE; the
# same with most of the weights in int4 with per-group scales. From the largest to the smallest.
Precision = Literal["f32", "f16", "w8a16", "w4a16"]
DTYPES: tuple[Precision, ...] = get_args(Precision)
