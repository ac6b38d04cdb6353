"""A bundle's own code in Node.js on Dawn: WebGPU where there is no browser.

It serves measuring on machines that have a GPU and no screen. The modules are
fetched from the bundle's server as a browser would; ``web/node`` adds what a
browser has and Node.js lacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsd.browser import find_chromium, webgpu_adapter
from wsd.errors import RenderError
from wsd.npm import NODE_HINT, install_packages, source_folder
from wsd.run import find_program

# Dawn hides half precision on NVIDIA, and features that are not in the standard yet, and
# rounds the GPU's clock.
_DAWN = (
    "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia "
    "disable-dawn-features=timestamp_quantization"
)
_ICD = "vk_swiftshader_icd.json"


class NodePage:
    """What :class:`wsd.render.Renderer` needs of a page, in a Node.js process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._exposed: dict[str, Callable[[Any], Any]] = {}

    def expose_function(self, name: str, callback: Callable[[Any], Any]) -> None:
        """Let the page call a function of ours by a global name."""
        self._exposed[name] = callback
        self._ask({"expose": name})

    def evaluate(self, script: str, argument: Any) -> Any:
        """Call a JavaScript function, given as text, and wait for what it returns."""
        return self._ask({"script": script, "argument": argument})

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # Reading says so.
        for message in answers(self._process.stdout):
            if "call" in message:
                self._exposed[message["call"]](message["argument"])
            elif "failure" in message:
                raise RenderError(f"Node.js: {message['failure']}", "report this")
            else:
                return message["value"]
        raise RenderError(
            f"Node.js ended with code {self._process.wait()}", "its own words are above"
        )


def answers(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield a process's answers; what drivers and Dawn say in between goes to stderr."""
    for line in lines:
        if line.startswith("{"):
            yield json.loads(line)
        else:
            print(line, end="", file=sys.stderr)


@contextmanager
def open_node_page(address: str) -> Iterator[NodePage]:
    """Yield a page at an address of :func:`wsd.serve.served`, in Node.js.

    Raises:
        ToolError: if Node.js or Dawn cannot be had.
    """
    folder = source_folder("web/node")
    install_packages(folder)
    node = find_program("node", NODE_HINT)
    environment = {**os.environ, **dawn_environment()}
    with subprocess.Popen(
        [node, folder / "page.mjs", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield NodePage(process)
        finally:
            process.kill()


def dawn_environment() -> dict[str, str]:
    """Return the variables that make Dawn find the adapter that was asked for."""
    switches = {"WSD_DAWN": os.environ.get("WSD_DAWN", _DAWN)}
    return {**switches, **_adapter()}


def _adapter() -> dict[str, str]:
    if webgpu_adapter() != "swiftshader":
        return {}
    # Chromium brings the software adapter; its launcher may be a script elsewhere.
    places = (Path(find_chromium()).resolve().parent, Path("/usr/lib/chromium"))
    for place in places:
        if (place / _ICD).is_file():
            # It brings Vulkan's loader too.
            return {"VK_DRIVER_FILES": str(place / _ICD), "LD_LIBRARY_PATH": str(place)}
    return {}
