"""Pictures that are given in a browser: files of every kind, and what becomes of them."""

import base64
import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps

from color_profiles import ADOBE_RGB, BROKEN, DISPLAY_P3, LINEAR, LINEAR_GREY, NEARLY_SRGB
from pages import browser_program
from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.runtime.given_picture import GivenPicture, read_given_picture
from wsd.runtime.request import GenerationRequest
from wsd.runtime.server import served
from wsd.util.progress import Quiet

PROMPT = "a large red circle"
OPTIONS = {"numInferenceSteps": 4, "seed": 2}
# EXIF's tag for how a picture is turned.
ORIENTATION = 0x0112


def call(tab, name, *arguments):
    """Call a function of ``web/tests/browser/given_pictures.ts``, and return its value."""
    return tab.evaluate("([name, args]) => wsdPictures[name](...args)", [name, list(arguments)])


def open_tab(page, origin, manifest=None):
    page.goto(origin + "blank.html")
    page.evaluate(f"() => {{ {browser_program('given_pictures')} }}")
    if manifest:
        call(page, "load", manifest)
    return page


@pytest.fixture
def tab(page, origin):
    """Return a blank page without a model."""
    return open_tab(page, origin)


@pytest.fixture(scope="module")
def drawing(context, origin):
    """Return a page that has loaded the smallest model."""
    page = context.new_page()
    yield open_tab(page, origin, "/models/speck/manifest.json")
    page.close()


def encode(data):
    return base64.b64encode(bytes(data)).decode()


def pixels_of(sent):
    flat = np.frombuffer(base64.b64decode(sent["data"]), np.uint8)
    return flat.reshape(sent["height"], sent["width"], 4)


def smooth(size, seed=0):
    """Return soft colours, (height, width, 3) bytes: files that lose detail keep them."""
    small = np.random.default_rng(seed).integers(30, 226, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def file(data, mime=""):
    return {"kind": "file", "data": encode(data), "type": mime}


def pixels(array, kind="pixels"):
    height, width = array.shape[:2]
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    rgba = np.dstack([array, np.full((height, width), 255, np.uint8)])
    return {"kind": kind, "width": width, "height": height, "data": encode(rgba.tobytes())}


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def expected_of(data):
    """Return what ``wsd reference`` takes of a file: upright, on white."""
    layer = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(flat.convert("RGB")).astype(int)


def test_files_are_decoded_as_pillow_does(tab):
    image = Image.fromarray(smooth((53, 31)))
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize((53, 31)))
    exact = {
        "png": save(image, "png"),
        "png with a palette": save(image.quantize(64), "png"),
        "grey png": save(image.convert("L"), "png"),
        "gif": save(image.quantize(64), "gif"),
        "webp": save(image, "webp", lossless=True),
        "bmp": save(image, "bmp"),
    }
    # Decoders round differently, and so does laying a picture on white.
    near = {
        "png with alpha": (save(alpha, "png"), 2),
        "webp with alpha": (save(alpha, "webp", lossless=True), 2),
        "jpeg": (save(image, "jpeg", quality=95), 6),
        "grey jpeg": (save(image.convert("L"), "jpeg", quality=95), 6),
        "avif": (save(image, "avif", quality=95), 8),
    }
    for orientation in range(1, 9):
        name = f"jpeg turned {orientation}"
        near[name] = (save(image, "jpeg", quality=95, exif=turned(orientation)), 6)
    for name, (data, most) in {**{name: (data, 0) for name, data in exact.items()}, **near}.items():
        found = call(tab, "read", file(data))
        assert "error" not in found, (name, found)
        expected = expected_of(data)
        read = pixels_of(found)
        assert read.shape[:2] == expected.shape[:2], name
        assert np.abs(read[..., :3] - expected).max() <= most, name
        assert (read[..., 3] == 255).all()


