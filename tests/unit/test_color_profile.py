"""Colour profiles that pictures embed: converted as their numbers say, and as browsers do."""

import logging

import numpy as np
import pytest
from PIL import Image, ImageCms

from color_profiles import (
    ADOBE_GAMMA,
    ADOBE_PRIMARIES,
    ADOBE_RGB,
    BROKEN,
    DISPLAY_P3,
    LINEAR,
    LINEAR_GREY,
    NEARLY_SRGB,
    P3_PRIMARIES,
    SRGB_PRIMARIES,
    primaries_to_xyz,
)
from wsd.errors import UsageError
from wsd.runtime.given_picture import read_given_picture


def decode_srgb(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode_srgb(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


PROFILES = {
    "adobe": (ADOBE_RGB, ADOBE_PRIMARIES, lambda values: values**ADOBE_GAMMA),
    "p3": (DISPLAY_P3, P3_PRIMARIES, decode_srgb),
    "linear": (LINEAR, SRGB_PRIMARIES, lambda values: values),
}


def convert(image, primaries, decode):
    """Return (…, 3) uint8 colours of a space in sRGB, by the formulas (IEC 61966-2-1)."""
    matrix = np.linalg.inv(primaries_to_xyz(SRGB_PRIMARIES)) @ primaries_to_xyz(primaries)
    light = decode(image / 255) @ matrix.T
    return (255 * encode_srgb(light)).round().astype(int)


def make_picture(size=(53, 31)):
    small = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def read(path, image, profile, **options):
    image.save(path, icc_profile=profile, **options)
    return read_given_picture(path).image.astype(int)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_colours_become_those_of_srgb(tmp_path, caplog, name, kind):
    profile, *space = PROFILES[name]
    image = make_picture()
    options = {"lossless": True} if kind == "webp" else {}
    found = read(tmp_path / f"image.{kind}", Image.fromarray(image), profile, **options)
    expected = convert(image, *space)
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found - image).max() > 50
    assert not caplog.records


def test_grey_pictures_of_either_kind_of_profile_are_converted(tmp_path):
    grey = Image.fromarray(make_picture()).convert("L")
    values = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    expected = convert(values, SRGB_PRIMARIES, lambda given: given)
    for profile in (LINEAR, LINEAR_GREY):
        found = read(tmp_path / "grey.png", grey, profile)
        assert np.abs(found - expected).max() <= 1
        layers = grey.copy()
        layers.putalpha(Image.linear_gradient("L").resize(grey.size))
        share = np.asarray(layers)[..., 1:] / 255
        found = read(tmp_path / "layers.png", layers, profile)
        assert np.abs(found - (expected * share + 255 * (1 - share))).max() <= 2


def test_palettes_and_transparent_pictures_are_converted(tmp_path):
    image = Image.fromarray(make_picture())
    few = image.quantize(32)
    expected = convert(np.asarray(few.convert("RGB")), *PROFILES["p3"][1:])
    assert np.abs(read(tmp_path / "few.png", few, DISPLAY_P3) - expected).max() <= 1
    layers = image.copy()
    layers.putalpha(Image.linear_gradient("L").resize(image.size))
    share = np.asarray(layers)[..., 3:] / 255
    expected = convert(np.asarray(image), *PROFILES["p3"][1:]) * share + 255 * (1 - share)
    assert np.abs(read(tmp_path / "layers.png", layers, DISPLAY_P3) - expected).max() <= 2


def test_a_mask_is_converted_as_a_picture(tmp_path):
    """A grey of 60 is dark as a number, and bright as light."""
    Image.new("RGB", (16, 16), "red").save(tmp_path / "image.png")
    mask = Image.fromarray(np.array([[20, 60]], np.uint8).repeat(8, axis=1).repeat(16, axis=0))
    mask.save(tmp_path / "mask.png")
    with pytest.raises(UsageError, match="the mask is black all over"):
        read_given_picture(tmp_path / "image.png", tmp_path / "mask.png")
    mask.save(tmp_path / "mask.png", icc_profile=LINEAR_GREY)
    found = read_given_picture(tmp_path / "image.png", tmp_path / "mask.png").mask
    assert (found[:, 8:] >= 128).all()
    assert (found[:, :8] < 128).all()


def test_srgb_itself_changes_no_byte(tmp_path, caplog):
    image = make_picture()
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, NEARLY_SRGB, None):
        found = read(tmp_path / "image.png", Image.fromarray(image), profile)
        np.testing.assert_array_equal(found, image)
    assert not caplog.records


@pytest.mark.parametrize(
    "profile", [BROKEN, b"no profile", LINEAR_GREY], ids=["cut", "text", "grey"]
)
def test_a_profile_that_cannot_be_used_is_said_and_left_out(tmp_path, caplog, profile):
    image = make_picture()
    path = tmp_path / "image.png"
    with caplog.at_level(logging.WARNING, logger="wsd"):
        found = read(path, Image.fromarray(image), profile)
    np.testing.assert_array_equal(found, image)
    [message] = caplog.messages
    start = f"{path}: its colour profile cannot be used, so its colours are taken as sRGB: "
    assert message.startswith(start)
    assert len(message) > len(start)


def test_a_profile_holds_of_a_picture_that_is_turned(tmp_path):
    image = make_picture()
    exif = Image.Exif()
    exif[274] = 6  # the orientation: turned by a quarter
    found = read(tmp_path / "image.png", Image.fromarray(image), ADOBE_RGB, exif=exif)
    expected = convert(np.rot90(image, -1), *PROFILES["adobe"][1:])
    assert np.abs(found - expected).max() <= 1
