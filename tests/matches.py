"""Tables of the problems that written kernels match in a model, and what is selected for them.

A table lists the problems of a model at one size and dtype, how many TIR functions and calls
have each, and the selected variants with their parameters. Functions that sum over something
and match no problem are listed as generated. ``lowering.py`` makes tables.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path

from wsd.kernels.problem import Conv2d
from wsd.kernels.registry import PROBLEM_NAMES, kinds_for

GOLDEN = Path(__file__).parent / "golden"
_PROBLEMS = {name: problem for problem, name in PROBLEM_NAMES.items()}
# Functions of one problem differ in the first two, and no selection depends on them; the others are
# those of the products of a variant, never of a function.
_NOT_STORED = ("buffers", "epilogue", "products", "a_dtype")
# What few problems have is told of them alone.
_STORED_IF_TRUE = ("bias",)


def write_problem(problem):
    """Return a problem as JSON, without its buffers and its epilogue."""
    kept = {
        name: value
        for name, value in asdict(problem).items()
        if name not in _NOT_STORED and (value or name not in _STORED_IF_TRUE)
    }
    return {"kind": PROBLEM_NAMES[type(problem)], **kept}


def read_problem(entry):
    """Return a problem from its JSON; its buffers and its epilogue are the default ones."""
    values = {name: value for name, value in entry.items() if name != "kind"}
    if values.get("conv"):
        values["conv"] = Conv2d(**values["conv"])
    return _PROBLEMS[entry["kind"]](**values)


def describe_selection(problem):
    """Return the variants of a problem, each as its name and its parameters."""
    return [
        " ".join([kind.name, *_describe_parameters(parameters)])
        for kind in kinds_for(problem)
        for parameters in kind.choose(problem)
    ]


def _describe_parameters(parameters):
    if parameters is None:
        return []
    values = {field.name: getattr(parameters, field.name) for field in fields(parameters)}
    return [
        f"{name}={'x'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in values.items()
    ]


def compare(name, found):
    """Compare key → value with a kept table; or keep it, as ``nox -s golden`` does."""
    path = GOLDEN / name
    if os.environ.get("WSD_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert path.is_file(), f"there is no {name}; run: nox -s golden"
    expected = json.loads(path.read_text())
    changed = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    assert not changed, f"{name}: {len(changed)} changed; if meant, run: nox -s golden"


def compare_tables(model, version, found):
    """Compare a model's tables, dtype → table, with those that are kept for a version of TVM.

    If ``WSD_UPDATE_GOLDEN`` is set, as ``nox -s golden`` does, they are kept from now on.
    """
    path = GOLDEN / f"matches-{model}-tvm-{version}.json"
    text = write_tables(found)
    if os.environ.get("WSD_UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.is_file(), f"there is no {path.name}; run: nox -s golden"
    kept, now = (Counter(lines.splitlines()) for lines in (path.read_text(), text))
    changes = [
        *(f"- {line.strip()}" for line in sorted((kept - now).elements())),
        *(f"+ {line.strip()}" for line in sorted((now - kept).elements())),
    ]
    message = f"{path.name}: other functions match; if meant, run: nox -s golden"
    assert not changes, "\n".join([message, *changes])


def write_tables(tables):
    """Return tables, dtype → table, as JSON with a line for each problem and function."""

    def write_list(name, entries):
        lines = ",\n".join(f"   {json.dumps(entry)}" for entry in entries)
        return f'  "{name}": [\n{lines}\n  ]' if lines else f'  "{name}": []'

    blocks = []
    for dtype, table in sorted(tables.items()):
        lists = ",\n".join(write_list(name, entries) for name, entries in table.items())
        blocks.append(f' "{dtype}": {{\n{lists}\n }}')
    return "{\n" + ",\n".join(blocks) + "\n}\n"
