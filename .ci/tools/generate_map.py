"""Generate ``docs/map.md``: one line for each file, from the file's own first sentence.

``python -m tools.generate_map`` writes the page; with ``--check`` it only says whether the page
is current (``nox -s lint``). A file without a first sentence is an error: write one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.generated_page import ROOT, only_compare, write_or_compare

PAGE = ROOT / "docs" / "map.md"

# Folder → what it holds, in the order in which data flows. A folder that is not named here is
# not on the map; a new room is one line.
FOLDERS = {
    "wsd": "The Python package. Rooms import downwards only (`nox -s lint` holds it): "
    "`cli` > `evaluate` > `runtime` > `bundle` > `compiler` > `kernels`, `frontend` > "
    "`checkpoint` > `models` > `supply_chain` > `spec` > `util`.",
    "web": "The package and the page in the browser: TypeScript, and what builds it.",
    "examples": "Small projects that use the npm package; `examples/README.md` tells of them.",
    ".ci": "Tools of this repository, which nox sessions and CI run; not in the package.",
    "docker": "The appliance: pins, lock files, a script for each stage, nginx.",
    "tests": "Tests, their helpers, and the training of the small models.",
}
_KINDS = {".py", ".ts", ".mjs", ".j2", ".sh", ".wgsl"}
# Programs at the top, or without an ending, through which everything starts.
ENTRANCES = ("nox", "noxfile.py", "Dockerfile", ".ci/run", ".ci/engine")
_INTRODUCTION = """# Map

One line for each file, from the file's own first sentence. `python -m tools.generate_map`
writes this page (with `PYTHONPATH=.ci`), and `nox -s lint` compares it. Words that need an
explanation are in the [glossary](glossary.md).
"""


def first_sentence(path: Path) -> str:
    """Return the first sentence of a file's docstring or first comment, or nothing."""
    text = path.read_text(encoding="utf-8")
    comment = _python(text) if path.suffix == ".py" else _comment(text)
    paragraph = " ".join(comment.strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph)[0]
    return sentence.replace("``", "`").rstrip(":.")


def _says(path: Path) -> bool:
    return path.name == "__init__.py" or bool(first_sentence(path))


def _python(text: str) -> str:
    return ast.get_docstring(ast.parse(text)) or ""


def _comment(text: str) -> str:
    """Return the first comment of a TypeScript, shell, or template file."""
    text = re.sub(r"\A#!.*\n|\A# shellcheck .*\n", "", text)
    if block := re.match(r"\s*(?:/\*\*?|\{#)(.*?)(?:\*/|#\})", text, re.S):
        return re.sub(r"(?m)^\s*\* ?", "", block[1]).strip()
    lines: list[str] = []
    for line in text.splitlines():
        found = re.match(r"\s*(?://|#)\s?(.*)", line)
        if not found:
            if lines or line.strip():
                break
            continue
        lines.append(found[1])
    return "\n".join(lines)


def tracked_files() -> list[Path]:
    """Return the repository's files, also those that git does not yet track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return [
        path
        for path in sorted({ROOT / line for line in done.stdout.splitlines()})
        if path.is_file()
    ]


def rows() -> Iterator[str]:
    """Yield the page's lines."""
    yield _INTRODUCTION
    yield "## Where everything starts\n\n| file | what it is |\n|---|---|"
    for name in ENTRANCES:
        yield _row(name, ROOT / name)
    yield ""
    files = [path.relative_to(ROOT) for path in tracked_files() if _is_listed(path)]
    for top, what in FOLDERS.items():
        yield f"## `{top}/`\n\n{what}\n"
        folder = None
        for path in sorted((p for p in files if p.parts[0] == top), key=_order):
            if path.parent != folder:
                folder = path.parent
                heading = _room(ROOT / folder)
                yield f"\n### `{folder.as_posix()}/`\n\n{heading}| file | what it is |\n|---|---|"
            if path.name != "__init__.py":
                yield _row(path.name, ROOT / path)
        yield ""


def _row(name: str, path: Path) -> str:
    return f"| `{name}` | {first_sentence(path).replace('|', '&#124;')} |"


def _is_listed(path: Path) -> bool:
    """Tell whether a file is on the map: sources are; the name of a test file says enough."""
    is_test = path.name.startswith("test_") or path.name.endswith(".test.ts")
    return path.suffix in _KINDS and not is_test and not _is_empty(path)


def _order(path: Path) -> tuple[str, ...]:
    """Sort a folder's own files before those of its subfolders."""
    return (*(f"1{part}" for part in path.parts[:-1]), f"0{path.name}")


def _room(folder: Path) -> str:
    """Return what a room's ``__init__.py`` says of it."""
    face = folder / "__init__.py"
    return f"{first_sentence(face)}.\n\n" if face.is_file() and not _is_empty(face) else ""


def _is_empty(path: Path) -> bool:
    return not path.read_text(encoding="utf-8").strip()


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; returns the exit code."""
    compare = only_compare(__doc__, arguments)
    listed = [path for path in tracked_files() if _is_listed(path)]
    silent = [path for path in (*listed, *(ROOT / e for e in ENTRANCES)) if not _says(path)]
    if silent:
        for path in silent:
            print(f"error: {path.relative_to(ROOT)} says nowhere what it is", file=sys.stderr)
        print("hint: begin it with a docstring or a comment of one sentence", file=sys.stderr)
        return 1
    text = "\n".join(rows()).rstrip() + "\n"
    return write_or_compare(PAGE, text, "generate_map", compare=compare)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
