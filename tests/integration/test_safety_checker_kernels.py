"""The safety checker's function: what it computes, and which kernels run it at full size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from checker import EDGE, PROJECTION, VISION, make_checker, processor
from lowering import lower_family, make_table
from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat
from wsd.compiler.dump import Dump
from wsd.compiler.pipeline import run_passes, scheduling_passes
from wsd.compiler.shader_checks import check_nothing_unpacked, count_storage_buffers
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.registry import FAMILIES
from wsd.models.stable_diffusion.components import safety_checker

# The checker alone, so that nothing else is lowered.
_FAMILY = FAMILIES["tiny-sd15"]


def alone(component):
    return replace(_FAMILY, components=(component,))


@pytest.mark.full
def test_the_imported_function_computes_the_scores_of_diffusers():
    from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance

    checker = make_checker()
    component = safety_checker(**VISION, projection_dim=PROJECTION)
    [made] = make_entry_points(alone(component), component, checker, [])
    trace = trace_component(component, made)
    state = dict(checker.named_parameters())
    parameters = [state[p.name].detach().numpy() for p in trace.parameters]
    assert set(state) == {p.name for p in trace.parameters}
    noise = np.random.default_rng(1).integers(0, 256, (EDGE, EDGE, 3), np.uint8)
    given = processor()(Image.fromarray(noise), return_tensors="pt")["pixel_values"]
    found = run_on_cpu(tvm_compat.import_program(trace.program), [given.numpy()], parameters)
    with torch.no_grad():
        embedding = checker.visual_projection(checker.vision_model(given)[1])
        expected = [
            cosine_distance(embedding, embeds) - thresholds
            for embeds, thresholds in (
                (checker.concept_embeds, checker.concept_embeds_weights),
                (checker.special_care_embeds, checker.special_care_embeds_weights),
            )
        ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=2e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["f16", pytest.param("f32", marks=pytest.mark.exhaustive)])
def test_the_published_checker_runs_in_written_kernels(dtype):
    module = lower_family(alone(safety_checker()), [], dtype)
    table = make_table(module)
    assert all(entry["variants"] for entry in table["matched"])
    calls = {"attention": 0, "gemm": 0}
    for entry in table["matched"]:
        if (kind := entry["problem"]["kind"]) in calls:
            calls[kind] += entry["calls"]
    # Six linear layers in each of 24 layers, and the projection; two functions of attention.
    assert calls == {"attention": 2 * 24, "gemm": 6 * 24 + 1}
    # The patches have three channels, and a thread of the written kernels loads four: 0.2 % of the
    # operations. The others compare one embedding with twenty.
    generated = [entry["function"].split()[0] for entry in table["generated"]]
    assert [name for name in generated if "multiply" not in name] == ["conv2d"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_the_published_checker_becomes_shaders_of_32_bits(dtype):
    module = run_passes(
        scheduling_passes(), lower_family(alone(safety_checker()), [], dtype), Dump()
    )
    executable, plans = tvm_compat.build(module)
    shaders = tvm_compat.shaders(executable)
    check_nothing_unpacked(shaders)
    assert count_storage_buffers(shaders) <= 8
    assert set(plans) == {"safety_checker"}
    # Far less than a denoiser works in.
    assert plans["safety_checker"].workspace_bytes < 1 << 26


def test_the_small_checker_becomes_shaders():
    """A choice of one row by a 64-bit index would not, nor would a bound that is infinite."""
    component = safety_checker(**VISION, projection_dim=PROJECTION)
    module = run_passes(scheduling_passes(), lower_family(alone(component), [], "f32"), Dump())
    executable, _ = tvm_compat.build(module)
    shaders = tvm_compat.shaders(executable)
    assert shaders
    assert not [name for name, text in shaders.items() if "i64" in text or "inf" in text]