@pytest.mark.full
def test_colour_profiles_are_followed_as_the_commands_follow_them(tab, tmp_path):
    image = Image.fromarray(smooth((53, 31)))
    grey = image.convert("L")
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize((53, 31)))
    profiles = {
        "adobe": ADOBE_RGB, "p3": DISPLAY_P3, "linear": LINEAR, "nearly srgb": NEARLY_SRGB,
        "broken": BROKEN, "grey": LINEAR_GREY,
    }  # fmt: skip
    # Each program rounds for itself, and of a lossy file decodes for itself.
    kinds = {
        "png": (image, {}, 1), "palette.png": (image.quantize(64), {}, 1),
        "grey.png": (grey, {}, 1), "alpha.png": (alpha, {}, 2),
        "webp": (image, {"lossless": True}, 1),
        "jpg": (image, {"quality": 95}, 8), "grey.jpg": (grey, {"quality": 95}, 8),
        "avif": (image, {"quality": 95}, 10),
    }  # fmt: skip
    for kind, (picture, options, most) in kinds.items():
        for name, profile in profiles.items():
            # Chromium refuses AVIF files whose profile is broken or of another kind of colours.
            if kind == "avif" and name in ("broken", "grey"):
                continue
            path = tmp_path / f"{name}.{kind}"
            picture.save(path, icc_profile=profile, **options)
            found = call(tab, "read", file(path.read_bytes()))
            assert "error" not in found, (path.name, found)
            expected = read_given_picture(path).image.astype(int)
            assert np.abs(pixels_of(found)[..., :3] - expected).max() <= most, path.name
            # And it is converted at all; grey of most spaces is grey of nearly the same number.
            is_grey = kind.startswith("grey")
            others = ("linear", "grey") if is_grey else ("adobe", "p3", "linear")
            moved = np.abs(expected - expected_of(path.read_bytes())).max()
            assert (moved > 20) == (name in others), path.name


def test_all_that_a_page_has_can_be_given(tab):
    array = smooth((20, 12))
    for kind in ("pixels", "canvas", "offscreen", "bitmap", "img"):
        found = call(tab, "read", pixels(array, kind))
        assert "error" not in found, (kind, found)
        assert np.array_equal(pixels_of(found)[..., :3], array), kind


def test_files_that_cannot_be_drawn_from_are_refused(tab):
    image = Image.fromarray(smooth((53, 31)))
    other = Image.fromarray(smooth((53, 31), 1))
    moving = {"save_all": True, "append_images": [other], "duration": 50}
    png = save(image, "png")
    large = bytearray(png)
    large[16:24] = (30000).to_bytes(4) * 2
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    refused = {
        "empty file": (b"", "empty file"),
        "a text": (b"not a picture at all" * 9, "no picture that this browser decodes"),
        "a header alone": (png[:60], "no picture that this browser decodes"),
        "svg": (svg, "no picture that this browser decodes"),
        "30000 by 30000": (bytes(large), "30000 by 30000 pixels, which is too large"),
        "moving gif": (save(image, "gif", **moving), "animated GIF"),
        "moving png": (save(image, "png", **moving), "animated PNG"),
        "moving webp": (save(image, "webp", **moving), "animated WebP"),
        "inks": (save(image.convert("CMYK"), "jpeg"), "CMYK"),
    }
    for name, (data, said) in refused.items():
        found = call(tab, "read", file(data))
        assert found.get("error") == "OptionError", (name, found)
        assert said in found["message"], name
        assert found["hint"], name


@pytest.mark.exhaustive
def test_a_picture_that_does_not_decode_ends_its_call_alone_and_at_once(drawing):
    ended = call(drawing, "refuseInTime", PROMPT, file(b"nothing" * 9))
    assert ended == ["OptionError", "drawn", "drawn after"]


