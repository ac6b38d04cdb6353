"""Blend latents with those of a picture by a mask: what a drawing keeps of the picture."""

from __future__ import annotations

from tvm import te

from wsd.compiler.tvm_compat import tir


def masked_blend(
    latents: te.Tensor,
    image_latents: te.Tensor,
    noise: te.Tensor,
    mask: te.Tensor,
    coefficients: te.Tensor,
) -> te.Tensor:
    """Keep latents where a mask is 1, and take a picture's where it is 0.

    diffusers' inpainting pipelines do so after each step, with the picture's latents as noisy as
    the others.

    Args:
        latents: (1, channels, height, width) float32.
        image_latents: of the picture, without noise; of the same shape.
        noise: of the same shape.
        mask: (1, 1, height, width), from 0 to 1.
        coefficients: (2,), the factors of the picture's latents and of the noise.

    Returns:
        ``(1 - mask) * (c0 * image_latents + c1 * noise) + mask * latents``.
    """

    def element(n: tir.Var, c: tir.Var, y: tir.Var, x: tir.Var) -> tir.PrimExpr:
        at = (n, c, y, x)
        noised = coefficients[0] * image_latents(*at) + coefficients[1] * noise(*at)
        share = mask[n, 0, y, x]
        return (1.0 - share) * noised + share * latents(*at)

    return te.compute(latents.shape, element, name="masked_blend")
