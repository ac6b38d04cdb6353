"""A tuned schedule is recorded as TVM does, and read from its files it becomes a variant."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from tvm.relax import op

from relax_functions import relax_function
from speck import SPECK
from wsd.compiler import driver, tvm_compat
from wsd.compiler.dump import Dump
from wsd.compiler.match.replace import shader_variants
from wsd.compiler.pipeline import (
    lower,
    lowering_passes,
    report_functions,
    run_passes,
    scheduling_passes,
)
from wsd.compiler.schedule_database import (
    ChosenDatabases,
    ScheduleDatabase,
    TunedKernel,
    TuningAdapter,
    TuningTarget,
    read_database,
    write_database,
)
from wsd.compiler.tir.schedule.candidates import schedule_candidates
from wsd.compiler.tir.schedule.matmul_direct import DirectTile, MatmulDirect
from wsd.compiler.tuned_variants import add_tuned_variants
from wsd.compiler.tvm_compat import (
    LoadedDatabase,
    build_functions,
    describe_record,
    normalized,
    shared_bytes,
    standalone_shader,
    storage_buffers,
    target,
    tir,
    version,
)
from wsd.errors import CompileError, ToolError, UsageError
from wsd.evaluate import tune_schedules
from wsd.evaluate.tune_schedules import (
    Budget,
    agree,
    tune_family,
    tune_function,
)
from wsd.kernels.registry import TUNED
from wsd.kernels.variant import Launch, Variant
from wsd.runtime.kernel_runner import KernelAdapter
from wsd.util.progress import Quiet

EMPTY = ScheduleDatabase(
    TuningTarget(version(), "a model", "its architecture", "f32"),
    TuningAdapter("google", "swiftshader", "SwiftShader driver"), ((16, 16),), 0, 1.05,
)  # fmt: skip
TILE = DirectTile(2, 4, threads=32, depth=4)


def imported(m=16, n=24, k=8):
    def body(emit, x, w):
        return emit(op.nn.relu(emit(op.matmul(x, emit(op.permute_dims(w))))))

    return relax_function({"x": (m, k), "w": (n, k)}, body)


def fused(m=16):
    return run_passes(lowering_passes({}), imported(m), Dump())


def the_function(module):
    [function] = (f for _, f in module.functions_items() if isinstance(f, tir.PrimFunc))
    return function


def database_of(module, tile=TILE):
    """Return a database by hand: a schedule of one function."""
    workload = normalized(the_function(module))
    with target():
        schedule = MatmulDirect(tile).apply(workload["main"], target(), False)
    workloads, records = describe_record(schedule, workload, 0, 0.001)
    return replace(
        EMPTY, kernels=(TunedKernel("f", 2, 1),), workloads=(workloads,), records=(records,)
    )


def test_a_tile_that_divides_a_gemm_is_taken_and_another_is_not():
    function = normalized(the_function(fused()))["main"]
    with target():
        assert MatmulDirect(TILE).apply(function, target(), False) is not None
        for tile in (DirectTile(3, 4), DirectTile(2, 5), DirectTile(2, 4, depth=3)):
            assert MatmulDirect(tile).apply(function, target(), False) is None


@pytest.fixture(scope="module")
def module():
    return fused()


@pytest.mark.slow
def test_a_database_gives_its_function_a_variant_for_the_adapters_it_was_tuned_on(module, tmp_path):
    write_database(database_of(module), tmp_path)
    [(name, [variant])] = add_tuned_variants({}, module, [read_database(tmp_path)]).items()
    assert name == "fused_linear_relu"
    assert (variant.name, variant.adapter_classes) == (TUNED, ("google swiftshader",))
    [launch] = variant.launches
    # 16x24 outputs in tiles of 2x4 are 48 threads.
    assert (launch.grid, variant.threads, variant.shared_bytes) == ((2, 1, 1), 32, 0)
    assert "@workgroup_size(32, 1, 1)\nfn main(" in launch.head + launch.body
    # The kernel of the rules, which the library keeps, has the same buffers.
    own = run_passes(scheduling_passes(), fused(), Dump())
    [shader] = build_functions({name: the_function(own)}).values()
    assert "@workgroup_size(64, 1, 1)" in shader
    assert sorted(storage_buffers(shader)) == sorted(launch.buffers)


@pytest.mark.slow
def test_a_tuned_variant_comes_after_the_written_ones_and_counts_as_they_do(module):
    written = Variant((), name="gemm_tiled_f32", operations=7)
    other = Variant((), name="gemm_tiled_f32", operations=9)
    found = add_tuned_variants(
        {"fused_linear_relu": [written], "other": [other]}, module, [database_of(module)]
    )
    assert found["other"] == [other]
    first, last = found["fused_linear_relu"]
    assert first == written
    assert (last.name, last.operations) == (TUNED, 7)


def test_a_function_is_written_without_blanks_and_tvm_finds_it(module, tmp_path):
    database = database_of(module)
    [line] = database.workloads
    data = base64.b64decode(json.loads(line)[1])
    text = data[8:].decode()
    assert int.from_bytes(data[:8], "little") == len(data) - 8
    assert text == json.dumps(json.loads(text), separators=(",", ":"))
    write_database(database, tmp_path)
    assert LoadedDatabase(tmp_path).has(normalized(the_function(module)))
    assert not LoadedDatabase(tmp_path).has(normalized(the_function(fused(m=8))))


def test_a_database_of_other_functions_gives_none(module):
    assert add_tuned_variants({}, fused(m=8), [database_of(module)]) == {}


@pytest.mark.slow
def test_a_named_database_that_is_of_no_use_is_refused(module):
    chosen = ChosenDatabases((database_of(module),), named=True)
    _, report = lower(imported(), {}, Dump(), chosen.databases)
    driver._check_use(chosen, report)
    _, without = lower(imported(m=8), {}, Dump(), chosen.databases)
    with pytest.raises(UsageError, match="a model has schedules for none") as caught:
        driver._check_use(chosen, without)
    assert "leave --database out" in caught.value.hint


@pytest.mark.slow
def test_databases_of_several_adapters_give_a_variant_each(module):
    other = replace(
        database_of(module, DirectTile(4, 4)), adapter=TuningAdapter("nvidia", "hopper", "")
    )
    [variants] = add_tuned_variants({}, module, [database_of(module), other]).values()
    assert [v.adapter_classes for v in variants] == [("google swiftshader",), ("nvidia hopper",)]
    assert len({v.launches[0].body for v in variants}) == 2


SHADER = """@group(0) @binding(0) var<storage, read_write> y_ptr : array<f32>;
var<workgroup> a : array<f32, 32>;
var<workgroup> b : array<vec4<f16>, 16>;

