"""The VAE's encoder at full size: its convolutions run as written kernels, all is scheduled."""

import pytest

from wsd.compiler import tvm_compat
from wsd.compiler.dump import Dump
from wsd.compiler.match.replace import match_function
from wsd.compiler.pipeline import lowering_passes, run_passes, scheduling_passes
from wsd.compiler.relax_module import import_entry_points, list_entry_points, signatures
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.kernels.problem import AttentionProblem, GemmProblem
from wsd.models.instantiate import build_skeleton
from wsd.models.registry import FAMILIES
from wsd.spec.roles import VAE_DECODER, VAE_ENCODER


def tir_functions(module):
    for variable, function in module.functions_items():
        if isinstance(function, tvm_compat.tir.PrimFunc):
            yield str(variable.name_hint), function


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "size", "dtype"),
    [
        pytest.param("tiny-sd15", (128, 128), "f32", marks=pytest.mark.exhaustive),
        ("sd15", (512, 768), "f16"),
        pytest.param("sdxl", (1024, 1024), "w8a16", marks=pytest.mark.exhaustive),
    ],
)
def test_the_encoder_is_matched_and_scheduled(name, size, dtype):
    family = FAMILIES[name]
    component = family.component(VAE_DECODER)
    made = make_entry_points(family, component, build_skeleton(component), [size])
    encoder = next(entry for entry in made if entry.role == VAE_ENCODER)
    trace = trace_component(component, encoder, dtype)
    stored = {p.storage for p in trace.parameters if p.channels_last}
    assert stored == {"float32" if dtype == "f32" else "float16"}  # int8 shows in pictures
    module = import_entry_points(list_entry_points(family, [], [trace]), [trace])
    fused = run_passes(lowering_passes(signatures([trace])), module, Dump())
    found = {kernel: match_function(kernel, f) for kernel, f in tir_functions(fused)}
    # No image is padded, or copied to be padded, by a kernel of its own.
    assert not [kernel for kernel in found if "pad" in kernel and "conv2d" not in kernel]
    problems = [(match.problem, match.variants) for match in found.values() if match]
    gemms = [(p, v) for p, v in problems if isinstance(p, GemmProblem)]
    width, height = size
    halved = {
        (conv.height, conv.width, conv.out_height, conv.out_width, conv.padding)
        for conv in (problem.conv for problem, _ in gemms)
        if conv is not None and conv.stride == 2
    }
    assert halved == {
        (height >> n, width >> n, height >> n + 1, width >> n + 1, 0) for n in range(3)
    }
    # The picture has three channels, and a thread of the written kernels loads four; layers of few
    # channels have no written kernels either.
    generated = sum(problem.operations for problem, variants in gemms if not variants)
    total = sum(problem.operations for problem, _ in gemms)
    assert generated < (0.2 if name.startswith("tiny") else 0.01) * total
    assert any(isinstance(problem, AttentionProblem) for problem, _ in problems)
    for function_name, function in tir_functions(run_passes(scheduling_passes(), fused, Dump())):
        assert "threadIdx.x" in str(function), function_name
