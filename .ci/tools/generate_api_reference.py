"""Generate ``docs/api.md``: the npm package's types and functions, from their own comments.

``python -m tools.generate_api_reference`` writes the page; with ``--check`` it only says whether
the page is current (``nox -s lint``). The package carries the page as ``API.md``. typedoc refuses
what a public type refers to and the package does not export.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.generated_page import ROOT, only_compare, write_or_compare

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
    compare = only_compare(__doc__, arguments)
    text = reference()
    if text is None:
        return 1
    return write_or_compare(PAGE, text, "generate_api_reference", compare=compare)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
