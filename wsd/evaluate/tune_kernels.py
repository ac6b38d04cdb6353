"""Measure which tile is fastest for each GEMM problem: ``python -m wsd.evaluate.tune_kernels``.

The arguments are SECONDS OUT LIBRARY...: a limit of time, the tuning table to write, and the
``library.json`` of libraries that ``wsd compile`` wrote. For each GEMM problem of the libraries,
every candidate of each tuned kind in the registry is timed, and the fastest of each kind goes to
the table. Entries that the table already has are kept, so that a table can be made in several
runs. Candidates are timed one after another on one GPU, because only their ratio matters.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsd.errors import UsageError, WsdError
from wsd.kernels.problem import GemmProblem, read_gemm_problem
from wsd.kernels.registry import TUNED_KINDS
from wsd.kernels.tuning.table import (
    TunedAdapter,
    TunedTile,
    TuningTable,
    problem_key,
    read_tuning_table,
    write_tuning_table,
)
from wsd.runtime.kernel_runner import KernelHost, open_kernel_host
from wsd.spec.parameter import GROUP
from wsd.util.json_reader import MAX_SHADER_BYTES, MAX_SHADER_MARKS, read_json
from wsd.util.terminal import say

# A candidate is repeated until it should have taken this long at an assumed 30 TFLOP/s, because
# the GPU's clock may tick only every 0.1 ms.
_MIN_MILLISECONDS = 10.0
_OPERATIONS_PER_MILLISECOND = 3e10
# Problems with more values in A are left out: 512 MiB of float32.
_MAX_VALUES = 1 << 27
_PLAIN = GemmProblem(1, 1, 1)


def tune(host: KernelHost, problem: GemmProblem) -> dict[str, TunedTile]:
    """Return the fastest tile of each tuned kind that the GPU supports, by the kind's name.

    Args:
        host: runs kernels on one GPU.
        problem: a GEMM problem without an epilogue; its operands are random numbers.

    Raises:
        RenderError: if a kernel does not compile or run.
    """
    conv = problem.conv
    a_values = (
        conv.batch * conv.height * conv.width * conv.channels if conv else problem.m * problem.k
    )
    random = np.random.default_rng(0)
    a = random.random(a_values, np.float32)
    host.hold({"a": a, **_random_weights(random, problem)})
    repeat = int(1 + _MIN_MILLISECONDS * _OPERATIONS_PER_MILLISECOND / problem.operations)
    best: dict[str, TunedTile] = {}
    for kind in TUNED_KINDS:
        for tile in kind.candidates(problem):
            variant = kind.variant(problem, tile)
            if not host.supports(variant):
                continue
            _, ms = host.run(variant, {}, problem.m * problem.n, repeat)
            assert ms is not None
            if kind.name not in best or ms < best[kind.name].ms:
                best[kind.name] = TunedTile(tile, ms)
    return best


def _random_weights(random: np.random.Generator, problem: GemmProblem) -> dict[str, np.ndarray]:
    """Return seeded values of W, and of int4 its scales, by the names of :data:`_PLAIN`."""
    values = problem.n * problem.k
    if problem.weights == "int4":
        scales = random.random(values // GROUP, np.float32).astype(np.float16)
        return {"w": random.integers(0, 256, values // 2, np.uint8), "scales": scales}
    dtypes = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
    return {"w": random.random(values, np.float32).astype(dtypes[problem.weights])}


def _without_epilogue(problem: GemmProblem) -> GemmProblem:
    scales = ("scales",) if problem.weights == "int4" else ()
    return replace(problem, buffers=(*_PLAIN.buffers, *scales), epilogue=_PLAIN.epilogue)


def read_problems(paths: Iterable[Path]) -> list[GemmProblem]:
    """Return the GEMM problems of ``library.json`` files, those with most operations first.

    Each key of the table (:func:`wsd.kernels.tuning.table.problem_key`) occurs once. Epilogues
    are left out, because they hardly change which tile is fastest.

    Args:
        paths: the ``library.json`` of libraries that ``wsd compile`` wrote.

    Raises:
        UsageError: if one is missing or no JSON.
        OSError: if one cannot be read.
    """
    found: dict[str, GemmProblem] = {}
    for path in paths:
        table = read_json(
            path, UsageError, "name what `wsd compile` wrote",
            max_bytes=MAX_SHADER_BYTES, max_marks=MAX_SHADER_MARKS,
        )  # fmt: skip
        for entry in table["gemm_problems"]:
            problem = _without_epilogue(read_gemm_problem(entry))
            if problem.m * problem.k <= _MAX_VALUES:
                found[problem_key(problem)] = problem
    return sorted(found.values(), key=lambda problem: -problem.operations)


def main(arguments: list[str]) -> None:
    """Tune the GEMM problems of libraries: SECONDS OUT LIBRARY..."""
    seconds, out, *libraries = arguments
    problems = read_problems(Path(library) for library in libraries)
    deadline = time.monotonic() + float(seconds)
    table: TuningTable = read_tuning_table(Path(out))
    # If a kernel kills the GPU process, the inner loop ends, and the outer loop starts another one.
    while any(problem_key(p) not in table for p in problems) and time.monotonic() < deadline:
        with open_kernel_host() as host:
            adapter = TunedAdapter(
                host.adapter.vendor, host.adapter.architecture, host.adapter.description
            )
            for problem in problems:
                key = problem_key(problem)
                if key in table or time.monotonic() > deadline:
                    continue
                table[key] = {}  # the problem is not tried again if it kills the process
                try:
                    table[key] = tune(host, problem)
                except WsdError as error:
                    say(f"{key}: {error}", error=True)
                    break
                times = {kind: f"{best.ms:.3f} ms" for kind, best in table[key].items()}
                say(f"{len(table)} of {len(problems)}: {key}: {times}", error=True)
                write_tuning_table(Path(out), adapter, table)


if __name__ == "__main__":
    main(sys.argv[1:])
