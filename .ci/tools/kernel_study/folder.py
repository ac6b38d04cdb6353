"""Write the folder that the machine with the GPU needs."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.kernel_study.candidate import Candidate
from tools.kernel_study.candidates import list_candidates
from tools.kernel_study.problems import THOROUGH, StudyProblem
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import SUBGROUP_MATRIX

PROBLEMS_FILE = "problems.json.gz"
# Programs that are copied as they are.
PROGRAMS = ("bench.mjs", "reference.mjs", "run.sh", "table.py")
# Types of weights in bench.mjs.
_STORED = {"float32": "f32", "float16": "f16", "int8": "i8"}
# The standard deviation of int8 weights: few of them are clamped.
_INT8_DEVIATION = 40


def write_folder(folder: Path, problems: Mapping[str, StudyProblem]) -> str:
    """Write the problems with their shaders, and the programs; returns what was written, in words.

    Args:
        folder: where; it is made if it does not exist.
        problems: by their names, the first ones with every tile.
    """
    shaders: dict[str, str] = {}
    entries = [
        {
            "id": name,
            "operations": problem.operations,
            **_describe(problem),
            "candidates": [
                _candidate(candidate, shaders)
                for candidate in list_candidates(problem, all_tiles=number < THOROUGH)
            ],
        }
        for number, (name, problem) in enumerate(problems.items())
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"problems": entries, "shaders": shaders})
    (folder / PROBLEMS_FILE).write_bytes(gzip.compress(text.encode(), mtime=0))
    for program in PROGRAMS:
        shutil.copy(Path(__file__).parent / program, folder / program)
    count = sum(len(list(entry["candidates"])) for entry in entries)
    return f"{len(entries)} problems, {count} candidates, {len(shaders)} distinct shaders"


def _describe(problem: StudyProblem) -> dict[str, Any]:
    """Return what bench.mjs knows of a problem: its extents, its result, its random inputs."""
    if not isinstance(problem, GemmProblem):
        extents = ("batch", "queries", "keys", "heads", "head_dim", "scale")
        result, q, k, v = problem.buffers
        width = problem.heads * problem.head_dim
        query_values = problem.batch * problem.queries * width
        key_values = problem.batch * problem.keys * width
        return {
            "attention": {name: getattr(problem, name) for name in extents},
            "result": {"name": result, "count": query_values},
            "inputs": {
                q: _input("f32", query_values, 2, seed=8),
                k: _input("f32", key_values, 1, seed=9),
                v: _input("f32", key_values, 1, seed=10),
            },
        }
    conv = problem.conv
    image = conv.batch * conv.height * conv.width * conv.channels if conv else 0
    deviation = _INT8_DEVIATION if problem.weights == "int8" else problem.k**-0.5
    result, a, w, bias, residual = problem.buffers
    return {
        "gemm": {
            "m": problem.m,
            "n": problem.n,
            "k": problem.k,
            "conv": vars(conv) if conv else None,
        },
        "result": {"name": result, "count": problem.m * problem.n},
        "inputs": {
            a: _input("f32", image or problem.m * problem.k, 1, seed=4),
            w: _input(_STORED[problem.weights], problem.n * problem.k, deviation, seed=5),
            bias: _input("f32", problem.n, 0.1, seed=6),
            residual: _input("f32", problem.m * problem.n, 0.1, seed=7),
        },
    }


def _input(stored: str, count: int, deviation: float, *, seed: int) -> dict[str, Any]:
    return {"type": stored, "count": count, "std": deviation, "seed": seed}


def _candidate(candidate: Candidate, shaders: dict[str, str]) -> dict[str, Any]:
    """Return a candidate as bench.mjs reads it, and add its shaders to those that there are."""
    launches = []
    for launch in candidate.launches:
        digest = hashlib.sha256(launch.shader.encode()).hexdigest()[:12]
        shaders[digest] = launch.shader
        launches.append({**vars(launch), "shader": digest})
    return {
        "name": candidate.name,
        "scratch": candidate.scratch,
        "features": candidate.features,
        "matrix": SUBGROUP_MATRIX in candidate.features,
        "threads": candidate.threads,
        "shared": candidate.shared_bytes,
        "limit": candidate.limit,
        "launches": launches,
    }
