"""The names of the original: a page of fifty lines on tvmjs alone draws what WSD's page draws."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pages import watch
from speck import SPECK, SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.models.registry import FAMILIES
from wsd.runtime.driver import open_renderer
from wsd.runtime.request import GenerationRequest
from wsd.runtime.server import served
from wsd.util.files import REPOSITORY
from wsd.util.progress import Quiet

PAGE = REPOSITORY / "tests" / "fixtures" / "tvmjs_page.html"
TITLES = {
    "speck": "Stable-Diffusion-1.5",
    "speck-xl": "Stable-Diffusion-XL",
    "tiny-sd15": "Stable-Diffusion-1.5",
    "tiny-sdxl": "Stable-Diffusion-XL",
}
REQUEST = GenerationRequest(
    prompt="a red circle", negative_prompt="a blue star", steps=4, guidance_scale=5.0, seed=7,
    scheduler="ddim",
)  # fmt: skip


def open_weights(family):
    """Return a family's own weights, or random ones if it ships none."""
    return open_checkpoint(
        choose_checkpoint(family, None, 0 if family.weights is None else None), family
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that builds a bundle of a family in a precision."""

    def build_family(family, dtype, **options):
        checkpoint = open_weights(family)
        library = compile_library(family, family.sizes, dtype, Quiet())
        out = tmp_path_factory.mktemp("classic") / family.name
        return build_bundle(checkpoint, library, out, Quiet(), **options)

    return build_family


def tokens_of(family, text):
    """Return the token ids of a text for each text encoder."""
    pipeline = load_pipeline(open_weights(family))
    tokenizers = [pipeline.tokenizer, getattr(pipeline, "tokenizer_2", None)]
    padded = {"padding": "max_length", "max_length": 77, "truncation": True}
    return [each(text, **padded).input_ids for each in tokenizers if each is not None]


def draw_on_tvmjs(visitor, bundle, family):
    """Return the picture that the page on tvmjs draws, (height, width, 3) uint8."""
    (width, height), *_ = family.sizes
    shape = family.latent_space.shape((width, height))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(REQUEST.seed))
    request = {
        "model": TITLES[family.name], "width": width, "height": height,
        "texts": [tokens_of(family, text) for text in (REQUEST.prompt, REQUEST.negative_prompt)],
        "noise": noise.flatten().tolist(), "shape": list(shape),
        "steps": REQUEST.steps, "guidance": REQUEST.guidance_scale,
    }  # fmt: skip
    page = visitor.new_page()
    complaints = watch(page)
    with served(bundle) as address:
        page.route("**/tvmjs.html", lambda route: route.fulfill(path=PAGE))
        page.goto(f"{address}tvmjs.html")
        data = page.evaluate("request => draw(request)", request)
    page.close()
    assert complaints == []
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def assert_equal_pictures(visitor, bundle, family, open_host):
    on_tvmjs = draw_on_tvmjs(visitor, bundle, family)
    model = family.name
    with open_renderer(bundle, Quiet(), open_host=open_host, model=model) as renderer:
        (drawn,) = renderer.draw(REQUEST).images
    # A flat picture would agree too easily.
    assert drawn.std() > 5
    assert np.abs(on_tvmjs.astype(int) - drawn).max() <= 1


@pytest.mark.exhaustive
def test_a_page_on_tvmjs_alone_draws_the_same_picture(visitor, build, open_host):
    bundle = build(SPECK, "f32", classic=True)
    assert list(verify_bundle(bundle)) == []
    assert_equal_pictures(visitor, bundle, SPECK, open_host)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "families",
    [(SPECK, SPECK_XL), (FAMILIES["tiny-sd15"], FAMILIES["tiny-sdxl"])],
    ids=["of tests", "that ship"],
)
def test_both_models_of_the_original_in_one_bundle(visitor, build, open_host, tmp_path, families):
    elsewhere = os.environ.get("WSD_DIST")
    if elsewhere is not None and families[0].weights is not None:
        # Made by an image, perhaps with another version of TVM.
        joined = Path(elsewhere)
    else:
        bundles = [build(family, "f32") for family in families]
        joined = join_bundles(bundles, tmp_path / "joined", classic=True)
    assert list(verify_bundle(joined)) == []
    config = json.loads((joined / "stable-diffusion-config.json").read_text())
    assert list(config["model_lib_map"]) == [TITLES[family.name] for family in families]
    for family in families:
        assert_equal_pictures(visitor, joined, family, open_host)


@pytest.mark.exhaustive
def test_packed_weights_are_drawn_with_by_tvmjs_too(visitor, build, open_host):
    bundle = build(SPECK, "w8a16", classic=True)
    assert_equal_pictures(visitor, bundle, SPECK, open_host)
