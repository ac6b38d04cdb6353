"""A picture that is given to draw from, and which part of it is drawn anew."""

from __future__ import annotations

import logging
import math
import struct
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from wsd.errors import UsageError
from wsd.models.schedulers import NoiseKind
from wsd.runtime.color_profile import to_srgb
from wsd.runtime.picture_fit import describe_fit, fit_mask, fit_picture
from wsd.runtime.request import GenerationRequest
from wsd.spec.picture import DEFAULT_FIT, FITS, LONGEST_SIDE, MOST_PIXELS, Fit
from wsd.spec.tensor import Size

_LOG = logging.getLogger(__name__)

# Values of a mask from which on a pixel is drawn anew, as diffusers' VaeImageProcessor rounds it.
MASKED_FROM: Final = 128
# Where nobody says it, as in diffusers' pipelines of SD 1.5: without a mask, and with one. Those of
# SDXL have 0.3 and 0.9999.
DEFAULT_STRENGTH: Final = 0.8
DEFAULT_MASKED_STRENGTH: Final = 1.0

# How a file may store its pixels. Others hold more than 8 bits, or colours that two programs turn
# into red, green and blue by different rules.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
# Formats that are tried. Others of Pillow's run programs, such as Ghostscript, or hold no picture
# that a browser shows.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")
# What Pillow raises for damaged files. It documents OSError and SyntaxError; its AVIF decoder
# raises RuntimeError, and damaged numbers in a header or in EXIF end in the others.
_DAMAGED = (
    OSError, SyntaxError, ValueError, RuntimeError, EOFError, LookupError, TypeError, struct.error,
)  # fmt: skip
_TOO_LARGE = (
    f"a side has at most {LONGEST_SIDE} pixels, and a picture {MOST_PIXELS}; make it smaller, "
    "because no model draws more than some thousand pixels a side"
)
_READABLE = "give a PNG, JPEG or WebP file of 8 bits with red, green and blue, such as a screenshot"


@dataclass(frozen=True)
class GivenPicture:
    """A picture to draw from, as it was given, or in the size that is drawn.

    Attributes:
        image: (height, width, 3) uint8, red, green and blue in sRGB.
        strength: share of the steps that are run, above 0 and up to 1. The fewer, the more of the
            picture is left; with 1 next to nothing of it is.
        mask: (height, width) uint8: pixels from :data:`MASKED_FROM` on are drawn anew, the others
            are kept. None draws all of them anew.
        fit: how it is brought to the size that is drawn, one of :data:`wsd.spec.picture.FITS`.
    """

    image: np.ndarray
    strength: float
    mask: np.ndarray | None = None
    fit: Fit = DEFAULT_FIT

    def __post_init__(self) -> None:
        """Refuse shapes, types, strengths and ways to fit that no pipeline takes."""
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise UsageError(
                f"a picture of shape {list(self.image.shape)} and type {self.image.dtype}",
                "it must be (height, width, 3), of bytes",
            )
        if not 0 < self.strength <= 1:
            raise UsageError(
                f"strength is {self.strength}", "it must be above 0, and no more than 1"
            )
        if self.fit not in FITS:
            raise UsageError(f"fit is {self.fit!r}", f"it must be one of: {', '.join(FITS)}")
        if self.mask is None:
            return
        if self.mask.shape != self.image.shape[:2] or self.mask.dtype != np.uint8:
            kind = "" if self.mask.dtype == np.uint8 else f" and type {self.mask.dtype}"
            raise UsageError(
                f"a mask of {'x'.join(map(str, self.mask.shape[::-1]))} pixels{kind}, of a picture "
                f"of {self.size[0]}x{self.size[1]}",
                "give a mask of the picture's own width and height, of one byte a pixel",
            )
        if not (self.mask >= MASKED_FROM).any():
            raise UsageError(
                "the mask is black all over, so that nothing would be drawn",
                "what is to be drawn anew is white in a mask",
            )

    @property
    def size(self) -> Size:
        """Return (width, height) in pixels."""
        height, width = self.image.shape[:2]
        return width, height

    def count_steps(self, steps: int, kind: NoiseKind = "discrete") -> int:
        """Return how many of some steps are run, as diffusers' ``get_timesteps`` counts.

        Args:
            steps: of the whole schedule.
            kind: of the model's noise schedule. diffusers rounds the steps that are run down; in
                its pipelines of flow matching, those that are left out.

        Raises:
            UsageError: if none is.
        """
        run = min(steps * self.strength, steps)
        run = steps - int(steps - run) if kind == "flow" else int(run)
        if run < 1:
            raise UsageError(
                f"a strength of {self.strength:g} runs none of {steps} steps",
                f"take a strength of at least {math.ceil(1000 / steps) / 1000:g}, or more steps",
            )
        return run

    def fit_to(self, size: Size) -> GivenPicture:
        """Return the picture and its mask in a size, fitted as :attr:`fit` says.

        What is done to a picture of another size is logged, as a note for whoever draws.

        Args:
            size: (width, height) that are drawn.

        Raises:
            UsageError: if no pixel of the mask is left in that size.
        """
        if size == self.size:
            return self
        mask = None if self.mask is None else fit_mask(self.mask, size, self.fit)
        if mask is not None and not (mask >= MASKED_FROM).any():
            raise UsageError(
                f"nothing of the mask is left at {size[0]}x{size[1]}",
                "mask a larger part, or fit the picture in another way",
            )
        _LOG.warning(
            "the picture is fitted: %s", describe_fit(self.size, size, self.fit).describe()
        )
        return replace(self, image=fit_picture(self.image, size, self.fit), mask=mask)

    def require_size(self, request: GenerationRequest) -> GenerationRequest:
        """Return a request in the picture's size.

        Raises:
            UsageError: if it is for another size.
        """
        if request.size not in (None, self.size):
            sizes = ["x".join(map(str, size)) for size in (self.size, request.size or ())]
            raise UsageError(
                f"a picture of {sizes[0]} is given, and {sizes[1]} is to be drawn",
                "fit the picture to that size before: GivenPicture.fit_to",
            )
        return replace(request, size=self.size)


