"""A bundle's own code in Node.js on Dawn: WebGPU where there is no browser.

It serves measurements on machines that have a GPU and no screen. Modules are fetched from the
bundle's server, as a browser does; ``web/node`` adds what a browser has and Node.js lacks.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wsd.bundle.npm import NODE_HINT, install_packages, source_folder
from wsd.errors import RenderError
from wsd.runtime.chromium import find_chromium
from wsd.runtime.webgpu_adapter import SWIFTSHADER, check_page, named_adapter
from wsd.util.json_reader import MAX_SHADER_MARKS, parse_json
from wsd.util.process import find_program
from wsd.util.stops import on_forced_end
from wsd.util.terminal import say

# By default Dawn hides f16 on NVIDIA and features that are not in the standard yet, and rounds
# the GPU's timestamps.
_DAWN = (
    "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia "
    "disable-dawn-features=timestamp_quantization"
)
_ICD = "vk_swiftshader_icd.json"


class NodePage:
    """A page in a Node.js process; see :class:`wsd.runtime.automation.ScriptedPage`."""

    def __init__(self, process: NodeProcess) -> None:
        self._process = process
        self._exposed: dict[str, Callable[[Any], Any]] = {}

    def expose_function(self, name: str, callback: Callable[[Any], Any]) -> None:
        """Let the page call a Python function by a global name."""
        self._exposed[name] = callback
        self._ask({"expose": name})

    def evaluate(self, script: str, argument: Any) -> Any:
        """Call a JavaScript function, given as text, and wait for what it returns."""
        return self._ask({"script": script, "argument": argument})

    def _ask(self, request: dict[str, Any]) -> Any:
        self._process.send(request)
        for message in self._process.answers():
            if "call" not in message:
                return message["value"]
            self._exposed[message["call"]](message["argument"])
        return None  # unreachable: answers() raises when the process ends


class NodeProcess:
    """A program of ``web/node``: requests and answers are JSON objects, one on each line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def has_ended(self) -> bool:
        """Tell whether the program has ended."""
        return self._process.poll() is not None

    def send(self, request: dict[str, Any]) -> None:
        """Send a request; if the program has ended, :meth:`answers` raises."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield the answers; other lines, which GPU drivers print, go to standard error.

        Raises:
            RenderError: if the program answers with a failure, or ends.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith("{"):
                say(line.rstrip("\n"), error=True)
                continue
            answer = _parse(line)
            if "failure" in answer:
                raise RenderError(
                    f"Node.js: {answer['failure']}",
                    "report this: it is a fault of WSD or of Dawn",
                )
            yield answer
        code = self._process.wait()
        raise RenderError(f"Node.js ended with code {code}", "see its output above")

    def answer_within(self, seconds: float) -> dict[str, Any]:
        """Return the next answer; a program that does not give it in time is ended.

        Args:
            seconds: that it may take.

        Raises:
            TimeoutError: if it takes longer.
            RenderError: as :meth:`answers`.
        """
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        answer = failure = None
        try:
            answer = next(self.answers())
        except RenderError as error:
            failure = error
        finally:
            timer.cancel()
            timer.join()
        if is_late.is_set():
            raise TimeoutError(f"it took more than {seconds:g} s") from failure
        if failure is not None:
            raise failure
        assert answer is not None
        return answer


def check_node() -> None:
    """Refuse to go on without Node.js, before anything slow; nothing is started or installed.

    Raises:
        ToolError: if Node.js or the software adapter is missing.
        UsageError: if ``WSD_WEBGPU_ADAPTER`` names no adapter that is known.
    """
    source_folder("web/node")
    find_program("node", NODE_HINT)
    _adapter()


@contextmanager
def open_program(name: str, *arguments: str) -> Iterator[NodeProcess]:
    """Run a program of ``web/node`` on the adapter that ``WSD_WEBGPU_ADAPTER`` names.

    Raises:
        ToolError: if Node.js is missing or Dawn cannot be installed.
    """
    folder = source_folder("web/node")
    install_packages(folder)
    node = find_program("node", NODE_HINT)
    environment = {**os.environ, **_dawn_environment()}
    with subprocess.Popen(
        [node, folder / name, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    ) as process:
        try:
            with on_forced_end(process.kill):
                yield NodeProcess(process)
        finally:
            process.kill()
            assert process.stdin is not None
            # What was not sent is lost with the program.
            with suppress(BrokenPipeError):
                process.stdin.close()


@contextmanager
def open_node_page(address: str) -> Iterator[NodePage]:
    """Yield a page at an address of :func:`wsd.runtime.server.served`, in Node.js.

    Raises:
        ToolError: if Node.js is missing or Dawn cannot be installed, or if Dawn shall take the
            GPU and cannot.
    """
    with open_program("page.mjs", address) as process:
        page = NodePage(process)
        check_page(page)
        yield page


def _dawn_environment() -> dict[str, str]:
    """Return the environment variables that make Dawn use the chosen adapter."""
    switches = {"WSD_DAWN": os.environ.get("WSD_DAWN", _DAWN)}
    return {**switches, **_adapter()}


def _adapter() -> dict[str, str]:
    if named_adapter() != SWIFTSHADER:
        return {}
    # The software adapter comes with Chromium, whose launcher may be a script in another folder.
    places = (Path(find_chromium()).resolve().parent, Path("/usr/lib/chromium"))
    for place in places:
        if (place / _ICD).is_file():
            # Vulkan's loader lies beside it.
            return {
                "WSD_GPU_IS_CPU": "1",
                "VK_DRIVER_FILES": str(place / _ICD),
                "LD_LIBRARY_PATH": str(place),
            }
    return {}


def _parse(line: str) -> dict[str, Any]:
    """Return an answer of the program.

    Raises:
        RenderError: if it is no JSON, or deeper than any answer.
    """
    try:
        answer: dict[str, Any] = parse_json(line, max_marks=MAX_SHADER_MARKS)
    except ValueError as error:
        raise RenderError(
            f"Node.js answered what cannot be read ({error})",
            "report this: it is a fault of WSD or of Dawn",
        ) from error
    return answer
