"""The study of faster kernels: its folder is whole, and every shader is valid WGSL."""

import gzip
import json
import re

import pytest

from tools.check_wgsl import Shader, find_faults
from tools.kernel_study.candidates import list_candidates
from tools.kernel_study.folder import PROBLEMS_FILE, PROGRAMS, write_folder
from tools.kernel_study.problems import attention, conv3x3, linear
from workgroup_memory import shared_arrays, shared_bytes
from wsd.kernels.select import select_variants
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES, BASELINE_MAX_THREADS, SUBGROUP_MATRIX

# Few rows of much k, so that k is split; the linear layer ends within a tile.
PROBLEMS = {
    "linear": linear(150, 192, 512),
    "conv": conv3x3(2, 8, 64, 128),
    "attention": attention(2, 200, 150, 2, 40),
}
KINDS = {
    "linear": {"today", "f16", "f32", "outer", "matrix", "pipelined", "direct"},
    "conv": {"today", "f16", "f32", "outer", "matrix", "pipelined", "winograd"},
    "attention": {"today", "flash", "matrix", "one"},
}
# Vulkan asks that what matrices are loaded from in shared memory begins at such multiples of bytes.
# One variable of another size, wherever it is declared, may leave those behind it between them, and
# so may an inner array of an array of arrays.
ALIGNMENT = 16
BINDING = re.compile(r"@group\(0\) @binding\((\d+)\)")


@pytest.mark.slow
def test_the_study_of_small_problems_is_whole_and_valid(tmp_path):
    write_folder(tmp_path, PROBLEMS)

    assert {path.name for path in tmp_path.iterdir()} == {*PROGRAMS, PROBLEMS_FILE}
    written = json.loads(gzip.decompress((tmp_path / PROBLEMS_FILE).read_bytes()))
    codes = written["shaders"]
    shaders = {}
    for problem in written["problems"]:
        names = [candidate["name"] for candidate in problem["candidates"]]
        assert len(set(names)) == len(names)
        assert {name.split()[0] for name in names} == KINDS[problem["id"]]
        for candidate in problem["candidates"]:
            buffers = {problem["result"]["name"], *problem["inputs"], *candidate["scratch"]}
            in_limits = (
                candidate["threads"] <= BASELINE_MAX_THREADS
                and candidate["shared"] <= BASELINE_MAX_SHARED_BYTES
                and not candidate["matrix"]
            )
            for launch in candidate["launches"]:
                code = codes[launch["shader"]]
                assert set(launch["buffers"]) <= buffers
                bindings = len(launch["buffers"]) + (launch["uniform"] is not None)
                assert [int(n) for n in BINDING.findall(code)] == [*range(bindings)]
                assert all(0 < extent <= 65535 for extent in launch["grid"])
                features = tuple(candidate["features"])
                name = f"{candidate['name']}, {problem['id']}"
                shaders[launch["shader"], features] = Shader(name, code, features, in_limits)

    assert set(codes) == {digest for digest, _ in shaders}
    assert any(shader.pipeline for shader in shaders.values())
    assert [fault.message for fault in find_faults([*shaders.values()])] == []


def unaligned(code):
    """Return the workgroup variables of a shader with matrices whose sizes break the rule."""
    if "subgroupMatrixLoad" not in code:
        return {}
    arrays = shared_arrays(code)
    return {n: a for n, a in arrays.items() if a.bytes % ALIGNMENT or a.inner_bytes % ALIGNMENT}


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_matrices_are_loaded_from_aligned_shared_memory(problem):
    candidates = {
        f"{candidate.name}: {launch.label}": (launch.shader, candidate)
        for candidate in list_candidates(problem)
        for launch in candidate.launches
    }
    assert any("one pass" in name for name in candidates) == (problem is PROBLEMS["attention"])
    for name, (code, candidate) in candidates.items():
        assert unaligned(code) == {}, name
        assert shared_bytes(code) <= candidate.shared_bytes, name


# Enough operations that the product has variants, also those for tuning alone.
@pytest.mark.slow
@pytest.mark.parametrize(
    "problem",
    [
        linear(4095, 640, 640),
        conv3x3(2, 32, 640, 640),
        *(attention(1, 1000, 1001, 8, head_dim) for head_dim in (8, 40, 64, 80, 160)),
    ],
    ids=["linear", "conv", "8", "40", "64", "80", "160"],
)
def test_so_are_those_of_the_product(problem):
    variants = [v for v in select_variants(problem) if SUBGROUP_MATRIX in v.features]
    assert variants
    for variant in variants:
        codes = [launch.head + launch.body for launch in variant.launches]
        assert any("subgroupMatrixLoad" in code for code in codes)
        assert [unaligned(code) for code in codes] == [{}] * len(codes), variant.tile
        assert max(map(shared_bytes, codes)) == variant.shared_bytes, variant.tile
