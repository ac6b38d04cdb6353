"""What WSD prints: one place that writes to terminals, and leaves out what they would obey.

Names and texts of checkpoints, bundles and pages may hold codes that move a terminal's cursor, set
its title, or let a line be read from right to left. Only this module prints
(``tests/unit/test_terminal.py`` holds it), and it replaces all of them.
"""

from __future__ import annotations

import re
import sys

# Control characters but tab and line feed, and what Unicode has for the order of a line: marks,
# embeddings, overrides and isolates, separators of lines, and invisible tags.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def printable(text: object) -> str:
    """Return a text that a terminal shows as it is.

    What a terminal would obey becomes ``?``, and so does what is no Unicode, as in the names of
    some files.
    """
    return _OBEYED.sub("?", str(text)).encode(errors="replace").decode()


def printable_line(text: object, most: int = 200) -> str:
    """Return a text that a terminal shows in one line, as other people's names and titles."""
    line = " ".join(printable(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def say(text: object, *, error: bool = False) -> None:
    """Print a text and a line feed, on standard output or on standard error.

    What the stream's encoding lacks becomes ``?``, as "…" does in ISO-8859-1.

    Raises:
        OSError: if the stream is closed or full.
    """
    stream = sys.stderr if error else sys.stdout
    # Programs without a console have no streams.
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = printable(text).encode(encoding, errors="replace")
    print(shown.decode(encoding), file=stream, flush=error)