def read_given_picture(
    image: Path, mask: Path | None = None, strength: float | None = None, fit: Fit = DEFAULT_FIT
) -> GivenPicture:
    """Read a picture and a mask from files.

    They are turned as their EXIF orientation says, and converted to sRGB from the colour profile
    that they embed. Transparent pixels of the picture lie on white, those of the mask on black.

    Args:
        image: the picture's file.
        mask: the mask's file, if a part alone is drawn anew.
        strength: as :attr:`GivenPicture.strength`; the default of diffusers unless given.
        fit: as :attr:`GivenPicture.fit`.

    Raises:
        UsageError: for a file that cannot be read, is animated or too large, or has colours that
            are not red, green and blue; for what no pipeline takes.
    """
    if strength is None:
        strength = DEFAULT_STRENGTH if mask is None else DEFAULT_MASKED_STRENGTH
    return GivenPicture(
        np.asarray(_read(image, "white").convert("RGB")),
        strength,
        None if mask is None else np.asarray(_read(mask, "black").convert("L")),
        fit,
    )


def _read(path: Path, background: str) -> Image.Image:
    """Return a file's picture without transparency, turned the right way up."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures, which are refused below by their edges, and of
            # damage, which ends in an error or in a picture.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as opened:
                _check_header(path, opened)
                layer = to_srgb(ImageOps.exif_transpose(opened), str(path))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", "name a picture that is there") from None
    except Image.DecompressionBombError:
        raise UsageError(f"{path} has too many pixels", _TOO_LARGE) from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, no picture", "name a file in it") from None
    except UnidentifiedImageError:
        # Pillow's message has only the path.
        is_empty = path.stat().st_size == 0
        reason = "it is empty" if is_empty else "its bytes are of no format that is taken"
        raise UsageError(f"{path} is no picture that can be read: {reason}", _READABLE) from None
    except _DAMAGED as error:
        raise UsageError(f"{path} is no picture that can be read: {error}", _READABLE) from error
    if layer.mode == "RGB":
        return layer
    return Image.alpha_composite(Image.new("RGBA", layer.size, background), layer)


def _check_header(path: Path, opened: Image.Image) -> None:
    """Refuse a picture before its pixels are decoded.

    Raises:
        UsageError: if it is too large or animated, or of colours that are not taken.
    """
    width, height = opened.size
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise UsageError(f"{path} has {width}x{height} pixels, which is too large", _TOO_LARGE)
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        raise UsageError(f"{path} has {frames} pictures", "save one of them to a file of its own")
    if opened.mode not in _MODES:
        raise UsageError(f"{path} stores its pixels as {opened.mode}", _READABLE)
