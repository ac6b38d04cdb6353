"""The registry of kernel variants: names, requirements, search spaces."""

import pytest

from matches import describe_selection
from wsd.errors import UsageError
from wsd.kernels.choice import LEGACY_KERNEL_MODES, resolve_kernel_choice
from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, NormSumsProblem
from wsd.kernels.registry import (
    GEMM_TILED_F32,
    KINDS,
    PROBLEM_NAMES,
    TUNED,
    TUNED_KINDS,
    kind_named,
    kinds_for,
    problem_name,
    variant_names,
)
from wsd.kernels.select import default_variants, select_variants
from wsd.kernels.variant import FEATURES
from wsd.util.files import REPOSITORY

# At least one problem for each kind.
PROBLEMS = (
    GemmProblem(1, 1280, 320, "int8"),
    GemmProblem(4096, 640, 640, "float16"),
    GemmProblem(1024, 640, 9 * 320, "int8", Conv2d(1, 32, 32, 320, 32, 32, 3, 1, 1)),
    AttentionProblem(2, 4096, 4096, 8, 40, 0.158),
    NormSumsProblem(1, 4096, 32, 10, centered=True, buffers=("result", "x", "totals")),
    NormSumsProblem(154, 1, 1, 768, centered=False),
)


def test_every_kind_has_a_name_of_its_own_and_a_known_problem():
    *names, tuned = variant_names()
    assert tuned == TUNED
    assert problem_name(TUNED) == "generated"
    assert len({*names, TUNED}) == len(names) + 1 == len(KINDS) + 1
    for kind in KINDS:
        assert kind_named(kind.name) is kind
        assert problem_name(kind.name) == PROBLEM_NAMES[kind.problem]
        assert kind.problem in PROBLEM_NAMES
        assert set(kind.features) <= set(FEATURES)
        # Names are words of one list: --kernels separates them by commas.
        assert kind.name.replace("_", "").isalnum()


def test_every_kind_is_selected_for_some_problem_under_its_name():
    found = {v.name for problem in PROBLEMS for v in select_variants(problem)}
    assert found == {kind.name for kind in KINDS}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_variants_need_the_features_that_their_kind_declares(problem):
    for variant in select_variants(problem):
        assert variant.features == kind_named(variant.name).features
        assert variant.launches
        for launch in variant.launches:
            for feature in variant.features:
                directive = feature.removeprefix("shader-").replace("-", "_")
                assert any(f"enable {directive};" in found.head for found in variant.launches)
            assert "@compute" in launch.body


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_the_fastest_comes_first_and_the_last_needs_no_features(problem):
    counts = [len(variant.features) for variant in default_variants(problem)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert [kind.name for kind in kinds_for(problem)] == [
        kind.name for kind in KINDS if kind.problem is type(problem)
    ]


def test_parameters_that_do_not_fit_are_refused():
    problem = GemmProblem(256, 256, 40)
    tile = GEMM_TILED_F32.parameters(64, 64, 16, 8, 4)
    with pytest.raises(ValueError, match="gemm_tiled_f32"):
        GEMM_TILED_F32.variant(problem, tile)


@pytest.mark.slow
def test_tuning_tries_only_tiles_that_fit():
    problem = GemmProblem(1024, 640, 9 * 320, "int8", Conv2d(1, 32, 32, 320, 32, 32, 3, 1, 1))
    assert [kind.name for kind in TUNED_KINDS] == ["gemm_subgroup_matrix", "gemm_tiled_f32"]
    for kind in TUNED_KINDS:
        tried = list(kind.candidates(problem))
        assert len(tried) > 5
        assert len(set(tried)) == len(tried)
        assert all(kind.variant(problem, tile).name == kind.name for tile in tried)


def test_a_selection_is_told_with_its_parameters():
    first, *_ = describe_selection(GemmProblem(4096, 640, 640, "float16"))
    assert first.startswith("gemm_subgroup_matrix m=")
    assert "fragment=16x16x16" in first


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        kind_named("gemm_f64")
    assert "gemm_tiled_f32, " in caught.value.hint


@pytest.mark.parametrize(
    ("option", "resolved"),
    [
        ("auto", "auto"),
        ("generated", "generated"),
        ("attention_flash", "attention_flash"),
        ("tuned", "tuned"),
        ("gemm_tiled_f32, attention_flash", "gemm_tiled_f32,attention_flash"),
    ],
)
def test_the_option_kernels_takes_names(option, resolved):
    assert resolve_kernel_choice(option) == resolved


@pytest.mark.parametrize("option", ["", "tiled,auto", "gemm_tiled_f32,", "GEMM_TILED_F32"])
def test_the_option_kernels_refuses_unknown_names_with_the_known_ones(option):
    with pytest.raises(UsageError, match="no kernel variant is called") as caught:
        resolve_kernel_choice(option)
    assert ", ".join(variant_names()) in caught.value.hint


def test_the_documents_list_every_variant_with_the_features_that_it_requires():
    rows = {}
    text = (REPOSITORY / "docs" / "performance.md").read_text()
    for line in text.partition("| variant | requires |")[2].partition("\n\n")[0].splitlines()[2:]:
        name, requires, _ = line.strip("| ").split(" | ")
        rows[name.strip("`")] = rows.get(requires.removeprefix("as ").strip("`"), requires)
    assert list(rows) == variant_names()
    assert not [feature for feature in FEATURES if feature in rows[TUNED]]
    for kind in KINDS:
        named = {feature for feature in FEATURES if f"`{feature}`" in rows[kind.name]}
        assert named == set(kind.features), kind.name


def test_deprecated_modes_allow_what_they_did():
    written = [kind.name for kind in KINDS]
    assert set(resolve_kernel_choice("matrix").split(",")) == set(written)
    for mode, names in LEGACY_KERNEL_MODES.items():
        assert resolve_kernel_choice(mode) == ",".join(names)
    assert {name for name in written if name not in LEGACY_KERNEL_MODES["halves"]} == {
        "conv_winograd_subgroup_matrix", "gemm_subgroup_matrix",
        "attention_one_pass", "attention_subgroup_matrix",
    }  # fmt: skip
    assert "gemm_tiled_f16" not in LEGACY_KERNEL_MODES["subgroups"]
    assert "gemv_subgroups" not in LEGACY_KERNEL_MODES["tiled"]
