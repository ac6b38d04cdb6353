"""`wsd tune`: search faster schedules of a model's generated kernels on this machine's WebGPU.

For each TIR function that becomes one kernel, the schedules of
:func:`wsd.compiler.tir.schedule.candidates.schedule_candidates` are compiled, run through Dawn in
Node.js on seeded inputs, compared with what the schedule of WSD's rules computes, and timed. The
fastest is timed once more in turn with the rules' own; if it is faster by as much as was asked for,
it goes to the database. A schedule that hangs or crashes counts as tried, and the search goes on.
Functions with most work come first, and a caller may name those to search. The database is written
after each of them, so that an interrupted search keeps what it found, and does not repeat what it
did not find.
"""

from __future__ import annotations

import difflib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsd.compiler import tvm_compat
from wsd.compiler.driver import fuse_family
from wsd.compiler.passes.schedule import schedule_rules
from wsd.compiler.schedule_database import (
    TABLE,
    ScheduleDatabase,
    TunedKernel,
    TuningAdapter,
    check_database,
    read_database,
    tuning_target,
    write_database,
)
from wsd.compiler.tir.schedule.candidates import schedule_candidates
from wsd.errors import CompileError, RenderError, ToolError, UsageError
from wsd.kernels.variant import Variant
from wsd.models.family import Family
from wsd.runtime.kernel_runner import GeneratedKernel, KernelHost, open_kernel_host
from wsd.spec.tensor import Size
from wsd.util.files import check_file_target
from wsd.util.hashing import canonical_json, sha256_bytes
from wsd.util.process import call_apart
from wsd.util.progress import Progress
from wsd.util.terminal import say

# Candidates of one kernel that are timed at most, so that a search comes to several kernels.
_MOST_CANDIDATES = 16
# Relative error of a candidate's result, of the result of the rules' schedule: sums of float32 in
# another order differ by less.
_TOLERANCE = 1e-5
# A kernel is repeated until a round takes about this long.
_ROUND_MILLISECONDS = 5.0
_MAX_REPEAT = 200
# A candidate whose first run takes this many times as long as the fastest, and longer than a round,
# is not run again: on a software adapter one run of a convolution may take a second.
_FAR_SLOWER = 2.0
# Seconds in which a candidate must be compiled by TVM, and then compiled and run once by Dawn; as
# long as MetaSchedule's builder and runner wait. One that takes longer may never end.
_CANDIDATE_SECONDS = 30.0
# WebGPU's feature that tells what a kernel takes.
_TIMESTAMPS = "timestamp-query"
# The last comparison, in turns.
_TURNS = 3
# Inputs: float values are between these, so that quotients and roots are finite.
_LOW, _HIGH = 0.25, 1.0
# Buffers of more bytes than this are left out: 512 MiB.
_MAX_BYTES = 1 << 29


@dataclass
class Budget:
    """How long a search may go on.

    Attributes:
        trials: candidates that may still be timed.
        deadline: when it ends, as ``time.monotonic`` counts.
    """

    trials: int
    deadline: float

    @property
    def is_left(self) -> bool:
        """Tell whether another candidate may be timed."""
        return self.trials > 0 and time.monotonic() < self.deadline


@dataclass(frozen=True)
class TunedSchedule:
    """The fastest schedule of a function, and what it saves.

    Attributes:
        schedule: its trace begins with the function as MetaSchedule normalizes it.
        before: milliseconds with the schedule of WSD's rules.
        after: milliseconds with this one, timed in turn with the other.
    """

    schedule: Any
    before: float
    after: float

    def gains(self, ratio: float) -> bool:
        """Tell whether a kernel takes at least this many times as long without it."""
        return self.before >= ratio * self.after