@pytest.mark.exhaustive
def test_a_file_is_fitted_and_drawn_from(drawing):
    picture = smooth((60, 30))
    mask = np.zeros((30, 60), np.uint8)
    mask[8:22, 20:40] = 255
    sent = file(save(Image.fromarray(picture), "png"), "image/png")
    mask_file = file(save(Image.fromarray(mask), "png"))
    options = {**OPTIONS, "strength": 0.6}
    drawn = call(drawing, "draw", PROMPT, options, sent)
    assert drawn.get("error") is None, drawn
    # Its pipelines are compiled first; then the picture is encoded before the text.
    assert [each for each in drawn["stages"] if each in ("encode", "text")] == ["encode", "text"]
    assert drawn["overall"] == sorted(drawn["overall"])
    assert drawn["overall"][-1] == 1
    report = drawn["picture"]
    assert (report["givenSize"], report["size"], report["fit"]) == ([60, 30], [16, 16], "cover")
    assert (report["startStep"], report["runSteps"]) == (2, 2)
    assert report["from"] == {"left": 15, "top": 0, "width": 30, "height": 30}
    fitted = pixels_of(report["before"])
    middle = np.asarray(Image.fromarray(picture).resize((32, 16), Image.Resampling.LANCZOS))
    assert np.array_equal(fitted[..., :3], middle[:, 8:24])
    assert drawn["found"]["strength"] == 0.6
    assert drawn["found"]["fit"] == "cover"
    assert ["Given", "image"] in drawn["found"]["others"]

    # What the mask keeps is put back to the byte, and the file says so.
    kept = call(
        drawing, "draw", PROMPT,
        {**OPTIONS, "keepUnmasked": True, "fit": "stretch"}, sent, mask_file,
    )  # fmt: skip
    stretched = np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.LANCZOS))
    small_mask = np.asarray(Image.fromarray(mask).resize((16, 16), Image.Resampling.LANCZOS))
    result = pixels_of(kept["images"][0])[..., :3]
    assert np.array_equal(result[small_mask == 0], stretched[small_mask == 0])
    assert not np.array_equal(result[small_mask == 255], stretched[small_mask == 255])
    assert kept["found"]["keepUnmasked"] is True

    # A soft edge reaches beyond the mask, and what is beyond that edge stays.
    whole, hard = smooth((16, 16)), np.zeros((16, 16), np.uint8)
    hard[6:10, 6:10] = 255
    soft = np.asarray(Image.fromarray(hard).filter(ImageFilter.GaussianBlur(1)))
    edged = call(
        drawing, "draw", PROMPT,
        {**OPTIONS, "maskBlur": 1, "keepUnmasked": True},
        pixels(whole), file(save(Image.fromarray(hard), "png")),
    )  # fmt: skip
    result = pixels_of(edged["images"][0])[..., :3]
    assert np.array_equal(result[soft == 0], whole[soft == 0])
    edge = (hard == 0) & (soft > 0)
    assert not np.array_equal(result[edge], whole[edge])

    # Only the masked part is drawn: the result is the whole picture in its own size.
    part = call(
        drawing, "draw", PROMPT,
        {**OPTIONS, "onlyMasked": True, "onlyMaskedPadding": 2}, sent, mask_file,
    )  # fmt: skip
    result = pixels_of(part["images"][0])[..., :3]
    assert result.shape == picture.shape
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    assert not np.array_equal(result[mask == 255], picture[mask == 255])
    assert part["picture"]["fit"] == "onlyMasked"
    assert part["found"]["onlyMasked"] is True

    # Beyond its sides.
    square = smooth((10, 16))
    outer = call(
        drawing, "draw", PROMPT,
        {**OPTIONS, "outpaint": {"left": 6}, "keepUnmasked": True}, pixels(square),
    )  # fmt: skip
    result = pixels_of(outer["images"][0])[..., :3]
    assert np.array_equal(result[:, 6:], square)
    assert result[:, :6].std() > 0

    # Each kind of content that drawing begins with is another picture.
    begun = [
        call(drawing, "draw", PROMPT, {**options, "maskedContent": content}, sent, mask_file)
        for content in ("original", "noise", "fill")
    ]
    assert len({tuple(each["latents"]) for each in begun}) == 3


