"""Kernels of our own, in a bundle, on an adapter that would not take them by itself."""

import numpy as np
import pytest
import torch

from speck import BROAD, WIDE
from timing import check_seconds
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import compile_library
from wsd.evaluate.benchmark import bench
from wsd.evaluate.diffusers_reference import load_pipeline, round_weights
from wsd.evaluate.metrics import relative_error
from wsd.kernels.choice import GENERATED
from wsd.kernels.registry import CONV_WINOGRAD_F32, KINDS
from wsd.kernels.variant import F16
from wsd.runtime.dawn_node import open_node_page
from wsd.runtime.driver import LoadOptions, open_stage_renderer
from wsd.util.progress import Quiet

WITHOUT_F16 = [kind.name for kind in KINDS if F16 not in kind.features]


@pytest.fixture(scope="module")
def library():
    return compile_library(BROAD, BROAD.sizes, "f16", Quiet())


@pytest.fixture(scope="module")
def broad(library, tmp_path_factory):
    checkpoint = open_checkpoint(random_checkpoint(BROAD, 0), BROAD)
    out = tmp_path_factory.mktemp("bundle") / "broad"
    return checkpoint, library, build_bundle(checkpoint, library, out, Quiet())


@pytest.mark.exhaustive
def test_shaders_stay_small(library):
    """Of packed weights, those of 45 kB took a software adapter minutes to compile."""
    sizes = {name: len(code) for name, code in library.shaders.items()}
    assert max(sizes.values()) < 40_000, max(sizes, key=sizes.get)


@pytest.mark.exhaustive
def test_a_unet_of_broad_layers(broad):
    checkpoint, library, bundle = broad
    kinds = {name.split("_")[0].rstrip("0123456789") for name in library.variants["kernels"]}
    assert {"attention", "group", "layer", "fused"} <= kinds
    check_statistics(library.variants["kernels"])
    given, expected = predict_by_diffusers(checkpoint, bundle, 16)
    options = LoadOptions(kernels=",".join(WITHOUT_F16))
    with open_stage_renderer(bundle, Quiet(), options, open_node_page) as renderer:
        found = renderer.predict_noise(given)
        again = renderer.predict_noise(given)
    assert relative_error(found, expected) < 1e-5
    np.testing.assert_array_equal(again, found)


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["f32", "w8a16", "w4a16"])
def test_convolutions_by_winograd(tmp_path, dtype):
    checkpoint = open_checkpoint(random_checkpoint(WIDE, 0), WIDE)
    library = compile_library(WIDE, WIDE.sizes, dtype, Quiet())
    bundle = build_bundle(checkpoint, library, tmp_path / "wide", Quiet())
    given, expected = predict_by_diffusers(checkpoint, bundle, 24)
    found = {}
    for name in (CONV_WINOGRAD_F32.name, GENERATED):
        options = LoadOptions(kernels=name)
        with open_stage_renderer(bundle, Quiet(), options, open_node_page) as renderer:
            found[name] = renderer.predict_noise(given)
        assert relative_error(found[name], expected) < 1e-5
    # Sums in another order: the variant has run.
    assert not np.array_equal(found[CONV_WINOGRAD_F32.name], found[GENERATED])


def predict_by_diffusers(checkpoint, bundle, latent_size):
    """Return inputs of a UNet, and the values of its prediction with the bundle's weights."""
    pipeline = load_pipeline(checkpoint)
    round_weights(pipeline, read_manifest(find_manifest(bundle, None)).storages())
    draw = torch.Generator().manual_seed(0)
    shapes = ((1, 4, latent_size, latent_size), (1, 77, 16))
    latents, text = (torch.randn(shape, generator=draw) for shape in shapes)
    with torch.no_grad():
        expected = pipeline.unet(latents, 500.0, text).sample.numpy()
    given = {
        "latents": latents.numpy(),
        "timestep": np.array([500.0], np.float32),
        "text_embeddings": text.numpy(),
    }
    return given, expected.ravel()


def check_statistics(kernels):
    """Attention's statistics are left out wherever attention's kernel runs, and only there."""
    needs = ("name", "features", "threads", "shared_bytes", "subgroup_matrix", "subgroup_size")
    asked = {
        done: {
            tuple(str(variant[need]) for need in needs)
            for name, variants in kernels.items()
            if "attention" in name and ("statistics" in name) == done
            for variant in variants
        }
        for done in (True, False)
    }
    assert asked[True] == asked[False] != set()


@pytest.mark.exhaustive
@pytest.mark.timed
def test_bench_counts_operations_and_names_the_variants_that_ran(broad):
    names = ("gemm_tiled_f32", "norm_sums_workgroup")
    options = LoadOptions(kernels=",".join(names))
    measured = bench(broad[2], None, None, 1, options, open_node_page, Quiet())
    _, denoiser, guided, *_ = measured.stages
    assert 0 < denoiser.operations < 2 * guided.operations
    kernels = {kernel.name: kernel.variant for kernel in denoiser.kernels}
    norms = {kernels[name] for name in kernels if name.startswith(("group", "layer"))}
    assert norms == {"norm_sums_workgroup"}
    # Attention has variants too, but none of those that were named.
    assert {kernels[name] for name in kernels if name.startswith("attention")} == {"generated"}
    assert {share.variant for share in measured.variants()} == {*names, "generated"}
    for stage in measured.stages:
        # By the GPU's own clock, no kernel exceeds the measured roofline.
        seconds = stage.operations / measured.roofline.operations_per_second
        check_seconds(seconds, stage.kernel_milliseconds / 1000, "the roofline")
