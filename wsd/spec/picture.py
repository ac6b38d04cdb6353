"""Pictures that are given: how they are fitted, and how large they may be, in both languages."""

from __future__ import annotations

from typing import Final, Literal, get_args

# How a picture is brought to the size that is drawn: scaled until it covers that size, and what
# hangs over is cut off; scaled until it fits in, and its edges fill what is left; its middle,
# scaled only if it is too small; each side scaled by itself.
Fit = Literal["cover", "contain", "crop", "stretch"]
FITS: Final[tuple[Fit, ...]] = get_args(Fit)
DEFAULT_FIT: Final[Fit] = "cover"

# The longest side of a picture that is read, in pixels; the memory for more is more than a page
# gets.
LONGEST_SIDE: Final = 16384
# The most pixels of a picture that is read: 512 MiB of colours.
MOST_PIXELS: Final = 2**27
