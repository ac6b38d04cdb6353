"""Variants take the place of the shaders whose buffers they bind."""

import pytest

from wsd.compiler import tvm_compat
from wsd.compiler.match.replace import shader_variants
from wsd.errors import CompileError
from wsd.kernels.problem import GemmProblem
from wsd.kernels.select import select_variants
from wsd.kernels.serialize import read_variants

PROBLEM = GemmProblem(256, 640, 640, buffers=("out", "x", "w", "bias"), epilogue="value + e0[n]")
VARIANTS = {"fused_linear": select_variants(PROBLEM), "unused_linear": select_variants(PROBLEM)}


def shader(*buffers):
    """Return WGSL that binds buffers, as TVM writes it."""
    return "".join(
        f"@group(0) @binding({binding}) var<storage, read> {name} : array<f32>;\n"
        for binding, name in buffers
    )


SHADER = shader((2, "w_ptr"), (0, "x_ptr"), (1, "bias_ptr"), (3, "out_ptr"))
ARGUMENTS = ["x", "bias", "w", "out"]


def test_bindings_follow_the_order_of_the_shaders_arguments():
    table = shader_variants(VARIANTS, {"fused_linear": 4}, {"fused_linear_kernel": SHADER})
    found = read_variants(table, "fused_linear_kernel", ARGUMENTS)
    assert found == VARIANTS["fused_linear"]
    last = table["kernels"]["fused_linear_kernel"][-1]
    # Bindings are result, A, W, e0.
    assert last["launches"][-1]["arguments"][0] == 3
    assert table["bytes"] == {"fused_linear_kernel": 4}


def test_functions_that_nothing_calls_are_left_out():
    bytes_accessed = {"fused_linear": 4, "unused_linear": 4}
    table = shader_variants(VARIANTS, bytes_accessed, {"fused_linear_kernel": SHADER})
    assert set(table["kernels"]) == set(table["bytes"]) == {"fused_linear_kernel"}


@pytest.mark.parametrize(
    ("shaders", "missing"),
    [
        (SHADER.replace("bias_ptr", "bias_1_ptr"), "bias"),
        (SHADER.replace("_ptr", "_buf"), "bias"),
        ("fn main() {}", "bias"),
    ],
)
def test_a_tvm_that_names_buffers_otherwise_is_told(shaders, missing):
    with pytest.raises(CompileError) as caught:
        shader_variants(VARIANTS, {}, {"fused_linear_kernel": shaders})
    assert f"generated kernel fused_linear_kernel has no buffer {missing}" in caught.value.message
    assert VARIANTS["fused_linear"][0].name in caught.value.message
    assert tvm_compat.version() in caught.value.hint
    assert "wsd/compiler/tvm_compat" in caught.value.hint
