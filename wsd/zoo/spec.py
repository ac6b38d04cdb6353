"""What the zoo says about a model family: frozen data, no behaviour.

A family is everything that is known before a checkpoint is read: which
components there are, which diffusers or transformers class each one is, its
published configuration, and what a picture of it looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Component:
    """One torch module of a pipeline.

    Attributes:
        name: folder in the diffusers layout and name in the manifest.
        role: which part of the pipeline it plays: ``text_encoder``, ``unet``
            or ``vae_decoder``; tracing and the browser choose by it.
        library: ``transformers`` or ``diffusers``.
        class_name: class in that library.
        config: the architecture; a checkpoint must agree on every key of it.
    """

    name: str
    role: str
    library: str
    class_name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
        name: what ``wsd build --model`` takes.
        title: one line for people.
        pipeline: class in diffusers that draws the same pictures.
        components: in the order in which a picture needs them.
        scheduler: the diffusers scheduler configuration, ``_class_name`` included.
        tokenizer: folder with the tokenizer's files when a checkpoint brings
            none of its own.
        vae_scale_factor: pixels of the image per latent pixel, each way.
        sizes: (width, height) of the pictures compiled by default, in pixels;
            the first one is the default.
        steps: default number of denoising steps.
        guidance_scale: default classifier-free guidance scale.
        random_seed: seed of the weights when no checkpoint is named, or None
            if a checkpoint is required.
    """

    name: str
    title: str
    pipeline: str
    components: tuple[Component, ...]
    scheduler: Mapping[str, Any]
    tokenizer: Path
    vae_scale_factor: int
    sizes: tuple[tuple[int, int], ...]
    steps: int
    guidance_scale: float
    random_seed: int | None

    @property
    def size_multiple(self) -> int:
        """Return what both edges of a picture must be multiples of, in pixels.

        The UNet halves the latents at every level but the last. diffusers also
        draws sizes whose halves are uneven, by resizing to the skip connection;
        TVM's importer rounds that resize otherwise, so such sizes are refused.
        """
        levels = len(self.component("unet").config["block_out_channels"])
        return int(self.vae_scale_factor * 2 ** (levels - 1))

    def component(self, role: str) -> Component:
        """Return the component that plays a role; ``KeyError`` if there is none."""
        for component in self.components:
            if component.role == role:
                return component
        raise KeyError(role)
