"""A VAE's decoder in strips of rows: what the whole decoder of diffusers gives, in less memory."""

import numpy as np
import pytest
import torch

from grain import GRAIN
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