@pytest.mark.exhaustive
def test_the_command_draws_what_the_page_draws_of_a_file(drawing, speck, tmp_path):
    picture = smooth((60, 30))
    mask = np.zeros((30, 60), np.uint8)
    mask[8:22, 20:50] = 255
    image_file, mask_file = tmp_path / "image.png", tmp_path / "mask.png"
    Image.fromarray(picture).save(image_file)
    Image.fromarray(mask).save(mask_file)
    options = {**OPTIONS, "strength": 0.6, "fit": "contain"}
    sent = [file(path.read_bytes()) for path in (image_file, mask_file)]
    page = call(drawing, "draw", PROMPT, options, *sent)
    assert page.get("error") is None, page
    # A process of its own: Playwright drives one browser in a thread.
    drawn = tmp_path / "drawn.png"
    done = subprocess.run(
        [sys.executable, "-m", "wsd", "render", speck[0], "--prompt", PROMPT, "--steps", "4",
         "--seed", "2", "--image", image_file, "--mask", mask_file, "--strength", "0.6",
         "--fit", "contain", "--out", drawn],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fitted = "from 60x30 to 16x16 by contain: scaled to 16x8, and its edges fill what is left"
    assert f"note: the picture is fitted: {fitted}" in done.stderr
    with Image.open(drawn) as found:
        assert np.array_equal(np.asarray(found), pixels_of(page["images"][0])[..., :3])
        assert "Denoising strength: 0.6, " in found.text["parameters"]
        assert "Fit: contain, " in found.text["parameters"]
    assert page["found"]["fit"] == "contain"


@pytest.mark.full
def test_the_latents_of_a_picture_are_those_that_diffusers_takes(drawing, speck):
    _, checkpoint = speck
    picture = smooth((16, 16))
    found = call(drawing, "encodeImage", pixels(picture), 2)
    vae = load_pipeline(checkpoint).vae
    image = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(image).latent_dist
    scale = vae.config.scaling_factor
    sampled = posterior.sample(torch.Generator().manual_seed(2)) * scale
    assert relative_error(np.array(found["sample"]), sampled.numpy().ravel()) < 1e-4
    assert relative_error(np.array(found["mode"]), posterior.mode().numpy().ravel() * scale) < 1e-4


@pytest.mark.exhaustive
def test_a_variation_is_another_picture_near_the_first(drawing):
    varied = [
        call(drawing, "draw", PROMPT, {**OPTIONS, "variationSeed": 9, "variationStrength": share})
        for share in (0, 0.1, 1)
    ]
    first, near, far = (np.array(each["latents"]) for each in varied)
    usual = call(drawing, "draw", PROMPT, OPTIONS)
    assert np.array_equal(first, usual["latents"])
    other = call(drawing, "draw", PROMPT, {**OPTIONS, "seed": 9})
    assert relative_error(far, np.array(other["latents"])) < 1e-3
    assert 0 < np.abs(near - first).mean() < np.abs(far - first).mean()
    assert varied[1]["found"]["variationSeed"] == 9
    assert varied[1]["found"]["variationStrength"] == 0.1


def follow(checkpoint, latents, size, strength, steps):
    """Draw a second pass with diffusers, from enlarged latents of a first one."""
    width, height = size
    picture = GivenPicture(np.zeros((height, width, 3), np.uint8), strength)
    request = GenerationRequest(PROMPT, seed=2, steps=steps, size=size)
    factor = SPECK.latent_space.scale_factor
    enlarged = torch.nn.functional.interpolate(
        torch.tensor(latents), size=(height // factor, width // factor), mode="bilinear"
    )
    return draw_reference(
        checkpoint, load_pipeline(checkpoint), request, Quiet(), picture=picture, image=enlarged
    )


def check_second_pass(tab, checkpoint, size):
    second = {"width": size[0], "height": size[1], "strength": 0.5, "steps": 3}
    drawn = call(tab, "draw", PROMPT, {**OPTIONS, "secondPass": second})
    assert drawn.get("error") is None, drawn
    request = GenerationRequest(PROMPT, seed=2, steps=4, size=SPECK.sizes[0])
    pipeline = load_pipeline(checkpoint)
    _, latents = draw_reference(checkpoint, pipeline, request, Quiet())
    shape = (1, 4, *(side // SPECK.latent_space.scale_factor for side in SPECK.sizes[0][::-1]))
    images, expected = follow(checkpoint, latents.reshape(shape), size, 0.5, 6)
    assert relative_error(np.array(drawn["latents"]), expected) < 1e-3
    assert psnr(pixels_of(drawn["images"][0])[..., :3], images[0]) > 40
    assert drawn["settings"]["secondPass"] == {**second, "upscale": "latent"}
    assert drawn["settings"]["width"] == SPECK.sizes[0][0]
    assert {"denoise", "denoise 2", "decode 2"} <= set(drawn["stages"])
    assert drawn["overall"] == sorted(drawn["overall"])
    return drawn


@pytest.mark.exhaustive
def test_a_second_pass_draws_as_diffusers_does_from_latents(drawing, speck):
    _, checkpoint = speck
    check_second_pass(drawing, checkpoint, SPECK.sizes[0])
    pictures = call(
        drawing, "draw", PROMPT,
        {**OPTIONS, "secondPass": {"scale": 1, "steps": 2, "upscale": "picture"}, "numImages": 2},
    )  # fmt: skip
    assert len(pictures["images"]) == 2
    assert "encode 2" in pictures["stages"]


@pytest.mark.exhaustive
def test_a_second_pass_is_larger(page, speck, tmp_path):
    _, checkpoint = speck
    family = replace(SPECK, sizes=((16, 16), (32, 24)))
    library = compile_library(family, family.sizes, "f32", Quiet())
    build_bundle(checkpoint, library, tmp_path / "bundle", Quiet())
    with served(tmp_path / "bundle") as url:
        tab = open_tab(page, url, "/models/speck/manifest.json")
        drawn = check_second_pass(tab, checkpoint, (32, 24))
        assert pixels_of(drawn["images"][0]).shape == (24, 32, 4)
        # A picture is drawn in the size whose shape is nearest.
        wide = call(tab, "draw", PROMPT, OPTIONS, pixels(smooth((64, 48))))
        assert wide["picture"]["size"] == [32, 24]
