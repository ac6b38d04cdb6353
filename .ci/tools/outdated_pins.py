"""``nox -s update-pins``: list the pinned sources that have newer releases, and change nothing.

A release is a tag that is nothing but a version. What to take of it is a decision:
Emscripten follows Debian's LLVM, and TVM is what the project promises.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from wsd.errors import WsdError
from wsd.supply_chain.pins import Source, read_pins
from wsd.util.process import find_program, run

_TAG = re.compile(r"refs/tags/v?(\d+(?:\.\d+)*|version_\d+)$")


def newer_releases() -> Iterator[str]:
    """Yield one line for each source.

    Raises:
        ToolError: if git is missing or a repository does not answer.
    """
    git = find_program("git", "install git")
    for name, source in read_pins().source.items():
        listed = run([git, "ls-remote", "--tags", source.url], hint="is the network there?")
        yield _line(name, source, listed)


def _line(name: str, source: Source, listed: str) -> str:
    tags = [found[1] for line in listed.splitlines() if (found := _TAG.search(line))]
    newest = max(tags, key=lambda tag: [int(n) for n in re.findall(r"\d+", tag)], default="none")
    return f"{name}: pinned {source.version or source.commit}, newest release {newest}"


if __name__ == "__main__":
    try:
        for line in newer_releases():
            print(line)
    except WsdError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
