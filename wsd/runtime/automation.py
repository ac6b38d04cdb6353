"""Calls of the driver's program in a page, ``web/src/driver/automation.ts``.

The program comes from the installed WSD and not from the bundle, so bundles of earlier versions
can be driven too. A debugger evaluates it, which no content security policy forbids.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from wsd.errors import RenderError, UsageError
from wsd.runtime.array_codec import decode_arrays, encode_arrays

# Built from TypeScript: `npm run automation` in web/.
PROGRAM = Path(__file__).with_name("automation.js")
_CALL = "([name, given]) => wsdAutomation.call(name, given)"


class ScriptedPage(Protocol):
    """What is needed of a page: Playwright's, or :class:`wsd.runtime.dawn_node.NodePage`."""

    def evaluate(self, expression: str, arg: Any, /) -> Any:
        """Call a JavaScript function, given as text, and wait for what it returns."""

    def expose_function(self, name: str, callback: Callable[[Any], Any], /) -> Any:
        """Let the page call a Python function by a global name."""


class Automation:
    """The driver's program in one page. Navigating the page away ends it."""

    def __init__(self, page: ScriptedPage) -> None:
        self._page = page
        program = PROGRAM.read_text(encoding="utf-8")
        page.evaluate(f"() => {{ {program} }}", None)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the program and return its value.

        Args:
            name: a function of ``automation.ts``.
            arguments: JSON values and arrays, see :mod:`wsd.runtime.array_codec`; those left
                out at the end take their defaults.

        Raises:
            UsageError: if the page refuses an option.
            RenderError: if the function fails otherwise.
        """
        answer = self._page.evaluate(_CALL, [name, encode_arrays(arguments)])
        if error := answer.get("error"):
            kind = UsageError if error["name"] == "OptionError" else RenderError
            hint = error.get("hint") or "report this: it is a fault of WSD or of the browser"
            raise kind(f"{error['name']}: {error['message']}", hint)
        return decode_arrays(answer["value"])
