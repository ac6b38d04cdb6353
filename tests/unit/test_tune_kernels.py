"""Which GEMM problems of compiled libraries are tuned."""

import json
from dataclasses import asdict, replace

from wsd.evaluate.tune_kernels import read_problems
from wsd.kernels.problem import Conv2d, GemmProblem

SMALL = GemmProblem(154, 320, 768, "int8", None, ("result", "x", "w", "bias"), "(value + e0[n])")
CONV = GemmProblem(
    4096, 320, 2880, "float16", Conv2d(1, 64, 64, 320, 64, 64, 3, 1, 1), ("conv2d", "lv", "w")
)


def write_library(path, *problems):
    path.write_text(json.dumps({"gemm_problems": [asdict(problem) for problem in problems]}))
    return path


def test_problems_of_all_libraries_once_each_and_the_largest_first(tmp_path):
    first = write_library(tmp_path / "first.json", SMALL, CONV)
    second = write_library(tmp_path / "second.json", replace(SMALL, epilogue="value"))
    found = read_problems([first, second])
    assert [(problem.m, problem.weights) for problem in found] == [(4096, "float16"), (154, "int8")]
    assert found[0].conv == CONV.conv


def test_epilogues_and_names_of_buffers_are_left_out(tmp_path):
    [problem] = read_problems([write_library(tmp_path / "library.json", SMALL)])
    assert problem.epilogue == "value"
    assert problem.buffers == ("result", "a", "w")


def test_int4_keeps_its_scales(tmp_path):
    buffers = ("result", "x", "w", "w_scale", "bias")
    int4 = replace(SMALL, weights="int4", buffers=buffers)
    [problem] = read_problems([write_library(tmp_path / "library.json", int4)])
    assert problem.buffers == ("result", "a", "w", "scales")
    assert problem.epilogue == "value"


def test_problem_whose_a_is_too_large_for_a_buffer_is_left_out(tmp_path):
    large = replace(SMALL, m=1 << 18, k=1024)
    assert read_problems([write_library(tmp_path / "library.json", large)]) == []
