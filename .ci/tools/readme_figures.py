"""``python -m tools.readme_figures``: measure the README's figures and write them.

The figures go to ``docs/figures.json`` first; the README's table is made from that file, and a
test compares the two. Measure on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from wsd.models.registry import find_family
from wsd.util.files import REPOSITORY, write_atomically
from wsd.util.process import run

FILE = REPOSITORY / "docs" / "figures.json"
README = REPOSITORY / "README.md"
_MODEL = "tiny-sd15"
_PROMPT = find_family(_MODEL).examples[0]
_BEGIN, _END = "<!-- figures: python -m tools.readme_figures -->\n", "<!-- end of figures -->"
_MIB = 1 << 20


def measure(folder: Path) -> dict[str, Any]:
    """Build and draw; returns seconds, bytes and counts.

    Args:
        folder: an empty one, for a cache and bundles.
    """
    environment = {"WSD_CACHE": str(folder / "cache")}
    wsd = [sys.executable, "-m", "wsd"]

    def seconds(*arguments: str | Path) -> float:
        began = time.monotonic()
        run([*wsd, *arguments], env=environment)
        return time.monotonic() - began

    first = seconds("build", "--model", _MODEL, "--out", folder / "first")
    again = seconds("build", "--model", _MODEL, "--random-weights", "1", "--out", folder / "again")
    report = folder / "figures.json"
    seconds("render", folder / "first", "--prompt", _PROMPT, "--out", folder / "x.png",
            "--json", report)  # fmt: skip
    drawn = json.loads(report.read_text(encoding="utf-8"))
    model = folder / "first" / "models" / _MODEL
    return {
        "machine": f"{os.cpu_count()} cores of {platform.machine()}",
        "adapter": " ".join(value for value in drawn["adapter"].values() if value),
        "build_s": first,
        "rebuild_s": again,
        "load_s": drawn["timings_ms"]["load"] / 1000,
        "picture_s": drawn["timings_ms"]["total"] / 1000,
        "pipelines": drawn["usage"]["pipelines"],
        "model_bytes": sum(path.stat().st_size for path in model.iterdir()),
    }


def table(figures: dict[str, Any]) -> str:
    """Return the README's table of figures, with the commands that give them."""
    build = f"wsd build --model {_MODEL}"
    draw = "`wsd render --json`"
    size = f"{figures['model_bytes'] / _MIB:.0f} MiB"
    rows = [
        ("compile and build, nothing cached", "build_s", f"`{build} --out dist`"),
        ("the same, only weights changed", "rebuild_s", f"`{build} --random-weights 1 --out dist`"),
        (f"load the page: {figures['pipelines']} pipelines, {size}", "load_s", f"{draw}, load"),
        ("a picture: 20 steps, guidance 3, 128x128", "picture_s", f"{draw}, total"),
    ]
    lines = [
        f"`{_MODEL}` on {figures['machine']} with Chromium's software adapter "
        f"({figures['adapter']}); a GPU is faster by orders of magnitude.",
        "",
        "| what | seconds | command |",
        "|---|---|---|",
        *(f"| {what} | {figures[key]:.0f} | {command} |" for what, key, command in rows),
    ]
    return "\n".join(lines) + "\n"


def with_figures(readme: str, figures: dict[str, Any]) -> str:
    """Return a README with its table made anew."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table(figures)}{_END}{after}"


def main() -> None:
    """Measure, and write both files."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    write_atomically(FILE, json.dumps(figures, indent=2).encode() + b"\n")
    write_atomically(README, with_figures(README.read_text(encoding="utf-8"), figures).encode())


if __name__ == "__main__":
    main()
