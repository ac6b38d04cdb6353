"""Pictures as PNG files that carry their settings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from wsd.util.files import write_atomically


def write_pngs(images: np.ndarray, path: Path, settings: Sequence[str] | None = None) -> list[Path]:
    """Write pictures as PNG files; a reader sees the whole of a file or nothing.

    Args:
        images: (images, height, width, 3) uint8.
        path: of the file; several pictures get a number before the suffix.
        settings: the text chunk ``parameters`` of each file, which pages and programs read; none
            unless given.

    Returns:
        the files' paths.
    """
    paths = [path.with_stem(f"{path.stem}-{n}") for n in range(1, len(images) + 1)]
    if len(images) == 1:
        paths = [path]
    for index, (image, name) in enumerate(zip(images, paths, strict=True)):
        texts = PngInfo()
        if settings is not None:
            texts.add_itxt("parameters", settings[index])
        data = io.BytesIO()
        Image.fromarray(image).save(data, format="PNG", pnginfo=texts)
        write_atomically(name, data.getvalue())
    return paths
