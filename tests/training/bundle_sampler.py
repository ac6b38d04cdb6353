"""Draw prompts with a bundle's page, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from wsd.runtime.driver import open_renderer
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.util.progress import Quiet


@contextmanager
def browser_draw(
    bundle: Path,
    guidance: float,
    steps: int,
    seed: int,
    interval: GuidanceInterval | None = None,
    cache_interval: int = 1,
) -> Iterator[Callable[[Sequence[str]], np.ndarray]]:
    """Yield a function that draws prompts (n) as images (n, edge, edge, 3) uint8 in Chromium.

    Picture ``n`` of a call starts from ``seed + n``. Guidance has an effect in all steps, or in
    those of an interval; the whole UNet runs every ``cache_interval`` steps.
    """
    with open_renderer(bundle, Quiet()) as renderer:

        def draw(prompts: Sequence[str]) -> np.ndarray:
            drawings = [
                GenerationRequest(
                    prompt,
                    steps=steps,
                    guidance_scale=guidance,
                    seed=seed + n,
                    guidance_interval=interval or GuidanceInterval(),
                    cache_interval=cache_interval,
                )
                for n, prompt in enumerate(prompts)
            ]
            return np.concatenate([renderer.draw(drawing).images for drawing in drawings])

        yield draw