struct PODArgs {
  packGridDimX: u32
}
@group(0) @binding(1) var<uniform> podArgs : PODArgs;

@compute @workgroup_size(64, 1, 1)
fn f_kernel(
  @builtin(workgroup_id) blockIdx : vec3<u32>,
) {
  if (blockIdx.z * gridDim.x + blockIdx.x > podArgs.packGridDimX) { return; }
}
"""


def test_a_shader_that_stands_alone_has_no_uniform_buffer():
    code = standalone_shader(SHADER, "f_kernel", 5)
    assert "uniform" not in code
    assert "PODArgs" not in code
    assert "fn main(\n" in code
    assert "blockIdx.x > 5u) { return; }" in code
    assert shared_bytes(SHADER) == shared_bytes(code) == 4 * 32 + 8 * 16


@pytest.mark.parametrize(
    "change",
    [("packGridDimX: u32", "n: i32,\n  packGridDimX: u32"), ("fn f_kernel(", "fn g_kernel("),
     ("podArgs.packGridDimX)", "5u)")],
)  # fmt: skip
def test_a_shader_that_needs_its_uniform_buffer_is_refused(change):
    with pytest.raises(CompileError, match="f_kernel") as caught:
        standalone_shader(SHADER.replace(*change), "f_kernel", 5)
    assert "adapt standalone_shader" in caught.value.hint


def test_a_tuned_schedule_of_a_kernel_that_becomes_several_is_refused():
    launch = Launch("", "", (1, 1, 1), ("y",))
    variants = {"f": [Variant((launch,), name=TUNED, adapter_classes=("google swiftshader",))]}
    shaders = {"f_kernel": SHADER}
    assert shader_variants(variants, {}, shaders)["kernels"].keys() == {"f_kernel"}
    with pytest.raises(CompileError, match="f becomes several kernels"):
        shader_variants(variants, {}, {**shaders, "f_kernel_1": SHADER})


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_database_is_applied_in_another_process(tmp_path):
    write_database(database_of(fused()), tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from test_tuned_schedules import add_tuned_variants, fused, read_database\n"
        "found = add_tuned_variants({}, fused(), [read_database(Path(sys.argv[1]))])\n"
        "print([v.launches[0].grid for [v] in found.values()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[(2, 1, 1)]\n"


@pytest.mark.full
def test_candidates_are_the_same_in_the_same_order():
    function = normalized(the_function(fused()))["main"]
    traces = [[str(c.trace) for c in schedule_candidates(function)] for _ in range(2)]
    assert traces[0] == traces[1]
    assert len(set(traces[0])) > 20


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ([1, 2, 3], True),
        ([1, 2, 3 + 1e-5], True),
        ([1, 2, 3 + 1e-3], False),
        ([1, 2, np.nan], False),
        ([0, 0, 0], False),
    ],
)
def test_results_agree_up_to_rounding(found, good):
    expected = {"y": np.array([1, 2, 3], np.float32)}
    assert agree({"y": np.array(found, np.float32)}, expected) is good


def test_integers_agree_only_if_they_are_equal():
    expected = {"y": np.array([1000000, 2], np.int32)}
    assert agree({"y": np.array([1000000, 2], np.int32)}, expected)
    assert not agree({"y": np.array([1000001, 2], np.int32)}, expected)


@pytest.fixture(scope="module")
def linear():
    return normalized(the_function(fused(m=8)))


@pytest.fixture(scope="module")
def candidates(linear):
    return list(islice(schedule_candidates(linear["main"]), 12))


class TimedHost:
    """In the place of an adapter: each kernel takes the time of its place among them."""

    adapter = KernelAdapter(
        vendor="google", architecture="swiftshader", description="SwiftShader",
        features=frozenset({"timestamp-query"}), threads=256,
        shared_bytes=16384, subgroup_size=(0, 0), subgroup_matrices=frozenset(),
    )  # fmt: skip

    def __init__(self, own, others):
        self.own, self.others = own, others
        self.repeats = {}

    def supports(self, variant):
        return self.adapter.supports(variant)

    def hold(self, inputs):
        pass

    def run_generated(self, kernel, repeat, seconds=None):
        # Only the first run of a kernel that may hang is limited.
        assert (seconds is None) == (kernel.code in self.repeats or not self.repeats)
        self.repeats.setdefault(kernel.code, []).append(repeat)
        first = next(iter(self.repeats)) == kernel.code
        zeros = {name: np.zeros(count, dtype) for name, (count, dtype) in kernel.written.items()}
        return zeros, self.own if first else self.others


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "others", "gives_up"),
    [(100.0, 201.0, True), (100.0, 199.0, False), (0.01, 4.9, False), (0.01, 5.1, True)],
)
def test_a_candidate_that_is_far_slower_is_run_once(
    own, others, gives_up, linear, candidates, monkeypatch
):
    monkeypatch.setattr(tune_schedules, "schedule_candidates", lambda _: candidates)
    host = TimedHost(own, others)
    tuned = tune_function(host, "linear", linear, Budget(3, time.monotonic() + 60), 0)
    _, *repeats = host.repeats.values()
    assert len(repeats) == 3
    if gives_up:
        assert repeats == [[1]] * 3
        assert tuned is None
    else:
        assert [found[0] for found in repeats] == [1] * 3
        assert all(len(found) > 1 and found[1] > 1 for found in repeats)
        assert (tuned.before, tuned.after) == (own, others)


def hang(_):
    time.sleep(60)


def crash(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [(hang, "it took more than 3 s"), (crash, "its process ended with code -9")],
)
def test_a_schedule_that_hangs_or_crashes_tvm_fails_and_the_search_goes_on(
    fault, reason, linear, candidates, monkeypatch, capsys
):
    candidates, build = list(candidates)[:3], tvm_compat.build_functions
    bad = candidates[1].mod["main"]

    def build_functions(functions):
        return fault(functions) if bad in functions.values() else build(functions)

    monkeypatch.setattr(tvm_compat, "build_functions", build_functions)
    monkeypatch.setattr(tune_schedules, "_CANDIDATE_SECONDS", 3)
    monkeypatch.setattr(tune_schedules, "schedule_candidates", lambda _: candidates)
    host = TimedHost(2.0, 1.0)
    budget = Budget(3, time.monotonic() + 60)
    assert tune_function(host, "linear", linear, budget, 0) is not None
    # WSD's own schedule, and two of three candidates.
    assert len(host.repeats) == 3
    assert budget.trials == 0
    said = f"linear: a schedule fails, TVM does not compile it: {reason}\n"
    assert capsys.readouterr().err == said


@pytest.mark.slow
def test_a_schedule_that_hangs_dawn_fails_and_the_search_goes_on(
    linear, candidates, monkeypatch, capsys
):
    class Hanging(TimedHost):
        def run_generated(self, kernel, repeat, seconds=None):
            result = super().run_generated(kernel, repeat, seconds)
            if len(self.repeats) == 2:
                raise TimeoutError("it took more than 30 s")
            return result

    monkeypatch.setattr(tune_schedules, "schedule_candidates", lambda _: list(candidates)[:3])
    host = Hanging(2.0, 1.0)
    budget = Budget(3, time.monotonic() + 60)
    assert tune_function(host, "linear", linear, budget, 0) is not None
    assert len(host.repeats) == 4
    assert "linear: a schedule fails, Dawn does not run it: it took" in capsys.readouterr().err


def test_an_adapter_that_times_nothing_is_refused_before_a_model_is_traced(monkeypatch, tmp_path):
    host = TimedHost(1.0, 1.0)
    host.adapter = replace(TimedHost.adapter, features=frozenset())
    monkeypatch.setattr(tune_schedules, "open_kernel_host", lambda: nullcontext(host))
    monkeypatch.setattr(tune_schedules, "fuse_family", None)
    with pytest.raises(ToolError, match="does not time kernels"):
        tune_family(SPECK, SPECK.sizes, "f32", tmp_path / "new", 1, 1, 0, 1.05, (), Quiet())
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_an_adapter_is_opened(
    monkeypatch, tmp_path
):
    (tmp_path / "new").write_text("a file")
    monkeypatch.setattr(tune_schedules, "open_kernel_host", None)
    with pytest.raises(NotADirectoryError):
        tune_family(SPECK, SPECK.sizes, "f32", tmp_path / "new", 1, 1, 0, 1.05, (), Quiet())


def test_an_adapter_without_a_vendor_is_refused(monkeypatch, tmp_path):
    host = TimedHost(1.0, 1.0)
    host.adapter = replace(TimedHost.adapter, vendor="")
    monkeypatch.setattr(tune_schedules, "open_kernel_host", lambda: nullcontext(host))
    with pytest.raises(ToolError, match="does not say its vendor"):
        tune_family(SPECK, SPECK.sizes, "f32", tmp_path / "new", 1, 1, 0, 1.05, (), Quiet())
    assert not (tmp_path / "new").exists()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_search_that_is_continued_repeats_nothing(candidates, monkeypatch, tmp_path):
    module = fused(m=8)
    monkeypatch.setattr(tune_schedules, "schedule_candidates", lambda _: candidates)
    monkeypatch.setattr(
        tune_schedules, "fuse_family", lambda *_: (module, report_functions(module))
    )

    def tune(host, seed, gain=1.05):
        monkeypatch.setattr(tune_schedules, "open_kernel_host", lambda: nullcontext(host))
        found = tune_family(SPECK, SPECK.sizes, "f32", tmp_path, 100, 60, seed, gain, (), Quiet())
        assert read_database(tmp_path) == found
        return found

    slower = TimedHost(1.0, 3.0)
    found = tune(slower, 0)
    assert len(slower.repeats) > 1
    assert (found.kernels, len(found.without_gain)) == ((), 1)
    again = TimedHost(2.0, 1.0)
    assert tune(again, 0) == found
    assert again.repeats == {}
    # A schedule that gains too little is not kept, until less is asked for.
    little = TimedHost(1.2, 1.0)
    found = tune(little, 0, 1.3)
    assert (found.kernels, len(found.without_gain)) == ((), 1)
    unasked = TimedHost(1.2, 1.0)
    assert tune(unasked, 0, 1.3) == found
    assert unasked.repeats == {}
    # Another seed tries other candidates.
    faster = TimedHost(2.0, 1.0)
    [kernel] = tune(faster, 1).kernels
    assert (kernel.before, kernel.after) == (2.0, 1.0)
    assert read_database(tmp_path).without_gain == ()
    last = TimedHost(2.0, 1.0)
    tune(last, 2)
    assert last.repeats == {}


def two_functions():
    def body(emit, x, w, v):
        first = emit(op.nn.relu(emit(op.matmul(x, emit(op.permute_dims(w))))))
        return emit(op.nn.relu(emit(op.matmul(first, emit(op.permute_dims(v))))))

    module = relax_function({"x": (8, 8), "w": (24, 8), "v": (16, 24)}, body)
    return run_passes(lowering_passes({}), module, Dump())


@pytest.fixture
def search(monkeypatch, tmp_path):
    """Return a function that searches two functions, or those of them that are named."""
    module = two_functions()
    monkeypatch.setattr(
        tune_schedules, "schedule_candidates", lambda given: islice(schedule_candidates(given), 4)
    )
    monkeypatch.setattr(
        tune_schedules, "fuse_family", lambda *_: (module, report_functions(module))
    )
    # Each search opens a host, on which the first kernel is the slow one.
    monkeypatch.setattr(
        tune_schedules, "open_kernel_host", lambda: nullcontext(TimedHost(2.0, 1.0))
    )

    def tune(*named):
        found = tune_family(
            SPECK, SPECK.sizes, "f32", tmp_path / "new", 100, 60, 0, 1.05, named, Quiet()
        )
        return [kernel.function for kernel in found.kernels]

    return tune


@pytest.mark.slow
def test_functions_that_are_named_are_searched_and_no_others(search):
    assert search("fused_linear_relu") == ["fused_linear_relu"]
    # A later search goes on with what the folder has.
    assert search() == ["fused_linear_relu", "fused_linear1_relu1"]


def test_a_name_of_no_function_is_refused_before_anything_is_written(search, tmp_path):
    with pytest.raises(UsageError, match="no function fused_linear2_relu ") as caught:
        search("fused_linear_relu", "fused_linear2_relu")
    assert "such as fused_linear_relu" in caught.value.hint
    assert not (tmp_path / "new").exists()
