"""Generate ``docs/api.md``: the npm package's types and functions, from their own comments.

``python -m tools.generate_api_reference`` writes the page; with ``--check`` it only says whether
the page is current (``nox -s lint``). The package carries the page as ``API.md``. typedoc refuses
what a public type refers to and the package does not export.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINT = ROOT / "web" / "lint"
PAGE = ROOT / "docs" / "api.md"
_HEAD = """\
# API of the JavaScript package

Everything that `web-stable-diffusion` exports, as its own comments have it
(`python -m tools.generate_api_reference` writes this page). `web-stable-diffusion/element` exports
the class of the custom element.

"""


def reference() -> str | None:
    """Return the page's text; None if typedoc refuses the sources, which it has then explained."""
    typedoc = LINT / "node_modules" / ".bin" / "typedoc"
    with tempfile.TemporaryDirectory() as folder:
        options = ("--options", "typedoc.api.json", "--out", folder)
        done = subprocess.run([typedoc, *options], cwd=LINT, check=False)
        if done.returncode != 0:
            return None
        text = (Path(folder) / "README.md").read_text(encoding="utf-8")
    lines = [line.rstrip() for line in text.splitlines()]
    return _HEAD + "\n".join(lines).strip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    given = parser.parse_args(arguments)
    text = reference()
    if text is None:
        return 1
    if not given.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("error: docs/api.md is not current", file=sys.stderr)
    print("hint: run: PYTHONPATH=.ci python -m tools.generate_api_reference", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
