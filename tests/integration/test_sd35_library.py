"""Stable Diffusion 3.5's functions become one library: WGSL and WebAssembly."""

from dataclasses import replace

import pytest

from grain import GRAIN
from relax_functions import tir_functions
from wsd.compiler.driver import compile_library
from wsd.compiler.dump import Dump
from wsd.compiler.match.replace import match_function, shader_variants
from wsd.compiler.pipeline import fuse, run_passes, scheduling_passes
from wsd.compiler.relax_module import import_entry_points, list_entry_points, signatures
from wsd.compiler.tvm_compat.build import build_functions
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.kernels.problem import AttentionProblem, GemmProblem
from wsd.models.instantiate import build_skeleton
from wsd.models.sd35.components import t5
from wsd.spec.roles import DENOISER, GUIDED_DENOISER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER
from wsd.util.progress import Quiet


@pytest.mark.exhaustive
def test_every_function_compiles():
    library = compile_library(GRAIN, GRAIN.sizes[:1], "f32", Quiet())
    roles = {entry.role: entry for entry in library.entry_points}
    assert {DENOISER, GUIDED_DENOISER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER} <= set(roles)
    for role in (DENOISER, GUIDED_DENOISER):
        kernels = roles[role].kernels
        # Text and picture together, and in the first block the picture alone.
        assert len([name for name in kernels if name.startswith("attention_statistics")]) == 2
        # Queries and keys are normalised by sums of rows, of text and of picture.
        assert any(name.startswith("row_total") for name in kernels)
    assert set(library.parameters) == {
        "text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "vae", "vae_encoder"
    }  # fmt: skip
    names = {parameter.name for parameter in library.parameters["transformer"]}
    assert {"pos_embed.columns", "pos_embed.rows"} <= names
    assert "shared.weight" in {p.name for p in library.parameters["text_encoder_3"]}


@pytest.mark.full
def test_written_attention_takes_the_place_of_t5s():
    """Of as many tokens as the published encoder has, and heads as wide."""
    component = t5(vocab_size=720, d_model=48, d_kv=64, d_ff=64, num_layers=1, num_heads=8)
    family = replace(GRAIN, conditioning=replace(GRAIN.conditioning, room=256))
    [made] = make_entry_points(family, component, build_skeleton(component), [])
    traces = [trace_component(component, made, "w8a16")]
    module = import_entry_points(list_entry_points(family, [], traces), traces)
    fused, report = fuse(module, signatures(traces), Dump())
    functions = tir_functions(fused)
    found = {name: match_function(name, function) for name, function in functions.items()}
    problems = {name: match.problem for name, match in found.items() if match}
    attention = {
        name: problem for name, problem in problems.items() if isinstance(problem, AttentionProblem)
    }
    assert sorted(attention) == ["attention", "attention_statistics"]
    for problem in attention.values():
        # The operator's own scale, 1, is a factor of the queries.
        plain = replace(problem, scale=0.125, buffers=())
        assert plain == AttentionProblem(1, 256, 256, 8, 64, 0.125, bias=True, buffers=())
        assert problem.scale == pytest.approx(0.125)
    epilogues = [p.epilogue for p in problems.values() if isinstance(p, GemmProblem)]
    assert len([text for text in epilogues if text.endswith("* 8.0f)")]) == 1
    # The generated kernels have the buffers that the written one binds.
    scheduled = tir_functions(run_passes(scheduling_passes(), fused, Dump()))
    shaders = build_functions({name: scheduled[name] for name in attention})
    table = shader_variants(report.variants, report.bytes_accessed, shaders)
    assert set(table["kernels"]) == {"attention_kernel", "attention_statistics_kernel"}
    for variant in table["kernels"]["attention_kernel"]:
        assert variant["name"] == "attention_flash"
        [launch] = variant["launches"]
        assert len(set(launch["arguments"])) == 5
        assert min(launch["arguments"]) >= 0
