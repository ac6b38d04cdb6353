"""Pack the VAE decoder's image into the bytes of a canvas, and unpack bytes for the encoder."""

from __future__ import annotations

from tvm import te

from wsd.compiler.tvm_compat import tir


def image_to_rgba(image: te.Tensor) -> te.Tensor:
    """Pack an image into canvas pixels.

    Args:
        image: (1, 3, height, width) float32, nominally -1 to 1.

    Returns:
        (height, width) int32, each value the four bytes R, G, B, 255 in memory
        order. Values are rounded as in diffusers' ``VaeImageProcessor``:
        ``round(clamp(x / 2 + 0.5) * 255)``.
    """

    def channel(index: int, y: tir.Var, x: tir.Var) -> tir.PrimExpr:
        value = image[0, index, y, x] * 0.5 + 0.5
        unit = te.max(te.min(value, 1.0), 0.0)
        return te.floor(unit * 255.0 + 0.5).astype("int32")

    return te.compute(
        image.shape[2:],
        lambda y, x: (
            channel(0, y, x)
            | (channel(1, y, x) << 8)
            | (channel(2, y, x) << 16)
            | tir.const(-(1 << 24), "int32")
        ),
        name="image_to_rgba",
    )


def rgba_to_image(rgba: te.Tensor) -> te.Tensor:
    """Unpack a canvas' pixels to an image.

    Args:
        rgba: (height, width) int32, each value the four bytes R, G, B, A in memory order. The
            alpha is not read: who has transparent pixels puts them on a background before.

    Returns:
        (1, 3, height, width) float32, -1 to 1, as diffusers' ``VaeImageProcessor`` computes it:
        ``2 * (byte / 255) - 1``.
    """
    height, width = rgba.shape

    def value(_: tir.Var, channel: tir.Var, y: tir.Var, x: tir.Var) -> tir.PrimExpr:
        byte = (rgba[y, x] >> (channel * 8)) & 255
        return byte.astype("float32") / 255.0 * 2.0 - 1.0

    return te.compute((1, 3, height, width), value, name="rgba_to_image")
