"""What the original Web Stable Diffusion calls a model's files; standard library only.

The original had one Stable Diffusion 1.5 and one SDXL, so a bundle in its layout has no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wsd.errors import UsageError

# Values of --layout: names with digests alone, or also those of the original.
HASHED: Final = "hashed"
CLASSIC: Final = "classic"
LAYOUTS: Final = (HASHED, CLASSIC)


@dataclass(frozen=True)
class Names:
    """What the original calls the files of a model.

    Attributes:
        title: the model's name in the configuration.
        library: file in ``dist/``.
        shards: folder.
        suffix: of the files of schedulers that another model of the bundle has otherwise.
    """

    title: str
    library: str
    shards: str
    suffix: str


# Pipeline of diffusers → names, in the order of the configuration.
NAMES = {
    "StableDiffusionPipeline": Names(
        "Stable-Diffusion-1.5", "stable_diffusion_webgpu.wasm", "web-sd-shards-v1-5", "v1_5"
    ),
    "StableDiffusionXLPipeline": Names(
        "Stable-Diffusion-XL", "stable_diffusion_xl.wasm", "web-sd-shards-xl", "xl"
    ),
}


def check_names(models: Iterable[tuple[str, str]]) -> None:
    """Refuse models for which the original has no names, or that would share them.

    Args:
        models: for each model its name and its pipeline of diffusers.

    Raises:
        UsageError: naming the model.
    """
    taken: dict[str, str] = {}
    for name, pipeline in models:
        names = NAMES.get(pipeline)
        if names is None:
            raise UsageError(
                f"the layout {CLASSIC} has no file names for {name}, which is of {pipeline}",
                f"it has names for {' and '.join(NAMES)}: take the layout {HASHED}",
            )
        if names.library in taken:
            raise UsageError(
                f"the layout {CLASSIC} has one name, {names.library}, for the libraries of "
                f"{taken[names.library]} and {name}",
                f"give each a bundle of its own, or take the layout {HASHED}",
            )
        taken[names.library] = name
