"""A VAE's decoder in strips of rows: what the whole decoder of diffusers gives, in less memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tvm import relax
from tvm.relax import op

from grain import GRAIN
from lowering import lower
from relax_functions import relax_function
from speck import LEVELS, STRIPS
from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat
from wsd.compiler.passes.channels_last import channels_last
from wsd.compiler.passes.strips import Limits, in_strips
from wsd.frontend.entry_points import make_entry_point
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_module


def trace(family, size):
    """Return a family's VAE, its decoder's entry point, and that traced."""
    torch.manual_seed(0)
    component = family.component("vae_decoder")
    model = build_module(component)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                # As they are in trained models; freshly made norms scale by 1 and add 0.
                parameter.add_(0.3 * torch.randn_like(parameter))
    made = make_entry_point(family, component, model, size)
    return model, made, trace_component(component, made)


def largest_image(module):
    """Return the bytes of the largest tensor of three or more dimensions that is computed."""
    found = []
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            try:
                shape = tvm_compat.shape_of(binding.var)
            except (AttributeError, TypeError):
                continue  # a tuple
            if len(shape) == 4 and shape[0] == 1:
                found.append(4 * int(np.prod(shape)))
    return max(found)


def decode(module, traced, model, latents):
    state = dict(model.named_parameters())
    parameters = [state[p.name].detach().numpy() for p in traced.parameters]
    return run_on_cpu(module, [latents.numpy()], parameters)[0]


def test_a_family_says_which_decoder_is_in_strips():
    """From the family's field to the plan of its library; tiles are computed whole."""
    whole = replace(STRIPS, whole_bytes=1 << 40)
    in_parts, at_once = (
        {entry.name: entry for entry in lower(family, family.sizes, "f32").library().entry_points}
        for family in (STRIPS, whole)
    )
    ((width, height),) = STRIPS.sizes
    name = f"vae_decoder_{width}x{height}"
    assert in_parts[name].largest_buffer_bytes < at_once[name].largest_buffer_bytes
    assert in_parts[name].workspace_bytes < at_once[name].workspace_bytes
    assert in_parts.pop(name) != at_once.pop(name)
    assert in_parts == at_once


def norm_of(emit, image, groups):
    """Emit a group norm of an image, (1, rows, width, channels)."""
    channels = tvm_compat.shape_of(image)[3]
    ones = relax.const(np.ones(channels, np.float32))
    return emit(op.nn.group_norm(image, ones, ones, groups, channel_axis=3, axes=[1, 2]))


def doubled(emit, image, method):
    _, rows, width, _ = tvm_compat.shape_of(image)
    return emit(
        op.image.resize2d(
            image, (2 * rows, 2 * width), layout="NHWC", method=method,
            coordinate_transformation_mode="half_pixel", rounding_method="round",
        )
    )  # fmt: skip


def decoder_like(emit, x):
    silu = emit(op.nn.silu(doubled(emit, x, "nearest_neighbor")))
    return emit(op.nn.silu(norm_of(emit, silu, 2)))


def smoothly_doubled(emit, x):
    return emit(op.nn.silu(norm_of(emit, emit(op.nn.silu(doubled(emit, x, "linear"))), 2)))


def two_norms(emit, x):
    image = emit(op.nn.silu(x))
    return emit(op.add(norm_of(emit, image, 2), norm_of(emit, image, 4)))


def two_results(emit, x):
    image = emit(op.nn.silu(norm_of(emit, x, 2)))
    return emit(op.concat([emit(op.nn.silu(image)), image], axis=3))


def rows_of_a_constant(emit, x):
    rows = relax.const(np.linspace(0, 1, 16 * 4, dtype=np.float32).reshape(16, 1, 4))
    return emit(op.nn.silu(emit(op.add(norm_of(emit, x, 2), rows))))


def no_norm(emit, x):
    return emit(op.nn.silu(emit(op.nn.silu(x))))


@pytest.mark.parametrize(
    ("make", "is_cut"),
    [
        (decoder_like, True),
        # What no known decoder has, and the pass would compute wrongly or not at all.
        (smoothly_doubled, None), (two_norms, False), (two_results, None),
        (rows_of_a_constant, None), (no_norm, False),
    ],
)  # fmt: skip
def test_other_functions_are_computed_too(make, is_cut):
    module = relax_function({"x": (1, 16, 8, 4)}, make)
    strips = in_strips(module, {"main": Limits(0, 512, 64 << 10)})
    if is_cut is not None:
        assert (strips is not module) == is_cut
    x = np.random.default_rng(1).standard_normal((1, 16, 8, 4), np.float32)
    [expected], [found] = run_on_cpu(module, [x]), run_on_cpu(strips, [x])
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("family", "size", "limits"),
    [
        # Strips' heights divide neither the picture's rows nor those of the levels below; some
        # images are stored, others in part. Of 16 channels, with a shift, and of 4 levels.
        (GRAIN, (48, 32), Limits(0, 4 << 10, 30 << 10)),
        pytest.param(LEVELS, (40, 56), Limits(0, 9 << 10, 40 << 10), marks=pytest.mark.full),
        # Everything is stored.
        pytest.param(STRIPS, (64, 64), Limits(0, 16 << 10, 1 << 30), marks=pytest.mark.full),
        # The limits that follow from the size of the largest image.
        pytest.param(STRIPS, (40, 104), 100 << 10, marks=pytest.mark.full),
    ],
)
def test_strips_are_what_diffusers_decodes(family, size, limits):
    model, made, traced = trace(family, size)
    latents = torch.randn(made.inputs[0].shape, generator=torch.Generator().manual_seed(1))
    scaled = latents / model.config.scaling_factor + (model.config.shift_factor or 0)
    with torch.no_grad():
        expected = model.decode(scaled).sample.numpy()
    whole = channels_last(tvm_compat.import_program(traced.program))
    strips = in_strips(whole, {"main": limits})
    assert largest_image(strips) < largest_image(whole)
    with tvm_compat.shared_storage():
        found = decode(strips, traced, model, latents)
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)
    # No row is worse than others, as rows at the seams of inexact tiles are.
    rows = np.abs(found - expected).max(axis=(0, 1, 3))
    assert rows.max() <= 1e-4
