"""Print the results of bench.mjs, for each problem the fastest first: table.py RESULTS.jsonl.

It runs on the machine with the GPU, so it needs nothing but Python's standard library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What the names of the product's own variants begin with.
_TODAY = "today "
# By whether they use subgroup matrices: browsers offer these only behind a flag.
_KINDS = {False: "plain", True: "matrix"}


def read_results(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """Return the adapter, and the results by problem and candidate; a later result counts."""
    adapter: dict[str, Any] = {}
    problems: dict[str, dict[str, dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "adapter" in entry:
            adapter = entry
        elif "key" in entry:
            problem, _, candidate = entry["key"].partition(" | ")
            problems.setdefault(problem, {})[candidate] = entry
    return adapter, problems


def summarize(problem: str, found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each kind: the best correct candidate beside the product's."""
    for matrix, kind in _KINDS.items():
        rows = [(e["ms"], n, e) for n, e in found.items() if "ms" in e and e["matrix"] == matrix]
        today = min((ms for ms, name, _ in rows if name.startswith(_TODAY)), default=None)
        best = min((row for row in rows if row[2]["ok"]), default=None, key=lambda row: row[0])
        if best is None:
            continue
        ms, name, entry = best
        gain = f"today {today:8.3f} ms, {today / ms:5.2f}x" if today else "no variant today"
        rate = f"{entry['tflops']:6.1f} TFLOP/s"
        yield f"{problem:30} {kind:6} best {ms:8.3f} ms {rate}, {gain}  {name}"


def list_rows(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each candidate that ran, the fastest first."""
    ran = [(name, entry) for name, entry in found.items() if "failure" not in entry]
    for name, entry in sorted(ran, key=lambda item: float(item[1].get("ms", 0))):
        error = entry["error"]
        words = ["      nan" if error is None else f"{error:9.1e}", _KINDS[entry["matrix"]], name]
        if "ms" in entry:
            words.insert(0, f"{entry['ms']:9.4f} ms {entry['tflops']:7.1f} TFLOP/s")
        if not entry["ok"]:
            words.append(f"WRONG (limit {entry['limit']:.0e})")
        words += [f"{part} {ms:.3f}" for part, ms in entry.get("parts", {}).items()]
        words.append(f"compiled in {entry['compileMs']} ms")
        yield "  ".join(words)


def main(path: Path) -> None:
    """Print the summary, all candidates of each problem, and what failed."""
    adapter, problems = read_results(path)
    print(json.dumps(adapter))
    for problem, found in problems.items():
        for line in summarize(problem, found):
            print(line)
    for problem, found in problems.items():
        print(f"\n== {problem}", *list_rows(found), sep="\n")
    print("\n== failures")
    for problem, found in problems.items():
        for name, entry in found.items():
            if "failure" in entry:
                print(problem, name, entry["failure"], sep=" | ")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
