"""Pictures of another size are fitted by the commands as by the page and by diffusers."""

import base64
import logging

import numpy as np
import pytest
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from wsd.errors import UsageError
from wsd.runtime import picture_fit
from wsd.runtime.given_picture import MASKED_FROM, GivenPicture
from wsd.runtime.picture_fit import describe_fit, fit_mask, fit_picture, nearest_size
from wsd.spec.picture import FITS

PROCESSOR = VaeImageProcessor(vae_scale_factor=8)
# How diffusers calls them; it has no word for the page's `crop`.
MODES = {"cover": "crop", "contain": "fill", "stretch": "default"}
# Wider, taller, larger, smaller, one pixel longer, odd, and of single rows and columns.
GIVEN = [
    (97, 61), (61, 97), (64, 64), (40, 30), (200, 50), (31, 150), (128, 64), (65, 64), (64, 47),
    (640, 480), (1, 90), (90, 1), (1, 1), (63, 1), (2, 300),
]  # fmt: skip
DRAWN = [(64, 64), (64, 48), (32, 64)]


def make_picture(size, seed=0):
    """Return (height, width, 3) bytes of smooth colours with some noise."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (5, 5, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize(size))
    return np.clip(smooth + random.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8)


def make_mask(size):
    """Return (height, width) bytes whose left half is white, with some grey."""
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2 + 1] = 255
    mask[height // 2 :, -1:] = 140
    return mask


def on_page(javascript, image, drawn, fit, mask=None):
    """Return what the page makes of a picture and a mask."""

    def encode(array):
        return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()

    height, width = image.shape[:2]
    rgba = np.dstack([image, np.full((height, width), 255, np.uint8)])
    request = {
        "call": "prepare", "data": encode(rgba), "size": [width, height], "drawn": drawn,
        "mask": None if mask is None else encode(mask), "outpaint": None, "options": {"fit": fit},
        "result": None,
    }  # fmt: skip
    found = javascript({"call": "picture", "request": request})

    def decode(name, *shape):
        return np.frombuffer(base64.b64decode(found[name]), np.uint8).reshape(*drawn[::-1], *shape)

    return decode("pixels", 4)[..., :3], None if mask is None else decode("mask")


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("drawn", DRAWN)
def test_the_page_fits_the_same_bytes(javascript, fit, drawn):
    for size in GIVEN:
        image, mask = make_picture(size), make_mask(size)
        expected, expected_mask = on_page(javascript, image, drawn, fit, mask)
        fitted, fitted_mask = fit_picture(image, drawn, fit), fit_mask(mask, drawn, fit)
        np.testing.assert_array_equal(fitted, expected, err_msg=str(size))
        np.testing.assert_array_equal(fitted_mask, expected_mask, err_msg=str(size))


@pytest.mark.parametrize(("fit", "mode"), MODES.items())
@pytest.mark.parametrize("drawn", DRAWN)
def test_diffusers_fits_the_same_bytes(fit, mode, drawn):
    width, height = drawn
    for size in GIVEN:
        fitting = describe_fit(size, drawn, fit)
        if min(size[0] * height // size[1], size[1] * width // size[0]) < 1 and fit == "contain":
            # diffusers scales it to a height or a width of 0, which Pillow refuses; a row stays.
            assert 1 in fitting.scaled
            continue
        image, mask = make_picture(size), make_mask(size)
        expected = PROCESSOR.resize(Image.fromarray(image), height, width, resize_mode=mode)
        expected_mask = PROCESSOR.resize(Image.fromarray(mask), height, width, resize_mode=mode)
        left, top, right, bottom = fitting.covered
        inside = np.s_[top:bottom, left:right]
        fitted, fitted_mask = fit_picture(image, drawn, fit), fit_mask(mask, drawn, fit)
        assert fitted.shape == (height, width, 3)
        np.testing.assert_array_equal(fitted[inside], np.asarray(expected)[inside])
        np.testing.assert_array_equal(
            fitted_mask[inside], np.asarray(expected_mask.convert("L"))[inside]
        )
        if fit != "contain":
            assert fitting.covered == (0, 0, *drawn)
        # Beyond the picture its edges go on, and nothing is masked.
        outside = np.ones(fitted_mask.shape, bool)
        outside[inside] = False
        assert not fitted_mask[outside].any()
        rows = np.clip(np.arange(height), top, bottom - 1)
        columns = np.clip(np.arange(width), left, right - 1)
        np.testing.assert_array_equal(fitted, fitted[rows][:, columns])


def test_a_cropped_picture_keeps_its_pixels():
    image = make_picture((97, 70))
    np.testing.assert_array_equal(fit_picture(image, (64, 48), "crop"), image[11:59, 16:80])


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_the_drawn_size_stays(fit, caplog):
    picture = GivenPicture(make_picture((64, 48)), 0.5, make_mask((64, 48)), fit)
    assert picture.fit_to((64, 48)) is picture
    assert not caplog.records


def test_a_part_that_is_scaled_alone_is_that_of_the_whole(monkeypatch):
    for size in ((40, 30), (3, 47), (200, 5), (1, 90), (90, 1), (1, 1), (2, 300), (30, 40)):
        image = make_picture(size)
        whole = fit_picture(image, (64, 48), "cover").astype(int)
        with monkeypatch.context() as patch:
            patch.setattr(picture_fit, "_SCALED_WHOLE", 0)
            part = fit_picture(image, (64, 48), "cover")
        assert np.abs(part - whole).max() <= 1, size


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16384, 1), (2, 16384)])
def test_a_thin_picture_takes_no_gigabytes(javascript, size):
    """Scaled as a whole, it would have four million times 256 pixels."""
    image = make_picture(size)
    expected, _ = on_page(javascript, image, (256, 256), "cover")
    fitted = fit_picture(image, (256, 256), "cover")
    assert np.abs(fitted.astype(int) - expected).max() <= 1
    assert fitted.std() > 0


@pytest.mark.parametrize(
    ("size", "fit", "done"),
    [
        ((60, 30), "cover",
         "from 60x30 to 16x16 by cover: scaled to 32x16, and its middle is kept"),
        ((60, 30), "contain",
         "from 60x30 to 16x16 by contain: scaled to 16x8, and its edges fill what is left"),
        ((60, 30), "crop", "from 60x30 to 16x16 by crop: not scaled, and its middle is kept"),
        ((60, 30), "stretch", "from 60x30 to 16x16 by stretch: scaled to 16x16"),
        ((8, 8), "cover", "from 8x8 to 16x16 by cover: scaled to 16x16"),
    ],
)  # fmt: skip
def test_what_is_done_is_said(caplog, size, fit, done):
    picture = GivenPicture(make_picture(size), 0.3, make_mask(size), fit)
    with caplog.at_level(logging.WARNING, logger="wsd"):
        fitted = picture.fit_to((16, 16))
    assert caplog.messages == [f"the picture is fitted: {done}"]
    assert (fitted.size, fitted.strength, fitted.fit) == ((16, 16), 0.3, fit)
    np.testing.assert_array_equal(fitted.image, fit_picture(picture.image, (16, 16), fit))
    np.testing.assert_array_equal(fitted.mask, fit_mask(picture.mask, (16, 16), fit))


def test_a_mask_of_which_nothing_is_left_is_refused(caplog):
    mask = np.zeros((200, 200), np.uint8)
    mask[3, 3] = 255
    image = make_picture((200, 200))
    with pytest.raises(UsageError, match="nothing of the mask is left at 16x16"):
        GivenPicture(image, 1.0, mask).fit_to((16, 16))
    assert not caplog.records
    # The middle of the picture alone is drawn, and the mask is beside it.
    mask[:, :40] = 255
    with pytest.raises(UsageError, match="nothing of the mask is left at 16x16"):
        GivenPicture(image, 1.0, mask, "crop").fit_to((16, 16))
    assert (GivenPicture(image, 1.0, mask).fit_to((16, 16)).mask >= MASKED_FROM).any()


def test_a_fit_of_another_name_is_refused():
    with pytest.raises(UsageError, match="fit is 'tight'"):
        GivenPicture(make_picture((16, 16)), 0.5, fit="tight")


@pytest.mark.slow
def test_the_page_chooses_the_same_size(javascript):
    """Of sizes at random, and of sizes as near as one another, of which the first is taken."""
    random = np.random.default_rng(0)
    cases = [
        ((600, 400), [(512, 512), (768, 512), (512, 768)], (768, 512)),
        ((512, 512), [(768, 768), (512, 512)], (512, 512)),
        ((64, 64), [(32, 32), (128, 128)], (32, 32)),
        ((64, 64), [(128, 128), (32, 32)], (128, 128)),
        ((64, 64), [(64, 32), (32, 64)], (64, 32)),
        ((64, 64), [(32, 64), (64, 32)], (32, 64)),
        ((3000, 2000), [(384, 256), (1024, 1024), (768, 512)], (768, 512)),
        ((1, 16384), [(512, 512), (512, 768)], (512, 768)),
    ]
    for _ in range(200):
        sizes = (8 * random.integers(1, 9, (random.integers(1, 6), 2))).tolist()
        cases.append((tuple(random.integers(1, 80, 2).tolist()), list(map(tuple, sizes)), None))
    for given, sizes, expected in cases:
        chosen = nearest_size(given, sizes)
        request = {"call": "nearest_size", "size": given, "sizes": sizes}
        assert list(chosen) == javascript({"call": "picture", "request": request}), (given, sizes)
        assert expected in (None, chosen)
