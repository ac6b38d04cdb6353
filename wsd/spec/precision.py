"""Precisions of a bundle's weights; the standard library is all that this needs."""

# float32; halves; bytes with scales, and halves where those would show.
DTYPES = ("f32", "f16", "w8a16")
