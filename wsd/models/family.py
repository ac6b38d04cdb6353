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

from wsd.spec.roles import DENOISER, TEXT_ENCODER


@dataclass(frozen=True)
class Component:
    """One torch module of a pipeline.

    Attributes:
        name: folder in the diffusers layout and name in the manifest.
        role: which part of the pipeline it plays: ``text_encoder``, ``denoiser``
            or ``vae_decoder``; tracing and the browser choose by it.
        library: ``transformers`` or ``diffusers``.
        class_name: class in that library.
        config: the architecture; a checkpoint must agree on every key of it.
        hidden_state: of a text encoder, which layer's output conditions the
            UNet: None for the last, normalised; -2 for the last but one, as it is.
    """

    name: str
    role: str
    library: str
    class_name: str
    config: Mapping[str, Any]
    hidden_state: int | None = None


@dataclass(frozen=True)
class Tokenizer:
    """A CLIP tokenizer of a pipeline.

    Attributes:
        name: folder in the diffusers layout.
        component: the text encoder that it serves.
        fallback: folder with its files, or with a small stand-in's for random weights.
        hub_id: where to fetch the files when a checkpoint brings none; None if
            ``fallback`` has them.
        pad_token: what fills a text up, where the files do not say; None for
            the end token.
    """

    name: str
    component: str
    fallback: Path
    pad_token: str | None = None
    hub_id: str | None = None


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
        name: what ``wsd build --model`` takes.
        title: one line for people.
        pipeline: class in diffusers that draws the same pictures.
        components: in the order in which a picture needs them.
        scheduler: the diffusers scheduler configuration, ``_class_name`` included.
        tokenizers: one a text encoder, in the encoders' order.
        vae_scale_factor: pixels of the image per latent pixel, each way.
        sizes: (width, height) of the pictures compiled by default, in pixels;
            the first one is the default.
        tile: edge in pixels of the squares that a picture can be decoded in, to save
            memory; a larger one is closer to the picture decoded whole.
        steps: default number of denoising steps.
        guidance_scale: default classifier-free guidance scale.
        weights: the diffusers folder that ships with WSD, read when no checkpoint
            is named; None if one must be.
        force_zeros_for_empty_prompt: whether no negative prompt means zeros, as in
            SDXL, rather than the encoding of the empty text.
        examples: prompts for the page to offer.
    """

    name: str
    title: str
    pipeline: str
    components: tuple[Component, ...]
    scheduler: Mapping[str, Any]
    tokenizers: tuple[Tokenizer, ...]
    vae_scale_factor: int
    sizes: tuple[tuple[int, int], ...]
    tile: int
    steps: int
    guidance_scale: float
    weights: Path | None = None
    force_zeros_for_empty_prompt: bool = False
    examples: tuple[str, ...] = ()

    @property
    def size_multiple(self) -> int:
        """Return what both edges of a picture must be multiples of, in pixels.

        The UNet halves the latents at every level but the last. diffusers also
        draws sizes whose halves are uneven, by resizing to the skip connection;
        TVM's importer rounds that resize otherwise, so such sizes are refused.
        """
        levels = len(self.component(DENOISER).config["block_out_channels"])
        return int(self.vae_scale_factor * 2 ** (levels - 1))

    def component(self, role: str) -> Component:
        """Return the component that plays a role, the first of several; else ``KeyError``."""
        for component in self.components:
            if component.role == role:
                return component
        raise KeyError(role)

    def text_encoders(self) -> tuple[Component, ...]:
        """Return the text encoders in the order in which their outputs are joined."""
        return tuple(c for c in self.components if c.role == TEXT_ENCODER)
