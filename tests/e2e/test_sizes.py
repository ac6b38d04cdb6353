"""Several sizes in one library: what each draws, and when it is made ready.

The latents of neither size halve evenly at the UNet's levels.
"""

import pytest

from paged import storages
from speck import LEVELS
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import psnr, relative_error
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

# It compiles the largest model of these tests.
pytestmark = pytest.mark.full

# Latents of 7x5, of which 4x3 and 2x2 are made, and of 5x6.
SIZES = ((40, 56), (48, 40))


@pytest.fixture(scope="module")
def checkpoint():
    return open_checkpoint(choose_checkpoint(LEVELS, None, 0), LEVELS)


@pytest.fixture(scope="module")
def sized(open_model, checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "sizes"
    library = compile_library(LEVELS, SIZES, "f32", Quiet())
    build_bundle(checkpoint, library, out, Quiet())
    with open_model(out) as renderer:
        yield library, renderer


def test_a_size_is_made_ready_when_it_is_asked_for(sized):
    library, renderer = sized
    # A guided step is a call of its own function; the plain denoiser's is not asked for, nor is
    # what only a given picture needs.
    unasked = ("denoiser", "vae_encoder", "vae_encoder_tile", "rgba_to_image", "masked_blend")
    kernels = {e.name: set(e.kernels) for e in library.entry_points if e.role not in unasked}
    # Where nothing but the size differs, nothing else is asked for.
    others = {name for name in kernels if not name.endswith(("_48x40", "_tile"))}
    assert renderer.usage()["pipelines"] == len(set.union(*(kernels[name] for name in others)))
    renderer.draw(GenerationRequest("red", steps=1, size=SIZES[1]))
    others |= {name for name in kernels if name.endswith("_48x40")}
    assert renderer.usage()["pipelines"] == len(set.union(*(kernels[name] for name in others)))
    assert renderer.usage()["pipelines"] < len(library.shaders)


@pytest.mark.parametrize("size", [SIZES[0], SIZES[1]])
def test_each_size_draws(sized, checkpoint, size):
    _, renderer = sized
    drawing = GenerationRequest("a large red circle", seed=4, steps=2, size=size)
    images, latents = draw_reference(checkpoint, load_pipeline(checkpoint), drawing, Quiet())
    drawn = renderer.draw(drawing)
    assert drawn.images.shape == images.shape == (1, size[1], size[0], 3)
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40
    assert drawn.images.std() > 5  # a flat picture would agree too easily


@pytest.mark.exhaustive
def test_a_size_that_does_not_halve_evenly_draws_in_w8a16(open_model, checkpoint, tmp_path):
    """Weights of 8 bits are read by other kernels, whose edges are of other sizes too."""
    library = compile_library(LEVELS, SIZES[:1], "w8a16", Quiet())
    build_bundle(checkpoint, library, tmp_path / "bundle", Quiet())
    pipeline = load_pipeline(checkpoint)
    stored = storages(library)
    assert "int8" in {storage for found in stored.values() for storage in found.values()}
    round_weights(pipeline, stored)
    drawing = GenerationRequest("a large red circle", seed=4, steps=2, size=SIZES[0])
    images, latents = draw_reference(checkpoint, pipeline, drawing, Quiet())
    with open_model(tmp_path / "bundle") as renderer:
        drawn = renderer.draw(drawing)
    assert relative_error(drawn.latents, latents) < 1e-3
    assert psnr(drawn.images, images) > 40
    assert drawn.images.std() > 5


def test_functions_name_kernels_that_exist(sized):
    library, _ = sized
    for entry in library.entry_points:
        assert entry.kernels
        assert set(entry.kernels) <= set(library.shaders)
