"""Written kernels replace the functions that they should; a match that is lost fails here."""

import pytest

from lowering import lower, lower_family, make_table
from matches import compare, compare_tables
from peak_bounds import check_peaks
from speck import BROAD, SPECK
from wsd.compiler import tvm_compat
from wsd.compiler.driver import compile_library
from wsd.compiler.pipeline import report_functions
from wsd.models.registry import FAMILIES, find_family
from wsd.util.hashing import sha256_bytes
from wsd.util.progress import Quiet

# Families and dtypes whose memory is compared where their matches are.
_BOUNDED = [("sdxl", "w8a16"), ("sd35-medium", "w8a16")]


def names(table, kind):
    return {
        name.split()[0]
        for entry in table["matched"]
        if entry["problem"]["kind"] == kind
        for name in entry["variants"]
    }


@pytest.fixture(scope="module")
def broad(request):
    """Return a module with layers of every kind, whose weights are stored in a precision."""
    return lower_family(BROAD, BROAD.sizes, request.param)


@pytest.mark.parametrize(
    "broad",
    ["f16", *(pytest.param(dtype, marks=pytest.mark.full) for dtype in ("w8a16", "w4a16"))],
    indirect=True,
)
def test_every_kind_of_variant_has_a_function_in_a_broad_model(broad):
    table = make_table(broad)
    assert names(table, "gemm") == {
        "gemm_subgroup_matrix", "gemm_tiled_f16", "gemm_tiled_f32",
        "gemv_subgroups", "gemv_workgroup_sum",
    }  # fmt: skip
    assert names(table, "attention") == {"attention_subgroup_matrix", "attention_flash"}
    assert names(table, "norm_sums") == {"norm_sums_subgroups", "norm_sums_workgroup"}
    # Every linear layer, convolution, attention and norm statistic matches.
    assert table["generated"] == []
    assert all(entry["calls"] for entry in table["matched"])


@pytest.mark.parametrize("broad", ["f16"], indirect=True)
def test_the_written_wgsl_of_a_broad_model(broad):
    """Of f16 weights too, which the shipped models in float32 do not have."""
    digests = {
        f"{function} {index} {variant.name} {number}": sha256_bytes(
            (launch.head + launch.body).encode()
        )[:16]
        for function, variants in report_functions(broad).variants.items()
        for index, variant in enumerate(variants)
        for number, launch in enumerate(variant.launches)
    }
    compare(f"broad-f16-written-tvm-{tvm_compat.version()}.json", digests)


@pytest.mark.exhaustive
def test_memory_is_planned_as_a_build_plans_it():
    """Lowering and planning give the figures that compiling gives."""
    compiled = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    planned = lower(SPECK, SPECK.sizes, "f32").library()
    expected = {entry.name: entry for entry in compiled.entry_points}
    assert len(planned.entry_points) > 8
    for entry in planned.entry_points:
        built = expected[entry.name]
        assert entry.workspace_bytes == built.workspace_bytes, entry.name
        assert entry.largest_buffer_bytes == built.largest_buffer_bytes, entry.name
    for component, parameters in planned.parameters.items():
        assert parameters == compiled.parameters[component]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "size", "dtypes", "bounded"),
    [
        ("sd15", (512, 512), ("f16", "w8a16"), ()),
        ("sdxl", (1024, 1024), ("w8a16",), ("w8a16",)),
        ("sd35-medium", (1024, 1024), ("w8a16",), ("w8a16",)),
    ],
)
def test_the_matches_and_the_memory_of_a_full_size_model(name, size, dtypes, bounded):
    """Lowering alone, without weights: minutes, where compiling takes half an hour.

    Every run selects variants for all problems of these tables (tests/unit/kernels/test_select.py),
    and matches every kind of layer of a small model.
    """
    family = find_family(name)
    lowered = {dtype: lower(family, (size,), dtype) for dtype in dtypes}
    tables = {dtype: make_table(one.module) for dtype, one in lowered.items()}
    compare_tables(name, tvm_compat.version(), tables)
    # Scheduling, which comes before memory is planned, changes what could be matched.
    for dtype in bounded:
        check_peaks(name, dtype, lowered[dtype].library())


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("sd15", "f16")] + [(name, "w8a16") for name in FAMILIES if (name, "w8a16") not in _BOUNDED],
)
def test_the_planned_memory_of_every_family(name, dtype):
    """Each family at its first size; the tables of matches above bound the rest."""
    family = find_family(name)
    check_peaks(name, dtype, lower(family, family.sizes[:1], dtype).library())
