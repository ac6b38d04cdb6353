"""How far the browser's results may be from PyTorch's.

Relative errors are the norm of the difference over the norm of what is expected. PSNR is of 8-bit
pictures, in dB. ``wsd parity``, the tests and the self-test page (``web/src/diagnostics``) all
take their limits from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Largest relative error of one stage with weights rounded as the bundle stores them. A stage of
# full size adds up thousands of products.
STAGE_TOLERANCE: Final = 2e-3
# Largest relative error of the latents after 20 steps, weights rounded alike; latents_tolerance has
# the limit of fewer steps.
LATENTS_TOLERANCE: Final = 1e-3
# Least PSNR of a picture to the reference's with weights rounded alike.
PICTURE_PSNR: Final = 40.0
# Least PSNR of a picture to the reference's with float32 weights, by the bundle's precision.
ROUNDING_PSNR: Final[Mapping[str, float]] = {
    "f32": 40.0, "f16": 35.0, "w8a16": 30.0, "w4a16": 24.0,
}  # fmt: skip
# Largest relative error of one stage in the self-test, by the bundle's precision. The fixtures come
# from float32 weights, so that rounding the weights is part of the error.
SELF_TEST_TOLERANCE: Final[Mapping[str, float]] = {
    "f32": 1e-3, "f16": 1e-2, "w8a16": 1e-1, "w4a16": 3e-1,
}  # fmt: skip
# Largest difference of a safety checker's score, weights rounded alike; its decisions are equal.
# Scores are rounded to three digits: those on both sides of a half differ by a whole digit, which
# as a float32 may be a little more than 1e-3.
SAFETY_TOLERANCE: Final = 1.001e-3
# Most that the measured peak of GPU memory may be, as a multiple of the planned one.
PEAK_MEMORY_MARGIN: Final = 1.1


def latents_tolerance(weight: float) -> float:
    """Return the largest relative error of the latents after the last step, weights rounded alike.

    Each prediction of the denoiser has an error of its own, and each error shows in the final
    latents with a weight: that of the prediction in its step, times what later steps leave of it
    (:func:`wsd.evaluate.error_growth.weigh_predictions`). With 20 steps the errors together have a
    weight of about 0.8, and ``LATENTS_TOLERANCE`` holds. The fewer the steps, the more of the
    latents comes from one prediction, and the limit grows with the weight.

    Args:
        weight: norm of the weights of all predictions' errors, at least 0.

    Returns:
        Norm of the difference over the norm of what is expected.
    """
    return LATENTS_TOLERANCE * max(1.0, weight)
