"""``wsd doctor``: what is here, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from wsd.cli.command import command
from wsd.cli.error_report import TVM_HINT
from wsd.errors import WsdError
from wsd.util.prebuilt import INSTALL_HINT, PAGE, find_prebuilt, is_clone
from wsd.util.process import find_program, run
from wsd.util.terminal import say


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: of what was looked for.
        good: whether it was found.
        found: what was found, or what is wrong.
        hint: what to do, if it was not found.
        needed: whether WSD as it is installed here is incomplete without it.
    """

    name: str
    good: bool
    found: str
    hint: str
    needed: bool = True


# Check → what brings it on macOS; the errors' own hints name Debian's packages.
_ON_MACOS = {
    "emscripten": "brew install emscripten",
    "node": "brew install node",
    "npm": "brew install node",
    "chromium": "brew install --cask google-chrome, or set WSD_CHROMIUM",
}
# Check → which commands need it. A wheel builds bundles of compiled libraries without all of them.
_COMMANDS = {
    "lane": "compile, and build without --library",
    "emscripten": "compile, and build without --library",
    "chromium": "render, parity and bench",
    "webgpu": "render, parity and bench",
}


def examine() -> Iterator[Check]:
    """Yield one check after another; none of them raises."""
    yield _check("page", _page)
    yield _check("lane", _lane)
    for package in ("torch", "diffusers", "transformers"):
        yield _check(package, partial(importlib.metadata.version, package))
    yield _check("emscripten", _emscripten)
    if is_clone():
        yield _check("node", lambda: _version("node", "install Node.js 20 or later"))
        yield _check("npm", lambda: _version("npm", "install npm 9 or later"))
    yield _check("chromium", _chromium)
    yield _check("webgpu", _adapter)


def _check(name: str, probe: Callable[[], str]) -> Check:
    try:
        return Check(name, True, probe(), "")
    except WsdError as error:
        hint = _ON_MACOS.get(name) if sys.platform == "darwin" else None
        return _missing(name, error.message, hint or error.hint)
    except ImportError as error:
        return _missing(name, str(error), TVM_HINT if name == "lane" else INSTALL_HINT)


def _missing(name: str, message: str, hint: str) -> Check:
    if is_clone() or name not in _COMMANDS:
        return Check(name, False, message, hint)
    return Check(name, False, message, f"{hint}; only {_COMMANDS[name]} need it", needed=False)


def _page() -> str:
    from wsd.bundle.npm import source_folder
    from wsd.supply_chain.prebuilt_record import read_record

    if is_clone():
        return f"bundled from its sources in {source_folder('web')}"
    folder = find_prebuilt(PAGE)
    record = read_record()
    sources = record.commit or f"changed sources with the digest {record.digest}"
    return f"as the wheel has it in {folder}, for TVM {record.tvm}, built from {sources}"


def _lane() -> str:
    from wsd.compiler import tvm_compat

    tvm_compat.wasm_sources()
    kind = "reference" if tvm_compat.is_reference_lane() else "quick"
    return f"{kind} lane, TVM {tvm_compat.version()}"


def _emscripten() -> str:
    from wsd.compiler.wasm.runtime import emcc_version

    return emcc_version()


def _version(program: str, hint: str) -> str:
    return run([find_program(program, hint), "--version"]).strip()


def _chromium() -> str:
    from wsd.runtime.chromium import find_chromium

    said = run([find_chromium(), "--version"])
    found = re.search(r"\d+(\.\d+)+", said)
    return found.group() if found else said.strip()


def _adapter() -> str:
    from wsd.errors import RenderError
    from wsd.runtime.chromium import explain_adapter, open_browser
    from wsd.runtime.webgpu_adapter import check_adapter, find_adapter

    with open_browser() as context:
        page = context.new_page()
        # WebGPU needs a secure context; a page of localhost is one, also without a server.
        page.route("http://localhost/**", lambda route: route.fulfill(body="<p>"))
        page.goto("http://localhost/")
        found = find_adapter(page)
        check_adapter(found, lambda: explain_adapter(context))
    if found is None:
        raise RenderError("Chromium offers no WebGPU adapter", "update Chromium or the GPU driver")
    f16 = "shader-f16" if found["f16"] else "no shader-f16"
    return f"{found['vendor']} {found['architecture']}, {f16}"


@command()
def doctor() -> None:
    """Say which lane and tools are here, and how to get what is missing."""
    checks = list(examine())
    for check in checks:
        mark = "ok  " if check.good else "BAD " if check.needed else "--  "
        say(f"{mark} {check.name}: {check.found}")
        if not check.good:
            say(f"     hint: {check.hint}")
    sys.exit(0 if all(check.good or not check.needed for check in checks) else 1)
