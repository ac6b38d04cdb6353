"""The study of faster kernels: its folder is whole, and every shader is valid WGSL."""

import gzip
import json
import re

import pytest

from tools.check_wgsl import Shader, find_faults
from tools.kernel_study.folder import PROBLEMS_FILE, PROGRAMS, write_folder
from tools.kernel_study.problems import attention, conv3x3, linear
from wsd.kernels.variant import BASELINE_MAX_SHARED_BYTES, BASELINE_MAX_THREADS

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
