"""Which variants an adapter can run, as Dawn describes it."""

from dataclasses import replace

import pytest

from wsd.kernels.problem import GemmProblem
from wsd.kernels.registry import GEMM_SUBGROUP_MATRIX, GEMM_TILED_F32, GEMV_SUBGROUPS
from wsd.runtime.kernel_runner import read_adapter

ANSWER = {
    "vendor": "nvidia", "architecture": "", "description": "a GPU",
    "subgroups": [32, 32],
    "features": ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
    "limits": {
        "maxComputeInvocationsPerWorkgroup": 1024, "maxComputeWorkgroupStorageSize": 49152,
    },
    "matrices": [["f16", "f32", 16, 16, 16], ["f16", "f16", 8, 8, 8], ["i8", "f32", 8, 8, 32]],
}  # fmt: skip
GEMM = GemmProblem(4096, 640, 640, "float16")
MATRIX, TILED, GEMV = (
    kind.variant(problem, kind.choose(problem)[0])
    for kind, problem in (
        (GEMM_SUBGROUP_MATRIX, GEMM), (GEMM_TILED_F32, GEMM),
        (GEMV_SUBGROUPS, GemmProblem(1, 640, 640)),
    )
)  # fmt: skip


def test_the_adapter_has_only_matrices_of_f16_with_f32_results():
    assert read_adapter(ANSWER).subgroup_matrices == {(16, 16, 16)}


@pytest.mark.parametrize("variant", [MATRIX, TILED, GEMV], ids=lambda variant: variant.name)
def test_a_gpu_with_everything_runs_every_variant(variant):
    assert read_adapter(ANSWER).supports(variant)


@pytest.mark.parametrize(
    ("changes", "variants"),
    [
        ({"features": ["subgroups"]}, [TILED, GEMV]),
        ({"features": []}, [TILED]),
        ({"matrices": ANSWER["matrices"][1:]}, [TILED, GEMV]),
        ({"subgroups": [16, 32]}, [TILED, GEMV]),
        ({"subgroups": [32, 128]}, [TILED]),
        ({"subgroups": [None, None], "features": []}, [TILED]),
    ],
)
def test_what_an_adapter_lacks_rules_variants_out(changes, variants):
    adapter = read_adapter({**ANSWER, **changes})
    assert [v for v in (MATRIX, TILED, GEMV) if adapter.supports(v)] == variants


def test_limits_rule_variants_out():
    adapter = read_adapter(ANSWER)
    assert not replace(adapter, threads=TILED.threads - 1).supports(TILED)
    assert not replace(adapter, shared_bytes=TILED.shared_bytes - 1).supports(TILED)
    assert replace(adapter, threads=TILED.threads, shared_bytes=TILED.shared_bytes).supports(TILED)
