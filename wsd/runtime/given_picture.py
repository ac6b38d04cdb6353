"""A picture that is given to draw from, and which part of it is drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wsd.errors import UsageError

# Values of a mask from which on a pixel is drawn anew, as diffusers' VaeImageProcessor rounds it.
MASKED_FROM: Final = 128


@dataclass(frozen=True)
class GivenPicture:
    """A picture in the size that is drawn; nothing resizes it.

    Attributes:
        image: (height, width, 3) uint8, red, green and blue.
        strength: share of the steps that are run, above 0 and up to 1. The fewer, the more of the
            picture is left; with 1 next to nothing of it is.
        mask: (height, width) uint8: pixels from :data:`MASKED_FROM` on are drawn anew, the others
            are kept. None draws all of them anew.
    """

    image: np.ndarray
    strength: float
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse shapes, types and strengths that no pipeline takes."""
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise UsageError(
                f"a picture of shape {list(self.image.shape)} and type {self.image.dtype}",
                "it must be (height, width, 3), of bytes",
            )
        if not 0 < self.strength <= 1:
            raise UsageError(
                f"strength is {self.strength}", "it must be above 0, and no more than 1"
            )
        if self.mask is None:
            return
        if self.mask.shape != self.image.shape[:2] or self.mask.dtype != np.uint8:
            raise UsageError(
                f"a mask of shape {list(self.mask.shape)} and type {self.mask.dtype}, of a picture "
                f"of {self.size[0]}x{self.size[1]}",
                "it must be (height, width), of bytes, as large as the picture",
            )
        if not (self.mask >= MASKED_FROM).any():
            raise UsageError(
                "the mask is black all over, so that nothing would be drawn",
                "what is to be drawn anew is white in a mask",
            )

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        height, width = self.image.shape[:2]
        return width, height

    def count_steps(self, steps: int) -> int:
        """Return how many of some steps are run, as diffusers' ``get_timesteps`` counts.

        Raises:
            UsageError: if none is.
        """
        run = min(int(steps * self.strength), steps)
        if run < 1:
            raise UsageError(
                f"a strength of {self.strength:g} runs none of {steps} steps",
                f"take a strength of at least {1 / steps:.2g}, or more steps",
            )
        return run
