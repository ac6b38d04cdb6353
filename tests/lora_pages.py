"""A model in a page whose LoRAs tests load, by the functions of ``web/tests/browser/loras.ts``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import BrowserContext

from pages import before_worker, browser_program
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.models.registry import Family
from wsd.runtime.developer_build import find_developer_files
from wsd.runtime.server import served


def served_with_tools(bundle: Path) -> AbstractContextManager[str]:
    """Serve a bundle with the developers' build, which can read parameters back."""
    manifest = read_manifest(find_manifest(bundle, None))
    return served(bundle, find_developer_files(bundle, manifest))


@contextmanager
def opened(
    context: BrowserContext, address: str, name: str, room: int | None = None, **options: object
) -> Iterator[Callable[..., Any]]:
    """Return a function that calls one of ``web/tests/browser/loras.ts`` in a page with a model.

    Args:
        context: of the browser.
        address: of the folder that is served.
        name: the model's.
        room: bytes that the GPU has for buffers; as many as there are unless given.
        options: of loading.
    """
    page = context.new_page()
    if room is not None:
        before_worker(page, "small_gpu", ROOM=room)
    page.goto(address + "blank.html")
    page.set_default_timeout(0)
    page.evaluate(f"() => {{ {browser_program('loras')} }}")

    def call(function: str, *arguments: object) -> Any:
        return page.evaluate(
            "([name, args]) => wsdLoras[name](...args)", [function, list(arguments)]
        )

    call("load", f"/models/{name}/manifest.json", options)
    yield call
    call("unload")
    page.close()


def read_picture(drawn: dict[str, Any], family: Family) -> tuple[np.ndarray, np.ndarray]:
    """Return picture (height, width, 3) uint8 and latents of what ``drawPicture`` gives."""
    width, height = family.sizes[0]
    pixels = np.array(drawn["pixels"], np.uint8).reshape(height, width, 4)
    return pixels[..., :3], np.array(drawn["latents"], np.float32)
