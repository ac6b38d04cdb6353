"""What the page does with given pictures, against Pillow, diffusers and torch."""

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageFilter

# As the pipelines' image_processor and mask_processor.
IMAGES = VaeImageProcessor(vae_scale_factor=8)
MASKS = VaeImageProcessor(
    vae_scale_factor=8, do_normalize=False, do_binarize=True, do_convert_grayscale=True
)
# Width and height of a picture, and those that are drawn.
SIZES = [
    ((97, 61), (64, 64)), ((61, 97), (64, 48)), ((64, 64), (64, 64)), ((40, 30), (96, 64)),
    ((200, 50), (64, 64)), ((3, 150), (32, 64)), ((128, 64), (64, 32)), ((65, 64), (64, 64)),
]  # fmt: skip


def encode(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def decode(text, size, channels=1):
    width, height = size
    flat = np.frombuffer(base64.b64decode(text), np.uint8)
    return flat.reshape(height, width) if channels == 1 else flat.reshape(height, width, channels)


def make_picture(size, seed=0):
    """Return opaque RGBA bytes of smooth colours with some noise."""
    width, height = size
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (5, 5, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height)))
    noisy = np.clip(smooth + random.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8)
    return np.dstack([noisy, np.full((height, width), 255, np.uint8)])


def make_mask(size, box):
    mask = np.zeros(size[::-1], np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 255
    return mask


def ask(javascript, call, **values: Any):
    return javascript({"call": "picture", "request": {"call": call, **values}})


def prepare(javascript, picture, drawn, mask=None, outpaint=None, result=None, **options):
    height, width = picture.shape[:2]
    return ask(
        javascript, "prepare", data=encode(picture), size=[width, height], drawn=drawn,
        mask=None if mask is None else encode(mask), outpaint=outpaint, options=options,
        result=None if result is None else encode(result),
    )  # fmt: skip


def rgb(picture):
    return Image.fromarray(picture[..., :3])


def test_a_mask_is_as_bright_as_pillow_says(javascript):
    picture = make_picture((50, 37))
    found = ask(javascript, "grey", data=encode(picture), size=[50, 37])
    assert np.array_equal(decode(found, (50, 37)), np.asarray(rgb(picture).convert("L")))


@pytest.mark.parametrize("radius", [0, 0.3, 0.5, 1, 2.5, 4, 11, 64.2])
@pytest.mark.parametrize("size", [(40, 27), (9, 60), (1, 1)])
def test_masks_are_blurred_as_pillow_does_byte_for_byte(javascript, radius, size):
    width, height = size
    grey = np.random.default_rng(1).integers(0, 256, (height, width), np.uint8)
    colours = make_picture(size)
    for array, channels in ((grey, 1), (colours[..., :3], 3)):
        expected = np.asarray(Image.fromarray(array).filter(ImageFilter.GaussianBlur(radius)))
        found = ask(javascript, "blur", data=encode(array), size=size, radius=radius)
        assert np.array_equal(decode(found, size, channels), expected), channels


@pytest.mark.parametrize(("fit", "mode"), [("stretch", "default"), ("cover", "crop")])
@pytest.mark.parametrize(("size", "drawn"), SIZES)
def test_pictures_are_fitted_as_diffusers_does_byte_for_byte(javascript, size, drawn, fit, mode):
    picture = make_picture(size)
    width, height = drawn
    expected = IMAGES.resize(rgb(picture), height, width, resize_mode=mode)
    found = prepare(javascript, picture, drawn, fit=fit)
    assert np.array_equal(decode(found["pixels"], drawn, 4)[..., :3], np.asarray(expected))
    assert found["report"]["fit"] == ("none" if size == drawn else fit)
    assert found["report"]["to"] == {"left": 0, "top": 0, "width": width, "height": height}


@pytest.mark.parametrize(("size", "drawn"), SIZES)
def test_a_contained_picture_lies_where_diffusers_has_it_and_its_edges_go_on(
    javascript, size, drawn
):
    picture = make_picture(size)
    width, height = drawn
    expected = np.asarray(IMAGES.resize(rgb(picture), height, width, resize_mode="fill"))
    found = prepare(javascript, picture, drawn, fit="contain")
    pixels = decode(found["pixels"], drawn, 4)
    to = found["report"]["to"]
    right, bottom = to["left"] + to["width"], to["top"] + to["height"]
    inside = np.s_[to["top"] : bottom, to["left"] : right]
    assert np.array_equal(pixels[inside][..., :3], expected[inside])
    assert (pixels[..., 3] == 255).all()
    # diffusers leaves a black row where an odd number of rows is left; here the edge goes on.
    assert (pixels[: to["top"]] == pixels[to["top"]]).all()
    assert (pixels[bottom:] == pixels[bottom - 1]).all()
    assert (pixels[:, : to["left"]] == pixels[:, to["left"] : to["left"] + 1]).all()
    assert (pixels[:, right:] == pixels[:, right - 1 : right]).all()


def test_a_cropped_picture_keeps_its_pixels(javascript):
    picture = make_picture((97, 70))
    found = prepare(javascript, picture, (64, 48), fit="crop")
    area = {name: round(value) for name, value in found["report"]["from"].items()}
    assert area == found["report"]["from"]  # whole pixels
    assert (area["width"], area["height"]) == (64, 48)
    kept = picture[area["top"] : area["top"] + 48, area["left"] : area["left"] + 64]
    assert np.array_equal(decode(found["pixels"], (64, 48), 4), kept)
    # A picture that is too small for that is enlarged until it covers the size.
    small = make_picture((50, 100))
    expected = IMAGES.resize(rgb(small), 48, 64, resize_mode="crop")
    found = prepare(javascript, small, (64, 48), fit="crop")
    assert np.array_equal(decode(found["pixels"], (64, 48), 4)[..., :3], np.asarray(expected))


@pytest.mark.parametrize("fit", ["cover", "contain", "crop", "stretch"])
def test_the_report_names_the_part_that_was_drawn_from(javascript, fit):
    """A picture of two colours shows that the part is where it is said to be."""
    for size, drawn in SIZES:
        found = ask(javascript, "describe_fit", size=size, drawn=drawn, fit=fit)
        part, to = found["from"], found["to"]
        assert part["left"] >= -1e-9, (size, drawn)
        assert part["top"] >= -1e-9, (size, drawn)
        assert part["left"] + part["width"] <= size[0] + 1e-9, (size, drawn)
        assert part["top"] + part["height"] <= size[1] + 1e-9, (size, drawn)
        assert to["left"] + to["width"] <= drawn[0], (size, drawn)
        scale = [to["width"] / part["width"], to["height"] / part["height"]]
        if fit in ("cover", "contain"):
            # Rounded to whole pixels, of which a thin picture has few.
            assert abs(scale[0] / scale[1] - 1) < 2 / min(to["width"], to["height"])
        if fit == "crop" and size[0] >= drawn[0] and size[1] >= drawn[1]:
            assert scale == [1, 1]


MASK_BOXES = [
    (20, 10, 50, 20), (0, 0, 5, 5), (86, 50, 97, 61), (40, 0, 52, 61), (0, 30, 97, 44),
    (40, 0, 44, 61), (10, 10, 11, 11), (0, 0, 97, 61),
]  # fmt: skip


@pytest.mark.parametrize("box", MASK_BOXES)
@pytest.mark.parametrize("drawn", [(64, 64), (96, 48), (32, 64)])
@pytest.mark.parametrize("padding", [0, 8, 200])
def test_the_drawn_part_is_that_of_diffusers(javascript, box, drawn, padding):
    mask = make_mask((97, 61), box)
    expected = MASKS.get_crop_region(Image.fromarray(mask), *drawn, pad=padding)
    found = ask(
        javascript, "crop_region", data=encode(mask), size=[97, 61], drawn=drawn, padding=padding
    )
    left, top = found["left"], found["top"]
    assert (left, top, left + found["width"], top + found["height"]) == expected


@pytest.mark.parametrize("blur", [0, 3])
@pytest.mark.parametrize(
    "box", [box for box in MASK_BOXES if min(box[2] - box[0], box[3] - box[1]) > 4]
)
def test_only_the_masked_part_is_drawn_and_put_back_as_diffusers_does(javascript, box, blur):
    size, drawn = (97, 61), (64, 64)
    picture, mask = make_picture(size), make_mask(size, box)
    given, mask_image = rgb(picture), Image.fromarray(mask)
    blurred = MASKS.blur(mask_image, blur)
    drawn_picture = make_picture(drawn, seed=5)
    options = {"onlyMasked": True, "onlyMaskedPadding": 4, "maskBlur": blur}
    found = prepare(
        javascript, picture, drawn, mask=mask, result=drawn_picture, **options
    )  # fmt: skip
    region = MASKS.get_crop_region(blurred, *drawn, pad=4)
    part = IMAGES.resize(given.crop(region), drawn[1], drawn[0], resize_mode="fill")
    part_mask = MASKS.resize(blurred.crop(region), drawn[1], drawn[0], resize_mode="fill")
    to = found["report"]["to"]
    inside = np.s_[
        to["top"] : to["top"] + to["height"], to["left"] : to["left"] + to["width"]
    ]  # fmt: skip
    pixels = decode(found["pixels"], drawn, 4)[..., :3]
    assert np.array_equal(pixels[inside], np.asarray(part)[inside])
    found_mask = decode(found["mask"], drawn)
    assert np.array_equal(found_mask[inside], np.asarray(part_mask.convert("L"))[inside])
    # What the part does not cover is not drawn anew.
    outside = np.ones(found_mask.shape, bool)
    outside[inside] = False
    assert (found_mask[outside] == 0).all()
    expected = np.asarray(IMAGES.apply_overlay(blurred, given, rgb(drawn_picture), region))
    assert tuple(found["afterSize"]) == size == tuple(found["before"])
    after = decode(found["after"], size, 4)[..., :3]
    # Pillow rounds twice, to premultiplied bytes and back.
    assert np.abs(after.astype(int) - expected).max() <= 3
    kept = np.asarray(blurred) == 0
    assert np.array_equal(after[kept], picture[..., :3][kept])


def test_unmasked_pixels_are_put_back_to_the_byte(javascript):
    size, drawn = (97, 61), (64, 48)
    picture, mask = make_picture(size), make_mask(size, (20, 10, 50, 30))
    result = make_picture(drawn, seed=9)
    found = prepare(
        javascript, picture, drawn, mask=mask, result=result, keepUnmasked=True, maskBlur=2
    )
    fitted, fitted_mask = decode(found["pixels"], drawn, 4), decode(found["mask"], drawn)
    after = decode(found["after"], drawn, 4)
    assert np.array_equal(after[fitted_mask == 0], fitted[fitted_mask == 0])
    assert np.array_equal(after[fitted_mask == 255], result[fitted_mask == 255])
    assert 0 < (fitted_mask == 0).sum() < fitted_mask.size
    assert ((fitted_mask > 0) & (fitted_mask < 255)).any()
    # Nothing is put back unless it is asked for.
    assert prepare(javascript, picture, drawn, mask=mask, result=result)["after"] is None


def test_a_picture_of_the_drawn_size_and_its_mask_keep_every_byte(javascript):
    picture, mask = make_picture((64, 48)), make_mask((64, 48), (3, 4, 20, 30))
    mask[0, 0] = 77
    for fit in ("cover", "contain", "crop", "stretch"):
        found = prepare(javascript, picture, (64, 48), mask=mask, fit=fit)
        assert base64.b64decode(found["pixels"]) == picture.tobytes()
        assert base64.b64decode(found["mask"]) == mask.tobytes()


def test_a_picture_is_drawn_on_beyond_its_sides(javascript):
    size = (40, 30)
    picture, mask = make_picture(size), make_mask(size, (5, 5, 9, 9))
    sides = {"left": 8, "top": 2, "right": 16, "bottom": 0}
    drawn = (64, 32)
    for given, masked in ((None, 0), (mask, 16)):
        found = prepare(javascript, picture, drawn, mask=given, outpaint=sides)
        pixels, found_mask = decode(found["pixels"], drawn, 4), decode(found["mask"], drawn)
        assert found["report"]["givenSize"] == list(drawn)
        assert np.array_equal(pixels[2:, 8:48], picture)
        assert (pixels[2:, :8] == picture[:, :1]).all()
        assert (pixels[2:, 48:] == picture[:, -1:]).all()
        assert (pixels[:2, 8:48] == picture[0]).all()
        beyond = found_mask.copy()
        beyond[2:, 8:48] = 255
        assert (beyond == 255).all()
        assert (found_mask[2:, 8:48] == 255).sum() == masked


def test_a_masked_part_is_filled_with_the_colours_around_it(javascript):
    """As AUTOMATIC1111's modules/masking.py does with Pillow's layers of bytes."""
    size = (72, 56)
    picture, mask = make_picture(size), make_mask(size, (20, 12, 60, 50))
    given = rgb(picture)
    inverse = Image.fromarray(255 - mask)
    layers = Image.new("RGBA", size)
    kept = Image.new("RGBa", size)
    kept.paste(given.convert("RGBA").convert("RGBa"), mask=inverse)
    for radius, repeats in [(256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)]:
        blurred = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(repeats):
            layers.alpha_composite(blurred)
    expected = np.asarray(layers.convert("RGB")).astype(int)
    found = ask(javascript, "fill", data=encode(picture), mask=encode(mask), size=size)
    filled = decode(found, size, 4)[..., :3]
    assert np.array_equal(filled[mask == 0], picture[..., :3][mask == 0])
    # Bytes of little alpha have coarse colours in Pillow.
    assert np.abs(filled - expected).mean() < 3
    assert np.abs(filled - expected).max() < 30


def test_latents_are_enlarged_as_torch_does(javascript):
    for before, after in [
        ((8, 6), (16, 12)),
        ((8, 8), (12, 10)),
        ((5, 7), (5, 7)),
        ((4, 4), (9, 5)),
    ]:
        latents = torch.randn(
            1, 4, before[1], before[0], generator=torch.Generator().manual_seed(3)
        )
        expected = torch.nn.functional.interpolate(latents, size=after[::-1], mode="bilinear")
        found = ask(
            javascript, "enlarge", latents=latents.flatten().tolist(),
            **{"from": before, "to": after},
        )  # fmt: skip
        torch.testing.assert_close(torch.tensor(found), expected.flatten(), rtol=0, atol=1e-5)


def slerp(strength, low, high):
    """Mix noise as AUTOMATIC1111's modules/rng.py does: (channels, height, width)."""
    low_norm = low / torch.norm(low, dim=1, keepdim=True)
    high_norm = high / torch.norm(high, dim=1, keepdim=True)
    dot = (low_norm * high_norm).sum(1)
    if dot.mean() > 0.9995:
        return low * strength + high * (1 - strength)
    omega = torch.acos(dot)
    sine = torch.sin(omega)
    own = (torch.sin((1 - strength) * omega) / sine).unsqueeze(1) * low
    return own + (torch.sin(strength * omega) / sine).unsqueeze(1) * high


@pytest.mark.parametrize("strength", [0, 0.1, 0.5, 1])
def test_a_variation_mixes_the_noise_of_two_seeds(javascript, strength):
    shape = (2, 4, 6, 8)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    for seed in (8, 7):
        other = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        expected = torch.stack([slerp(strength, *each) for each in zip(noise, other, strict=True)])
        found = ask(
            javascript, "vary", noise=noise.flatten().tolist(), batch=2,
            shape=[1, *shape[1:]], variation={"seed": seed, "strength": strength},
        )  # fmt: skip
        torch.testing.assert_close(torch.tensor(found), expected.flatten(), rtol=0, atol=1e-5)


def save(pictures, kind, **options):
    """Return the bytes of a file with one picture, or several of an animation."""
    first, *others = [Image.fromarray(each[..., :3]) for each in pictures]
    if "mode" in options:
        first = first.convert(options.pop("mode"))
    file = io.BytesIO()
    more = {"save_all": True, "append_images": others, "duration": 50} if others else {}
    first.save(file, kind, **more, **options)
    return file.getvalue()


ONE = [make_picture((53, 31))]
TWO = [*ONE, make_picture((53, 31), seed=1)]
WEBP = {"format": "WebP", "animated": False, "cmyk": False}
FILES = {
    "png": (save(ONE, "png"), {"format": "PNG"}),
    "png with a palette": (save(ONE, "png", mode="P"), {"format": "PNG"}),
    "apng": (save(TWO, "png"), {"format": "PNG", "animated": True}),
    "jpeg": (save(ONE, "jpeg"), {"format": "JPEG"}),
    "jpeg that becomes sharper": (save(ONE, "jpeg", progressive=True), {"format": "JPEG"}),
    "jpeg with metadata": (
        save(ONE, "jpeg", exif=Image.Exif().tobytes() + bytes(5000)), {"format": "JPEG"}
    ),
    "grey jpeg": (save(ONE, "jpeg", mode="L"), {"format": "JPEG"}),
    "jpeg of inks": (save(ONE, "jpeg", mode="CMYK"), {"format": "JPEG", "cmyk": True}),
    "gif": (save(ONE, "gif"), {"format": "GIF"}),
    "moving gif": (save(TWO, "gif"), {"format": "GIF", "animated": True}),
    "webp": (save(ONE, "webp"), {"format": "WebP"}),
    "exact webp": (save(ONE, "webp", lossless=True), {"format": "WebP"}),
    "webp with metadata": (save(ONE, "webp", exif=bytes(100)), {"format": "WebP"}),
    "moving webp": (save(TWO, "webp"), {"format": "WebP", "animated": True}),
    "avif": (save(ONE, "avif"), {"format": "AVIF"}),
    "moving avif": (save(TWO, "avif"), {"format": "AVIF", "animated": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_it_is_before_it_is_decoded(javascript, name):
    data, said = FILES[name]
    usual = {"width": 53, "height": 31, "animated": False, "cmyk": False}
    found = ask(javascript, "file_header", data=base64.b64encode(data).decode())
    assert found == {**usual, **said}


@pytest.mark.slow
def test_damaged_files_say_what_is_left_of_them_or_nothing(javascript):
    """Anybody may have written a file: none of them ends the program, or goes on for ever."""
    random = np.random.default_rng(4)
    for name, (data, said) in FILES.items():
        for _ in range(40):
            damaged = bytearray(data[: random.integers(1, len(data))])
            for place in random.integers(0, min(200, len(damaged)), 3):
                damaged[place] = random.integers(0, 256)
            found = ask(javascript, "file_header", data=base64.b64encode(damaged).decode())
            assert found is None or found["format"] == said["format"], name
