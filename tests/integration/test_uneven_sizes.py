"""Published UNets at sizes whose latents do not halve evenly: every kernel is scheduled."""

from dataclasses import replace

import pytest

from wsd.compiler import tvm_compat
from wsd.compiler.dump import Dump
from wsd.compiler.match.replace import match_function
from wsd.compiler.pipeline import lowering_passes, run_passes, scheduling_passes
from wsd.compiler.relax_module import import_entry_points, list_entry_points, signatures
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.kernels.problem import GemmProblem
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import FAMILIES
from wsd.spec.roles import DENOISER


def tir_functions(module):
    for variable, function in module.functions_items():
        if isinstance(function, tvm_compat.tir.PrimFunc):
            yield str(variable.name_hint), function


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "size", "halved"),
    [
        # Latents of 65x65, then 33x33, 17x17 and 9x9.
        ("sd15", (520, 520), {(17, 17), (33, 33), (65, 65)}),
        # Latents of 93x125 (rows by columns), then 47x63, 24x32 and 12x16.
        ("sd15", (1000, 744), {(24, 32), (47, 63), (93, 125)}),
        # Latents of 129x127, then 65x64 and 33x32.
        ("sdxl", (1016, 1032), {(65, 64), (129, 127)}),
    ],
)
def test_a_published_unet_is_scheduled(name, size, halved):
    family = replace(FAMILIES[name], prompt_chunks=1)
    component = family.component(DENOISER)
    made = make_entry_points(family, component, build_skeleton(component), [size])
    traces = [trace_component(component, module, "f16") for module in made]
    module = import_entry_points(list_entry_points(family, [size], traces), traces)
    fused = run_passes(lowering_passes(signatures(traces)), module, Dump())
    problems = [
        match.problem for name, f in tir_functions(fused) if (match := match_function(name, f))
    ]
    upsampled = {
        (problem.conv.out_height, problem.conv.out_width)
        for problem in problems
        if isinstance(problem, GemmProblem) and problem.conv and problem.conv.upsample == 2
    }
    assert upsampled == halved  # no image is resized or cut by a kernel of its own
    for function_name, function in tir_functions(run_passes(scheduling_passes(), fused, Dump())):
        assert "threadIdx.x" in str(function), function_name
