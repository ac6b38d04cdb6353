"""``wsd render`` and ``wsd parity`` with a picture: what they refuse before a browser opens."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from commands import exit_code
from masked import MASKED
from speck import SPECK
from traced import cached_trace
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.errors import UsageError
from wsd.models.registry import FAMILIES
from wsd.runtime.driver import page_options
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.picture_fit import fit_mask, fit_picture
from wsd.runtime.request import GenerationRequest
from wsd.runtime.validation import check_picture
from wsd.spec.picture import FITS
from wsd.util.progress import Quiet

BUNDLES = {"speck": SPECK, "text": SPECK.without_parts(), "masked": MASKED}
PIXELS = np.full((16, 16, 3), 90, np.uint8)
MASK = np.zeros((16, 16), np.uint8)
MASK[4:9] = 255


@pytest.fixture(scope="module")
def find_bundle(tmp_path_factory):
    """Return a function that makes bundles with traced functions, which nobody could run."""
    folder = tmp_path_factory.mktemp("bundles")

    @functools.cache
    def make(name):
        family = BUNDLES[name]
        own = MASKED if family is MASKED else SPECK
        checkpoint = open_checkpoint(random_checkpoint(own, 0), own)
        return build_bundle(checkpoint, cached_trace(family), folder / name, Quiet())

    return make


@pytest.fixture
def files(tmp_path):
    """Return a folder of pictures: a good one, a mask, and bad ones."""
    Image.fromarray(PIXELS).save(tmp_path / "good.png")
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    Image.fromarray(PIXELS).resize((200, 200)).save(tmp_path / "large.png")
    dot = np.zeros((200, 200), np.uint8)
    dot[9, 9] = 255
    Image.fromarray(dot).save(tmp_path / "dot.png")
    Image.fromarray(np.zeros_like(MASK)).save(tmp_path / "black.png")
    Image.fromarray(MASK[:8]).save(tmp_path / "half.png")
    Image.new("CMYK", (16, 16)).save(tmp_path / "cmyk.jpg")
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    # A PNG whose header says 0x0.
    data = bytearray((tmp_path / "good.png").read_bytes())
    data[16:24] = bytes(8)
    (tmp_path / "empty.png").write_bytes(data)
    return tmp_path


REFUSED = {
    "undecodable": ("speck", ["--image", "text.png"], "is no picture that can be read"),
    "missing": ("speck", ["--image", "none.png"], "there is no file"),
    "0x0": ("speck", ["--image", "empty.png"], "is no picture that can be read"),
    "animated": ("speck", ["--image", "moving.gif"], "has 2 pictures"),
    "CMYK": ("speck", ["--image", "cmyk.jpg"], "stores its pixels as CMYK"),
    "a bad mask": ("speck", ["--image", "good.png", "--mask", "text.png"], "is no picture"),
    "a smaller mask": ("speck", ["--image", "good.png", "--mask", "half.png"], "a mask of "),
    "a black mask": ("speck", ["--image", "good.png", "--mask", "black.png"], "black all over"),
    "a mask alone": ("speck", ["--mask", "mask.png"], "--mask is given without --image"),
    "a strength alone": ("speck", ["--strength", "0.5"], "--strength is given without --image"),
    "strength 0": ("speck", ["--image", "good.png", "--strength", "0"], "strength is 0.0"),
    "strength 1.5": ("speck", ["--image", "good.png", "--strength", "1.5"], "strength is 1.5"),
    "a fit alone": ("speck", ["--fit", "crop"], "--fit is given without --image"),
    "strength nan": ("speck", ["--image", "good.png", "--strength", "nan"], "strength is nan"),
    "no step": (
        "speck", ["--image", "good.png", "--strength", "0.05"], "runs none of 4 steps",
    ),
    "another size": (
        "speck", ["--image", "good.png", "--size", "32x32"], "size 32x32 was not compiled",
    ),
    "nothing masked": (
        "speck", ["--image", "large.png", "--mask", "dot.png"],
        "nothing of the mask is left at 16x16",
    ),
    "no encoder": ("text", ["--image", "good.png"], "without the encoder"),
    "no encoder, masked": (
        "text", ["--image", "good.png", "--mask", "mask.png"], "without the encoder",
    ),
    "no picture": ("masked", [], "draws a part of a picture anew, and no picture is given"),
    "no mask": ("masked", ["--image", "good.png"], "and no mask is given"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", ["render", "parity"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if bundle == "speck" else pytest.mark.full)
        for case, (bundle, *_) in REFUSED.items()
    ],
)
def test_bad_pictures_are_refused_and_nothing_is_written(
    find_bundle, files, monkeypatch, capsys, command, case
):
    bundle, options, message = REFUSED[case]
    for family in (SPECK, MASKED):
        monkeypatch.setitem(FAMILIES, family.name, family)
    monkeypatch.setattr("wsd.runtime.driver.open_page", pytest.fail)
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    own = "speck-inpaint" if bundle == "masked" else "speck"
    model = ["--model", own, "--random-weights", 0] if command == "parity" else []
    words = [
        command,
        find_bundle(bundle),
        *model,
        "--prompt",
        "x",
        "--steps",
        4,
        "--out",
        "out.png",
    ]
    assert exit_code(*words, *options) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-2]
    assert error[-1].startswith("hint: ")
    assert sorted(files.iterdir()) == before


def test_a_good_picture_names_the_size(find_bundle):
    manifest = read_manifest(find_manifest(find_bundle("speck"), None))
    request = GenerationRequest("x", steps=4)
    picture = GivenPicture(PIXELS, 0.5, MASK)
    sized = replace(request, size=(16, 16))
    assert check_picture(manifest, request, picture) == (sized, picture)
    assert check_picture(manifest, request, None) == (request, None)


@pytest.mark.full
def test_without_an_encoder_a_bundle_draws_from_text_as_before(find_bundle):
    request = GenerationRequest("x", steps=4)
    manifest = read_manifest(find_manifest(find_bundle("text"), None))
    assert check_picture(manifest, request, None) == (request, None)


def test_a_picture_of_another_size_is_fitted(find_bundle):
    manifest = read_manifest(find_manifest(find_bundle("speck"), None))
    # Of a model with several sizes, a picture is drawn in the one whose shape is nearest.
    entries = [
        replace(entry, size=size) if entry.size == (16, 16) else entry
        for entry in manifest.entry_points
        for size in ((16, 16), (32, 16))
    ]
    manifest = manifest.model_copy(update={"entry_points": tuple(entries)})
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (30, 70, 3), np.uint8)
    mask = np.zeros((30, 70), np.uint8)
    mask[:, 20:50] = 255
    for fit in FITS:
        for asked in (None, (32, 16), (16, 16)):
            request = GenerationRequest("x", steps=4, size=asked)
            found, fitted = check_picture(manifest, request, GivenPicture(image, 0.5, mask, fit))
            assert found.size == fitted.size == (asked or (32, 16))
            np.testing.assert_array_equal(fitted.image, fit_picture(image, fitted.size, fit))
            np.testing.assert_array_equal(fitted.mask, fit_mask(mask, fitted.size, fit))
            assert fitted.fit == fit


def test_the_page_is_told_how_a_picture_was_fitted():
    """Its settings name it, as they do of a picture that the page fits."""
    for fit in FITS:
        picture = GivenPicture(PIXELS, 0.5, fit=fit)
        assert page_options(GenerationRequest("x"), picture)["fit"] == fit
    with pytest.raises(UsageError, match="a picture of 16x16 is given, and 32x32 is to be drawn"):
        page_options(GenerationRequest("x", size=(32, 32)), picture)


def test_normalised_latents_take_no_mask(find_bundle):
    """diffusers' pipeline normalises channels when it decodes, and not when it encodes."""
    manifest = read_manifest(find_manifest(find_bundle("speck"), None))
    space = manifest.latent_space.model_copy(update={"mean": (0.0,) * 4, "std": (1.0,) * 4})
    normalised = manifest.model_copy(update={"latent_space": space})
    request = GenerationRequest("x", steps=4)
    check_picture(normalised, request, GivenPicture(PIXELS, 0.5))
    with pytest.raises(UsageError, match="has normalised latents"):
        check_picture(normalised, request, GivenPicture(PIXELS, 0.5, MASK))