def tune_family(
    family: Family, sizes: Sequence[Size], dtype: str, folder: Path, trials: int, seconds: float,
    seed: int, gain: float, named: Sequence[str], progress: Progress,
) -> ScheduleDatabase:  # fmt: skip
    """Search schedules for a family's generated kernels, and write what is faster to a database.

    Args:
        family: the model, as the checkpoint's configurations have it.
        sizes: (width, height) of the pictures in pixels.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
        folder: of the database; one that is there is continued: what it has is not tuned again,
            nor what had no faster schedule with the same seed and gain.
        trials: candidates that are timed at most.
        seconds: how long to search at most, after the functions are known.
        seed: decides the inputs and the order in which candidates are tried.
        gain: a schedule is kept if the rules' own takes at least this many times as long.
        named: the TIR functions to search; all of them if there are none.
        progress: shows the stages of compilation.

    Returns:
        the database that was written.

    Raises:
        UsageError: if the database in the folder is of another TVM, model, precision or adapter, or
            if one of the named functions is none that is searched.
        ToolError: if Node.js is missing, or the adapter cannot time kernels or has no vendor.
    """
    wanted = tuning_target(family, dtype, tvm_compat.version())
    earlier = read_database(folder) if (folder / TABLE).exists() else None
    if earlier is not None:
        check_database(earlier, wanted, folder)
    check_file_target(folder / TABLE)
    with open_kernel_host() as host:
        adapter = TuningAdapter(
            host.adapter.vendor, host.adapter.architecture, host.adapter.description
        )
        if not adapter.vendor:
            raise ToolError(
                f"the adapter {adapter.description!r} does not say its vendor",
                "tune on an adapter that does: schedules run on adapters of one vendor and "
                "architecture",
            )
        if _TIMESTAMPS not in host.adapter.features:
            raise _untimed(host)
        if earlier is not None and earlier.adapter != adapter:
            raise UsageError(
                f"{folder} was tuned on {earlier.adapter.description}, and this is "
                f"{adapter.description}",
                "tune into another folder: times of two adapters cannot be compared",
            )
        database = earlier or ScheduleDatabase(wanted, adapter, (), seed, gain)
        # Others of the candidates are tried, or less has to be gained.
        if (database.seed, database.gain) != (seed, gain):
            database = replace(database, seed=seed, gain=gain, without_gain=())
        database = replace(database, sizes=tuple(dict.fromkeys((*database.sizes, *sizes))))
        with progress:
            module, report = fuse_family(family, sizes, dtype, progress)
        functions = _choose(_functions(module, report.variants, report.operations, host), named)
        write_database(database, folder)
        known = tvm_compat.LoadedDatabase(folder)
        waiting = [
            (name, workload)
            for name, function in functions
            if not known.has(workload := tvm_compat.normalized(function))
            and _digest(workload) not in database.without_gain
        ]
        budget = Budget(trials, time.monotonic() + seconds)
        for number, (name, workload) in enumerate(waiting, 1):
            if not budget.is_left:
                break
            try:
                tuned = tune_function(host, name, workload, budget, seed)
            except (TimeoutError, ChildProcessError) as error:
                # It is not known whether anything is faster: another search tries again.
                say(f"{number} of {len(waiting)}: {name} is left out: {error}", error=True)
                continue
            if tuned is not None and tuned.gains(gain):
                database = _add(database, name, workload, tuned)
            elif budget.is_left:
                without_gain = (*database.without_gain, _digest(workload))
                database = replace(database, without_gain=without_gain)
            write_database(database, folder)
            say(f"{number} of {len(waiting)}: {name}: {_describe(tuned, gain)}", error=True)
    return database


def _digest(workload: Any) -> str:
    """Return the SHA-256 of a normalized function's text."""
    return sha256_bytes(workload.script().encode())


def _functions(
    module: Any, variants: dict[str, list[Variant]], operations: dict[str, int], host: KernelHost
) -> list[tuple[str, Any]]:
    """Return the TIR functions whose generated kernels the adapter runs, most work first.

    On a GPU, functions in whose place a written kernel runs are left out; software adapters run
    the generated ones.
    """
    found = []
    for variable, function in module.functions_items():
        name = str(variable.name_hint)
        if not isinstance(function, tvm_compat.tir.PrimFunc):
            continue
        replaced = any(host.supports(variant) for variant in variants.get(name, ()))
        if replaced and not host.adapter.is_software:
            continue
        found.append((name, function))
    return sorted(found, key=lambda pair: (-operations[pair[0]], pair[0]))


