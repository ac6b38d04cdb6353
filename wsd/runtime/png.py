"""Pictures as PNG files that carry their settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def write_pngs(images: np.ndarray, path: Path, settings: str | None = None) -> list[Path]:
    """Write pictures as PNG files; a reader sees the whole of a file or nothing.

    Args:
        images: (images, height, width, 3) uint8.
        path: of the file; several pictures get a number before the suffix.
        settings: the text chunk ``parameters`` of each file, which pages and programs read.

    Returns:
        the files' paths.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = PngInfo()
    if settings is not None:
        texts.add_itxt("parameters", settings)
    paths = [path.with_stem(f"{path.stem}-{n}") for n in range(1, len(images) + 1)]
    if len(images) == 1:
        paths = [path]
    for image, name in zip(images, paths, strict=True):
        scratch = name.with_name(f".{name.name}.tmp")
        Image.fromarray(image).save(scratch, format="PNG", pnginfo=texts)
        scratch.rename(name)
    return paths
