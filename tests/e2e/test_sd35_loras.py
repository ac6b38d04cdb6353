"""LoRAs of Stable Diffusion 3.5 in a browser: Python's weights, and diffusers' pictures."""

import base64

import pytest

from grain import GRAIN
from lora_pages import opened, read_picture, served_with_tools
from patched_weights import check_weights
from sd35_adapters import SD35_FORMATS, SD35_READ_BY_DIFFUSERS, write_sd35_adapter
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR
from wsd.util.progress import Quiet

pytestmark = pytest.mark.exhaustive

DTYPES = ("f32", "w8a16")
SCALE = 0.7
DRAWING = GenerationRequest("a large red circle", steps=3, seed=3)
# Of diffusers' names, of the original ones, and with Kronecker factors that cut across its rows.
DRAWN = ("peft", "diffusers", "kohya", "kohya-lokr")


@pytest.fixture(scope="module")
def checkpoint():
    return open_checkpoint(random_checkpoint(GRAIN, 0), GRAIN)


@pytest.fixture(scope="module", params=DTYPES)
def library(request):
    return compile_library(GRAIN, GRAIN.sizes[:1], request.param, Quiet())


@pytest.fixture(scope="module")
def call(context, checkpoint, library, tmp_path_factory):
    """Return a function that calls one of ``web/tests/browser/loras.ts`` in a page with a model."""
    bundle = build_bundle(checkpoint, library, tmp_path_factory.mktemp("loras") / "b", Quiet())
    with served_with_tools(bundle) as address, opened(context, address, GRAIN.name) as function:
        yield function


def write(folder, form):
    return write_sd35_adapter(folder / f"{form}.safetensors", GRAIN, form)


def load(call, path, **options):
    data = base64.b64encode(path.read_bytes()).decode()
    return call("loadLora", data, path.name, options)


def draw(call):
    """Return picture (height, width, 3) uint8 and latents."""
    drawn = call("drawPicture", DRAWING.prompt, DRAWING.steps, DRAWING.seed, {})
    return read_picture(drawn, GRAIN)


def draw_by_diffusers(checkpoint, path, form):
    """Return picture and latents of diffusers, with a LoRA that it loads and fuses.

    Of names that it does not read, Python's merge is the reference, which unit tests compare with
    diffusers' converter.
    """
    if form in SD35_READ_BY_DIFFUSERS:
        pipeline = load_pipeline(checkpoint)
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
        pipeline.fuse_lora(lora_scale=SCALE)
    else:
        folder = random_checkpoint(GRAIN, 0)
        pipeline = load_pipeline(open_checkpoint(folder, GRAIN, adapters=[(path, SCALE)]))
    images, latents = draw_reference(checkpoint, pipeline, DRAWING, Quiet())
    return images[0], latents


@pytest.mark.parametrize("form", SD35_FORMATS)
def test_the_weights_of_each_format_are_those_of_pythons_merge(
    call, checkpoint, library, form, tmp_path
):
    path = write(tmp_path, form)
    is_exact = "dora" not in form
    loaded = load(call, path, scale=SCALE)
    assert loaded["unused"] == []
    check_weights(call, checkpoint, library, [(path, SCALE)], is_exact=is_exact)
    call("setAdapters", {loaded["name"]: -0.4})
    check_weights(call, checkpoint, library, [(path, -0.4)], is_exact=is_exact)
    call("unloadLora", loaded["name"])
    check_weights(call, checkpoint, library, [], is_exact=True)


@pytest.mark.parametrize("library", ["f32"], indirect=True)
@pytest.mark.parametrize("form", DRAWN)
def test_pictures_are_those_of_diffusers_and_a_lora_leaves_no_trace(
    call, checkpoint, form, tmp_path
):
    path = write(tmp_path, form)
    first = call("draw")
    plain, _ = draw(call)
    load(call, path, scale=SCALE)
    picture, latents = draw(call)
    call("unloadLora")
    assert call("draw") == first
    wanted, wanted_latents = draw_by_diffusers(checkpoint, path, form)
    assert relative_error(latents, wanted_latents) < LATENTS_TOLERANCE
    assert psnr(picture, wanted) > PICTURE_PSNR
    # Without the LoRA it would be another picture.
    assert psnr(plain, wanted) < psnr(picture, wanted) - 3


@pytest.mark.parametrize("library", ["f32"], indirect=True)
def test_several_are_applied_in_their_order(call, checkpoint, library, tmp_path):
    paths = [write(tmp_path, form) for form in ("kohya", "peft", "onetrainer")]
    scales = (0.7, -0.3, 1.3)
    for path, scale in zip(paths, scales, strict=True):
        load(call, path, scale=scale)
    check_weights(call, checkpoint, library, list(zip(paths, scales, strict=True)), is_exact=True)
    call("unloadLora")
    check_weights(call, checkpoint, library, [], is_exact=True)


@pytest.mark.parametrize("library", ["f32"], indirect=True)
def test_a_lora_of_another_kind_is_refused_and_the_model_draws_on(call, tmp_path):
    first = call("draw")
    path = write(tmp_path, "kohya")
    whole = path.read_bytes()
    # Another name of the same length: a block that the model lacks.
    other = whole.replace(b"joint_blocks_2_", b"joint_blocks_7_")
    for data, words in ((other, "belong to no layer"), (whole[:-8], "damaged")):
        encoded = base64.b64encode(data).decode()
        error = call("refused", encoded, path.name, {})
        assert (error["name"], bool(error["hint"])) == ("LoraError", True), error
        assert words in f"{error['message']} {error['hint']}"
    assert call("draw") == first