def _choose(functions: list[tuple[str, Any]], named: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the functions that a caller named, or all if none is named, in the order given.

    Raises:
        UsageError: if a name is that of no function; it says which names are close.
    """
    known = [name for name, _ in functions]
    for name in named:
        if name not in known:
            close = difflib.get_close_matches(name, known) or known[:3]
            raise UsageError(
                f"the model has no function {name} whose generated kernel runs on this adapter",
                f"name one as `wsd tune` lists it, such as {', '.join(close)}",
            )
    return [pair for pair in functions if not named or pair[0] in named]


def _add(
    database: ScheduleDatabase, name: str, workload: Any, tuned: TunedSchedule
) -> ScheduleDatabase:
    first, second = tvm_compat.describe_record(
        tuned.schedule, workload, len(database.kernels), tuned.after / 1000
    )
    return replace(
        database,
        kernels=(*database.kernels, TunedKernel(name, tuned.before, tuned.after)),
        workloads=(*database.workloads, first),
        records=(*database.records, second),
    )


def _describe(tuned: TunedSchedule | None, gain: float) -> str:
    if tuned is None:
        return "no faster schedule"
    kept = "" if tuned.gains(gain) else ", not kept"
    ratio = tuned.before / tuned.after
    return f"{tuned.before:.3f} ms, {tuned.after:.3f} ms tuned, {ratio:.2f} times as fast{kept}"


def describe_database(database: ScheduleDatabase) -> Iterator[str]:
    """Yield the lines of a table: each kernel, before, after, and how many times as fast."""
    yield "kernel\tbefore ms\tafter ms\tratio"
    for kernel in database.kernels:
        ratio = kernel.before / kernel.after
        yield f"{kernel.function}\t{kernel.before:.3f}\t{kernel.after:.3f}\t{ratio:.2f}"


def tune_function(
    host: KernelHost, name: str, workload: Any, budget: Budget, seed: int
) -> TunedSchedule | None:
    """Return the fastest schedule of a function other than that of WSD's rules.

    Args:
        host: runs kernels on one adapter.
        name: the function's name.
        workload: the function, of :func:`wsd.compiler.tvm_compat.normalized`.
        budget: gets as many trials less as candidates were timed, or took too long.
        seed: of the inputs, and of the order of the candidates.

    Returns:
        None if no candidate computes the same in at most twice the time, or if the function is
        none that can be compared: it becomes several kernels, its buffers are too large, or its
        results are not finite.

    Raises:
        ToolError: if the adapter cannot time kernels.
        TimeoutError, ChildProcessError: if TVM or Dawn takes too long or crashes with what WSD's
            rules make of it.
    """
    function = workload["main"]
    own = _kernel(name, scheduled_by_rules(function), function)
    if own is None or not _hold_inputs(host, own, function, seed):
        return None
    expected, ms = _run(host, own)
    if not all(_is_comparable(values) for values in expected.values()):
        return None
    repeat = min(_MAX_REPEAT, max(2, math.ceil(_ROUND_MILLISECONDS / max(ms, 1e-3))))
    best: tuple[float, Any, GeneratedKernel] | None = None
    slowest = _far_slower(ms)
    seen, failed = {own.code}, 0
    candidates = list(schedule_candidates(function))
    for index in np.random.default_rng(seed).permutation(len(candidates)):
        if not budget.is_left or len(seen) + failed > _MOST_CANDIDATES:
            break
        schedule = candidates[index]
        try:
            kernel = _kernel(name, schedule.mod["main"], function)
        except (TimeoutError, ChildProcessError) as error:
            failed += 1
            budget.trials -= 1
            say(f"{name}: a schedule fails, TVM does not compile it: {error}", error=True)
            continue
        if kernel is None or kernel.code in seen:
            continue
        seen.add(kernel.code)
        budget.trials -= 1
        try:
            results, once = _run(host, kernel, 1, _CANDIDATE_SECONDS)
            if not agree(results, expected) or once > slowest:
                continue
            _, ms = _run(host, kernel, repeat)
        except (TimeoutError, ChildProcessError) as error:
            say(f"{name}: a schedule fails, Dawn does not run it: {error}", error=True)
            continue
        except RenderError:
            continue  # Dawn refuses the shader: too many threads or too much memory.
        if best is None or ms < best[0]:
            best = ms, schedule, kernel
            slowest = min(slowest, _far_slower(ms))
    if best is None:
        return None
    _, schedule, kernel = best
    turns = [(_run(host, own, repeat)[1], _run(host, kernel, repeat)[1]) for _ in range(_TURNS)]
    before, after = (min(times) for times in zip(*turns, strict=True))
    return TunedSchedule(schedule, before, after)


def _far_slower(ms: float) -> float:
    """Return the milliseconds of a first run beyond which a candidate is given up.

    Short runs never are: the first one of a kernel on an idle GPU says little.
    """
    return max(_ROUND_MILLISECONDS, _FAR_SLOWER * ms)


def scheduled_by_rules(function: Any) -> Any:
    """Return a function with the schedule of WSD's rules and dlight's, which `wsd compile` takes.

    Raises:
        CompileError: if no rule fits.
    """
    target = tvm_compat.target()
    with target:
        for rule in schedule_rules():
            schedule = rule.apply(function, target, False)
            if schedule is not None:
                return schedule.mod["main"]
    raise CompileError("no schedule rule fits a function", "report this as a bug")


def _kernel(name: str, scheduled: Any, function: Any) -> GeneratedKernel | None:
    """Return the kernel that a scheduled function becomes.

    Returns:
        None if there are several or none, or if its buffers cannot be told apart: a function may
        have two parameters of one name.

    Raises:
        TimeoutError: if TVM does not compile it in time.
        ChildProcessError: if TVM crashes.
    """
    shaders = json.loads(call_apart(lambda: _build(name, scheduled), _CANDIDATE_SECONDS))
    if len(shaders) != 1:
        return None
    [(kernel, code)] = shaders.items()
    extents = tvm_compat.thread_extents(scheduled)
    if extents.get("blockIdx.z", 1) != 1:
        return None  # tvmjs has a use of its own for it.
    buffers = {tvm_compat.name_of(b): b for b in tvm_compat.buffers_of(function)}
    bound = tvm_compat.storage_buffers(code)
    if len(buffers) != len(tvm_compat.buffers_of(function)) or not buffers.keys() >= set(bound):
        return None
    written = tvm_compat.written_buffers(code)
    return GeneratedKernel(
        name=kernel,
        code=code,
        grid=(extents.get("blockIdx.x", 1), extents.get("blockIdx.y", 1)),
        buffers=tuple(bound),
        written={n: _values(buffers[n]) for n in buffers if n in written},
    )


def _build(name: str, scheduled: Any) -> bytes:
    """Return the shaders of a scheduled function as JSON; none if TVM refuses it."""
    try:
        with tvm_compat.calling_tvm("code generation for a schedule that is tried"):
            return canonical_json(tvm_compat.build_functions({name: scheduled}))
    except CompileError:
        return canonical_json({})


def _values(buffer: Any) -> tuple[int, np.dtype[Any]]:
    count = math.prod(int(extent) for extent in buffer.shape)
    return count, np.dtype(str(buffer.dtype))


def _hold_inputs(host: KernelHost, kernel: GeneratedKernel, function: Any, seed: int) -> bool:
    """Upload seeded values for all that a kernel reads; False if there is too much of them."""
    buffers = {tvm_compat.name_of(b): _values(b) for b in tvm_compat.buffers_of(function)}
    if any(count * dtype.itemsize > _MAX_BYTES for count, dtype in buffers.values()):
        return False
    generator = np.random.default_rng(seed)
    host.hold(
        {
            name: _random_values(generator, *buffers[name])
            for name in kernel.buffers
            if name not in kernel.written
        }
    )
    return True


def _random_values(generator: np.random.Generator, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return values that every kernel can take: indices are small, packed words hold float16."""
    if dtype.kind == "f":
        return generator.uniform(_LOW, _HIGH, count).astype(dtype)
    if dtype == np.uint32:
        return generator.uniform(_LOW, _HIGH, 2 * count).astype(np.float16).view(np.uint32)
    return generator.integers(0, 2, count).astype(dtype)


def _run(
    host: KernelHost, kernel: GeneratedKernel, repeat: int = 2, seconds: float | None = None
) -> tuple[dict[str, np.ndarray], float]:
    results, ms = host.run_generated(kernel, repeat, seconds)
    if ms is None:
        raise _untimed(host)
    return results, ms


def _untimed(host: KernelHost) -> ToolError:
    return ToolError(
        f"the adapter {host.adapter.description} does not time kernels",
        f"tune on an adapter with the WebGPU feature {_TIMESTAMPS}",
    )


def _is_comparable(values: np.ndarray) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def agree(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    """Tell whether a candidate's results are those of the rules' schedule, up to rounding.

    Integers must be equal; floats may have a relative error, over a buffer, of 1e-5.
    """
    for name, values in expected.items():
        others = found[name]
        if values.dtype.kind != "f":
            if not np.array_equal(others, values):
                return False
            continue
        error = np.linalg.norm(others.astype(np.float64) - values)
        if not error <= _TOLERANCE * np.linalg.norm(values.astype(np.float64)):
            return False
    return True
