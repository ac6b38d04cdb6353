"""kernels.json: variants are read back as they were written, and texts are shared."""

import json
import re

import pytest

from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, NormSumsProblem
from wsd.kernels.select import select_variants
from wsd.kernels.serialize import kernel_table, minify_table, read_variants

KERNELS = {
    "linear_kernel": GemmProblem(
        1024, 640, 1280, "int8", buffers=("out", "x", "packed", "bias"), epilogue="value + e0[n]"
    ),
    "linear1_kernel": GemmProblem(1024, 640, 2560, "int8", buffers=("out", "x", "packed")),
    "gemv_kernel": GemmProblem(1, 1280, 320, "float16"),
    "conv_kernel": GemmProblem(
        256 * 256, 256, 9 * 256, "float16", Conv2d(1, 256, 256, 256, 256, 256, 3, 1, 1)
    ),
    "attention_kernel": AttentionProblem(1, 4096, 77, 8, 40, 0.158),
    "group_total_kernel": NormSumsProblem(1, 4096, 32, 10, centered=False),
}
VARIANTS = {name: select_variants(problem) for name, problem in KERNELS.items()}
# The result comes last among a generated kernel's arguments.
ARGUMENTS = {name: [*p.buffers[1:], p.buffers[0]] for name, p in KERNELS.items()}


@pytest.fixture(scope="module")
def table():
    written = kernel_table(VARIANTS, ARGUMENTS, {"linear_kernel": 12, "other_kernel": 8})
    return json.loads(json.dumps(written))


@pytest.mark.parametrize("kernel", KERNELS)
def test_variants_are_read_as_they_were_written(table, kernel):
    found = read_variants(table, kernel, ARGUMENTS[kernel])
    assert found == VARIANTS[kernel]
    assert all(variant.name for variant in found)


def test_variants_say_their_tile_and_those_for_tuning_alone_say_so_and_come_last(table):
    entries = table["kernels"]["linear_kernel"]
    marks = [entry.get("tuning_only") for entry in entries]
    assert marks == sorted(marks, key=bool)
    assert set(marks) == {None, True}
    assert all("tile" in entry for entry in entries)
    for entry in table["kernels"]["gemv_kernel"]:
        assert {"tile", "tuning_only"}.isdisjoint(entry)


def test_a_kernel_without_variants_has_none(table):
    assert read_variants(table, "other_kernel", []) == []
    assert table["bytes"]["other_kernel"] == 8


def test_variants_have_the_name_of_their_problem(table):
    problems = {name: {v["problem"] for v in found} for name, found in table["kernels"].items()}
    assert problems == {
        "linear_kernel": {"gemm"}, "linear1_kernel": {"gemm"}, "gemv_kernel": {"gemm"},
        "conv_kernel": {"gemm"},
        "attention_kernel": {"attention"}, "group_total_kernel": {"norm_sums"},
    }  # fmt: skip


def test_kernels_with_the_same_tile_share_the_body_of_their_shader(table):
    bodies = [
        {v["name"]: [launch["body"] for launch in v["launches"]] for v in table["kernels"][name]}
        for name in ("linear_kernel", "linear1_kernel")
    ]
    assert bodies[0]["gemm_tiled_f16"] == bodies[1]["gemm_tiled_f16"]
    assert len(set(table["bodies"])) == len(table["bodies"])


def test_bindings_are_numbers_of_arguments(table):
    first, *_ = table["kernels"]["attention_kernel"]
    # Bindings are result, q, k, v; arguments are q, k, v, result.
    assert first["launches"][0]["arguments"] == [3, 0, 1, 2]
    scratch = [
        launch["arguments"]
        for found in table["kernels"].values()
        for variant in found
        if variant["scratch_bytes"]
        for launch in variant["launches"]
    ]
    assert scratch
    assert all(min(arguments) < 0 for arguments in scratch)


def test_launches_of_a_variant_that_differ_in_their_number_share_their_texts(table):
    [first, *_] = (v for v in table["kernels"]["conv_kernel"] if v["name"] == "conv_winograd_f32")
    assert len(first["scratch_bytes"]) == 3
    _, *launches = first["launches"]
    chunks = [launches[at : at + 3] for at in range(0, len(launches), 3)]
    assert len(chunks) > 2
    assert len({tuple((x["head"], x["body"]) for x in chunk) for chunk in chunks}) == 1
    numbers = [[x.get("uniform") for x in chunk] for chunk in chunks]
    assert numbers == [[n * numbers[1][0], None, n * numbers[1][0]] for n in range(len(chunks))]
    assert [x["arguments"] for x in chunks[0]] == [[-2, 0], [-3, -2, -1], [2, -3]]


def tokens(wgsl):
    """Return the words and signs of a shader, without its comments."""
    return re.findall(r"[\w.]+|[^\w\s]", re.sub(r"//.*", "", wgsl))


def texts(table):
    return [*table["bodies"], *table["heads"]]


@pytest.mark.slow
def test_what_the_page_downloads_is_the_same_code_without_comments_and_indentation(table):
    small = minify_table(table)
    for before, after in zip(texts(table), texts(small), strict=True):
        assert tokens(before) == tokens(after)
        assert not re.search(r"//|\n\s|\s$", after.rstrip("\n"))
    assert len(json.dumps(small)) < 0.9 * len(json.dumps(table))
    assert [v.name for v in read_variants(small, "gemv_kernel", ARGUMENTS["gemv_kernel"])] == [
        v.name for v in VARIANTS["gemv_kernel"]
    ]
