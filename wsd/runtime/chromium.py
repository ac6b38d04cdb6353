"""Headless Chromium with WebGPU, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsd.errors import RenderError, ToolError
from wsd.runtime.webgpu_adapter import NONE, SWIFTSHADER, check_page, named_adapter

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Where macOS keeps browsers, which are not on PATH there; in a home folder too.
_APPLICATIONS = (Path("/Applications"), Path("~/Applications").expanduser())
_PROGRAMS = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
)
CHROMIUM_HINT = (
    "install Chromium (Debian: apt-get install chromium; macOS: brew install --cask google-chrome) "
    "or set WSD_CHROMIUM"
)
SANDBOX_HINT = (
    "let this user make user namespaces, or install Chromium's setuid helper (Debian: apt-get "
    "install chromium-sandbox); root runs Chromium without a sandbox, as in a container"
)
# What Chromium's log says then.
_SANDBOX_FAULT = "No usable sandbox"

_FLAGS = (
    "--enable-unsafe-webgpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
# A headless Chromium of Linux takes its software renderer unless all of these are given.
_VULKAN = (
    "--enable-features=Vulkan",
    "--use-angle=vulkan",
    "--disable-vulkan-surface",
    "--ignore-gpu-blocklist",
)
# The GPU's process cannot be in a sandbox where Chromium is not: it would not find the driver.
_NO_GPU_SANDBOX = "--disable-gpu-sandbox"


def find_chromium() -> str:
    """Return the path of Chromium.

    ``WSD_CHROMIUM`` names it; otherwise it is looked up on ``PATH``, and among the applications
    of macOS.

    Raises:
        ToolError: if there is none, or what is named is no program.
    """
    if named := os.environ.get("WSD_CHROMIUM"):
        if shutil.which(named) is None:
            raise ToolError(f"WSD_CHROMIUM is {named}, which is no program", CHROMIUM_HINT)
        return named
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    for application in (folder / program for folder in _APPLICATIONS for program in _PROGRAMS):
        if application.is_file():
            return str(application)
    raise ToolError("no Chromium found on PATH", CHROMIUM_HINT)


def browser_flags() -> tuple[str, ...]:
    """Return Chromium's flags for the adapter that ``WSD_WEBGPU_ADAPTER`` names.

    Raises:
        UsageError: if the name is not known.
    """
    adapter = named_adapter()
    if adapter == SWIFTSHADER:
        return (*_FLAGS, "--use-webgpu-adapter=swiftshader")
    if adapter == NONE:
        return (*_FLAGS, "--disable-gpu", "--disable-software-rasterizer")
    vulkan = _VULKAN if sys.platform.startswith("linux") else ()
    return (*_FLAGS, *vulkan, *(() if has_sandbox() else (_NO_GPU_SANDBOX,)))


def has_sandbox() -> bool:
    """Tell whether Chromium runs in its sandbox: it cannot for root, who runs most containers."""
    return os.geteuid() != 0


def check_browser() -> None:
    """Refuse to go on without a browser, before anything slow; nothing is started.

    Raises:
        ToolError: if Chromium is missing.
        UsageError: if ``WSD_WEBGPU_ADAPTER`` names no adapter that is known.
    """
    browser_flags()
    find_chromium()


@contextmanager
def open_browser(profile: Path | None = None) -> Iterator[BrowserContext]:
    """Yield a fresh browser context, with a profile of its own, in a sandbox unless root runs it.

    Args:
        profile: an empty folder, which then holds what pages keep, as on a visitor's disk; kept
            in memory unless given. The browser speaks English then.

    Raises:
        ToolError: if Chromium is missing or does not start.
    """
    from playwright.sync_api import BrowserContext, Error, sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        options: dict[str, Any] = {
            "executable_path": path,
            "headless": True,
            "args": list(browser_flags()),
            "chromium_sandbox": has_sandbox(),
        }
        try:
            opened: Browser | BrowserContext
            if profile is None:
                opened = playwright.chromium.launch(**options)
            else:
                opened = playwright.chromium.launch_persistent_context(
                    profile, locale="en-US", **options
                )
        except Error as error:
            raise _explain(path, str(error)) from error
        try:
            yield opened if isinstance(opened, BrowserContext) else opened.new_context()
        finally:
            opened.close()


def _explain(path: str, said: str) -> ToolError:
    """Return why Chromium did not start; its log is part of what Playwright says."""
    if has_sandbox() and _SANDBOX_FAULT in said:
        return ToolError(f"{path} did not start, because its sandbox cannot be used", SANDBOX_HINT)
    return ToolError(f"{path} did not start: {said.splitlines()[0]}", CHROMIUM_HINT)


@contextmanager
def open_page(address: str) -> Iterator[Page]:
    """Yield a page at an address of :func:`wsd.runtime.server.served`.

    Raises:
        ToolError: if Chromium is missing or does not start, or if it shall take the GPU and
            cannot.
        RenderError: if the page cannot be opened.
    """
    from playwright.sync_api import Error

    with open_browser() as context:
        page = context.new_page()
        # Drawing on a software adapter takes minutes; progress is reported after each step.
        page.set_default_timeout(0)
        try:
            page.goto(address)
        except Error as error:
            raise RenderError(
                f"{address} could not be opened: {str(error).splitlines()[0]}",
                "check that nothing else uses the port",
            ) from error
        check_page(page, lambda: explain_adapter(context))
        yield page


def check_gpu(context: BrowserContext, address: str) -> None:
    """Check that pages compute on the GPU, if ``WSD_WEBGPU_ADAPTER`` asks for it.

    Args:
        context: of :func:`open_browser`.
        address: a secure one, of anything that the server has.

    Raises:
        ToolError: if there is no adapter, or only a software adapter.
    """
    page = context.new_page()
    page.goto(address)
    check_page(page, lambda: explain_adapter(context))
    page.close()


def explain_adapter(context: BrowserContext) -> str:
    """Say which graphics device Chromium found, and whether it uses Vulkan."""
    if context.browser is None:
        return ""
    gpu = context.browser.new_browser_cdp_session().send("SystemInfo.getInfo")["gpu"]
    devices = [entry["deviceString"] for entry in gpu["devices"] if entry["deviceString"]]
    status = gpu.get("featureStatus", {})
    said = [f"{name} is {status[name]}" for name in ("webgpu", "vulkan") if name in status]
    return "; ".join([f"Chromium found {', '.join(devices) or 'no graphics device'}", *said])
