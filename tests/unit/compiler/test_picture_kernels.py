"""Kernels of pictures that are given: bytes to the model's range, and blending by a mask."""

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from tvm_cpu import run_on_cpu
from wsd.compiler.relax_module import import_entry_points, list_entry_points
from wsd.compiler.tir.image import image_to_rgba
from wsd.compiler.tvm_compat import kernel_functions
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import find_family
from wsd.spec.roles import MASKED_BLEND, RGBA_TO_IMAGE

SIZE = (48, 32)


def kernel(role):
    """Return a module whose ``main`` is a kernel of a library, and what the library says of it."""
    family = find_family("tiny-sd15")
    component = family.component("vae_decoder")
    made = make_entry_points(family, component, build_skeleton(component), [SIZE])
    encoder = next(entry for entry in made if entry.role == "vae_encoder")
    trace = trace_component(component, encoder)
    [entry] = (e for e in list_entry_points(family, [SIZE], [trace]) if e.role == role)
    module = import_entry_points([entry], [])
    module["main"] = module[entry.name].with_attr("global_symbol", "main")
    del module[entry.name]
    return module, entry


def every_byte():
    """Return a picture that has every byte in every channel, with all kinds of alpha."""
    pixels = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    for channel in range(4):
        order = np.random.default_rng(channel).permutation(pixels[..., 0].size) % 256
        pixels[..., channel] = order.reshape(pixels.shape[:2])
    return pixels


@pytest.mark.slow
def test_pixels_come_into_the_models_range_as_diffusers_brings_them():
    module, entry = kernel(RGBA_TO_IMAGE)
    pixels = every_byte()
    assert entry.inputs[0].shape == pixels.shape[:2]
    [found] = run_on_cpu(module, [pixels.view(np.int32)[..., 0]])
    expected = VaeImageProcessor(vae_scale_factor=8).preprocess(Image.fromarray(pixels[..., :3]))
    assert found.shape == entry.outputs[0].shape == tuple(expected.shape)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.slow
def test_pixels_survive_the_way_there_and_back():
    module, entry = kernel(RGBA_TO_IMAGE)
    pixels = every_byte()
    [image] = run_on_cpu(module, [pixels.view(np.int32)[..., 0]])
    back = kernel_functions({"main": (image_to_rgba, [("image", image.shape, "float32")])})
    [again] = run_on_cpu(back, [image])
    found = again.view(np.uint8).reshape(pixels.shape)
    np.testing.assert_array_equal(found[..., :3], pixels[..., :3])
    assert (found[..., 3] == 255).all()
    assert entry.component is None


@pytest.mark.full
@pytest.mark.slow
def test_a_mask_blends_as_diffusers_blends():
    module, entry = kernel(MASKED_BLEND)
    draw = torch.Generator().manual_seed(0)
    given = {spec.name: torch.randn(spec.shape, generator=draw) for spec in entry.inputs}
    given["mask"] = torch.rand(given["mask"].shape, generator=draw).round(decimals=1)
    assert given["latents"].shape == (1, 4, 4, 6)
    signal, noise = given["coefficients"]
    # StableDiffusionInpaintPipeline.__call__, after each step.
    noised = signal * given["image_latents"] + noise * given["noise"]
    expected = (1 - given["mask"]) * noised + given["mask"] * given["latents"]
    [found] = run_on_cpu(module, [tensor.numpy() for tensor in given.values()])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6, atol=1e-6)
    all_drawn = {**given, "mask": torch.ones_like(given["mask"])}
    [kept] = run_on_cpu(module, [tensor.numpy() for tensor in all_drawn.values()])
    np.testing.assert_array_equal(kept, given["latents"].numpy())
