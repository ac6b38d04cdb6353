"""Brings pictures from the colour profile that they embed to sRGB, as browsers do."""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image, ImageCms

_LOG = logging.getLogger(__name__)

# Modes of pictures that a profile of grey is for.
_GREY = ("1", "L", "LA")
# Values of each channel of the colours with which a profile is tried.
_TRIED = np.linspace(0, 255, 9).round().astype(np.uint8)


def to_srgb(picture: Image.Image, name: str) -> Image.Image:
    """Return a picture in sRGB, of mode RGB, or RGBA if some of it may be transparent.

    A profile that cannot be used is logged, and the colours are taken as sRGB, as browsers take
    them.

    Args:
        picture: of 8 bits, grey or of red, green and blue; its ``info`` has the profile.
        name: of the picture, for the note.
    """
    plain = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    profile = picture.info.get("icc_profile")
    if not profile:
        return plain
    try:
        converted = _convert(picture, profile)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        _LOG.warning(
            "%s: its colour profile cannot be used, so its colours are taken as sRGB: %s",
            name, error,
        )  # fmt: skip
        return plain
    if plain.mode == "RGBA":
        converted.putalpha(plain.getchannel("A"))
    return converted


def _convert(picture: Image.Image, profile: bytes) -> Image.Image:
    """Return a picture's colours, of mode RGB, converted from a profile to sRGB.

    Raises:
        PyCMSError, OSError: if the profile cannot be read, or is of other colours than the
            picture's.
    """
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    is_grey = own.profile.xcolor_space.strip() == "GRAY" and picture.mode in _GREY
    mode = "L" if is_grey else "RGB"
    transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")
    colours = picture.convert(mode)
    if _changes_nothing(transform, mode):
        return colours.convert("RGB")
    return _apply(transform, colours)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Tell whether a profile is that of sRGB but for rounding, which browsers recognise too."""
    channels = np.meshgrid(*[_TRIED] * len(mode))
    tried = Image.merge(mode, [Image.fromarray(channel.reshape(1, -1)) for channel in channels])
    before = np.asarray(tried.convert("RGB"), np.int16)
    return bool(np.abs(np.asarray(_apply(transform, tried)) - before).max() <= 1)


def _apply(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(picture, transform)
    if converted is None:
        # It is None only where the picture itself is changed.
        raise ValueError("the transform gives no picture")
    return converted
