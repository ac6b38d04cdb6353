"""Several sizes in one library: what each draws, and when it is made ready."""

import pytest

from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

SIZES = ((16, 24), (24, 16))


@pytest.fixture(scope="module")
def sized(open_model, speck, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "sizes"
    library = compile_library(SPECK, SIZES, "f32", Quiet())
    build_bundle(speck[1], library, out, Quiet())
    with open_model(out) as renderer:
        yield library, renderer


def test_a_size_is_made_ready_when_it_is_asked_for(sized):
    library, renderer = sized
    # A guided step is a call of its own function; the plain denoiser's is not asked for.
    kernels = {e.name: set(e.kernels) for e in library.entry_points if e.role != "denoiser"}
    # Where nothing but the size differs, nothing else is asked for.
    others = {name for name in kernels if not name.endswith(("_24x16", "_tile"))}
    assert renderer.usage()["pipelines"] == len(set.union(*(kernels[name] for name in others)))
    renderer.draw(GenerationRequest("red", steps=1, size=SIZES[1]))
    others |= {name for name in kernels if name.endswith("_24x16")}
    assert renderer.usage()["pipelines"] == len(set.union(*(kernels[name] for name in others)))
    assert renderer.usage()["pipelines"] < len(library.shaders)


@pytest.mark.parametrize("size", [SIZES[0], SIZES[1]])
def test_each_size_draws(sized, speck, size):
    _, renderer = sized
    drawing = GenerationRequest("a large red circle", seed=4, steps=2, size=size)
    images, latents = draw_reference(speck[1], load_pipeline(speck[1]), drawing, Quiet())
    drawn = renderer.draw(drawing)
    assert drawn.images.shape == images.shape == (1, size[1], size[0], 3)
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40


def test_functions_name_kernels_that_exist(sized):
    library, _ = sized
    for entry in library.entry_points:
        assert entry.kernels
        assert set(entry.kernels) <= set(library.shaders)
