"""Damaged picture files are read or refused: nothing else happens, whatever Pillow raises."""

import numpy as np
import pytest
from PIL import Image

from color_profiles import ADOBE_RGB, DISPLAY_P3, LINEAR_GREY
from wsd.errors import UsageError
from wsd.runtime.given_picture import read_given_picture

FORMATS = ("png", "jpg", "webp", "avif", "gif", "bmp")
ORIENTATION = 0x0112
COUNT = 60


def write_good(path):
    """Write a picture that is stored on its side, as cameras do."""
    colors = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {} if path.suffix in (".gif", ".bmp") else {"exif": exif}
    Image.fromarray(colors).save(path, **options)


def damage(data, draw):
    """Return a file with some bytes changed, and sometimes with its end cut off."""
    changed = bytearray(data)
    for at in draw.integers(0, len(data), draw.integers(1, 12)):
        changed[at] = draw.integers(256)
    return bytes(changed[: draw.integers(1, len(data) + 1)] if draw.random() < 0.2 else changed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_each_is_read_or_refused(tmp_path, kind):
    good = tmp_path / f"good.{kind}"
    write_good(good)
    assert read_given_picture(good).size in ((24, 40), (40, 24))
    draw = np.random.default_rng(FORMATS.index(kind))
    path = tmp_path / f"bad.{kind}"
    refused = 0
    for _ in range(COUNT):
        path.write_bytes(damage(good.read_bytes(), draw))
        try:
            read_given_picture(path)
        except UsageError as error:
            assert str(path) in str(error)
            assert error.hint
            refused += 1
    assert refused > 0


@pytest.mark.slow
def test_a_damaged_profile_is_followed_or_left_out(tmp_path):
    """Anybody may have written it: the picture is read all the same."""
    draw = np.random.default_rng(7)
    colors = draw.integers(0, 256, (24, 40, 3), np.uint8)
    path = tmp_path / "profile.png"
    for profile, mode in ((ADOBE_RGB, "RGB"), (DISPLAY_P3, "RGB"), (LINEAR_GREY, "L")):
        for _ in range(COUNT):
            picture = Image.fromarray(colors).convert(mode)
            picture.save(path, icc_profile=damage(profile, draw))
            assert read_given_picture(path).image.shape == colors.shape


def test_only_formats_that_browsers_show_are_opened(tmp_path):
    """Pillow would hand PostScript to Ghostscript."""
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(UsageError, match="is no picture that can be read"):
        read_given_picture(path)
