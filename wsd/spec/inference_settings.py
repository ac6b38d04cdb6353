"""Settings of inference: how a model draws and in how much memory, as one typed object.

A document of settings is a JSON object ``{"inference": {"diffusion": {...}}}``, of which every part
may be left out. These classes are the one definition of it: ``python -m tools.generate_types``
writes the JSON Schema (``wsd/bundle/settings.schema.json``), and for TypeScript the types and the
same schema (``web/src/util/settings_schema.generated.ts``).

Three layers are merged in this order, and a later one wins: what the bundle's manifest says, what a
page gives when it loads the model (``fromPretrained``), and what a call gives (``generate``). What
the manifest fixes, such as how weights are stored, can be named, and must then be what it is.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, PositiveInt, TypeAdapter
from pydantic.alias_generators import to_camel

from wsd.spec.entry import SparseEntry
from wsd.spec.precision import Precision
from wsd.spec.tensor import DType

# Where the settings stand in a document: the beginning of every path in an error.
ROOT: Final = "inference.diffusion"
# Largest share of a tile's edge that it has in common with the next one. Beyond half of it three
# tiles would lie over each other everywhere.
MAX_OVERLAP: Final = 0.5
# Most guidance: `wsd.runtime.request` and the page refuse more.
MAX_GUIDANCE: Final = 50.0

# What can be evicted from the GPU: the roles of components in the order in which they run.
Stage = Literal["text_encoder", "vae_encoder", "denoiser", "vae_decoder", "safety_checker"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
# Before a stage runs, the others are evicted.
Strategy = Literal["sequential"]
# Where packed weights become float32: nowhere, because they are float32, or in each kernel that
# reads them.
Dequantize = Literal["none", "kernel"]


def _require_different(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if len(set(stages)) != len(stages):
        raise ValueError("a stage is named twice")
    return stages


class _Settings(SparseEntry):
    """An object whose fields may be left out; in JSON they have TypeScript's names."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class SchedulerSettings(_Settings):
    """How the latents are denoised."""

    type: str | None = None
    """Name of the scheduler, one of those that the manifest lists."""
    num_steps: PositiveInt | None = None
    """Denoising steps; how many a scheduler takes is in the manifest."""
    guidance_scale: Annotated[float, Field(ge=0, le=MAX_GUIDANCE)] | None = None
    """Scale of classifier-free guidance; up to 1 there is none."""
    eta: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of DDPM's noise that DDIM and TCD add at each step."""


class LatentSettings(_Settings):
    """The latents of one picture; with width and height, the picture's size."""

    width: PositiveInt | None = None
    """Width in pixels of the latents: that of the picture divided by the VAE's factor."""
    height: PositiveInt | None = None
    """Height in pixels of the latents."""
    channels: PositiveInt | None = None
    """Channels; the model fixes them."""
    dtype: DType | None = None
    """Type of the values; the compiled functions fix it."""


class TextEncoderSettings(_Settings):
    """How prompts are read."""

    max_length: PositiveInt | None = None
    """Tokens of the text that the first text encoder takes; its compiled function fixes them."""


class TilingSettings(_Settings):
    """How pictures are decoded, and given ones encoded, in overlapping tiles."""

    enabled: bool | None = None
    """Whether pictures that are larger than a tile are; those that the GPU has no buffers for are
    in any case."""
    tile_size: PositiveInt | None = None
    """Edge of a tile in pixels of the picture: one of those that the bundle has functions for."""
    overlap: Annotated[float, Field(ge=0, le=MAX_OVERLAP)] | None = None
    """Least share of its edge that a tile has in common with the next one, as diffusers'
    ``tile_overlap_factor``."""


class DecodeSettings(_Settings):
    """How latents become a picture."""

    output_dtype: DType | None = None
    """Type of what the VAE's decoder gives; its compiled function fixes it. Pixels are bytes."""
    tiling: TilingSettings | None = None


class SwapperSettings(_Settings):
    """Which stages leave the GPU while others run."""

    enabled: bool | None = None
    """Whether any do."""
    strategy: Strategy | None = None
    """When: with ``sequential``, the parameters of the stages in ``evict`` are on the GPU only
    while their stage runs, and are read again for the next picture."""
    evict: (
        Annotated[
            tuple[Stage, ...],
            AfterValidator(_require_different),
            Field(json_schema_extra={"uniqueItems": True}),
        ]
        | None
    ) = None
    """Which stages are evicted; the others stay on the GPU from their first use on."""


class QuantizationSettings(_Settings):
    """How the bundle stores weights; ``wsd build --dtype`` decides it."""

    weight_dtype: Precision | None = None
    """Precision of the weights."""
    dequantize: Dequantize | None = None
    """Where packed weights become float32."""


class DiffusionSettings(_Settings):
    """How a diffusion model draws, and in how much memory."""

    scheduler: SchedulerSettings | None = None
    latent: LatentSettings | None = None
    text_encoder: TextEncoderSettings | None = None
    decode: DecodeSettings | None = None
    swapper: SwapperSettings | None = None
    quantization: QuantizationSettings | None = None


class InferenceSettings(_Settings):
    """Settings of what runs a model."""

    diffusion: DiffusionSettings | None = None


class SettingsDocument(_Settings):
    """A file of settings: ``wsd render --settings``."""

    inference: InferenceSettings | None = None


DOCUMENT: Final = TypeAdapter(SettingsDocument)

# What holds where neither the manifest nor anybody else says anything. The overlap is diffusers'.
DEFAULT_OVERLAP: Final = 0.25
DEFAULTS: Final = DiffusionSettings(
    decode=DecodeSettings(tiling=TilingSettings(enabled=False, overlap=DEFAULT_OVERLAP)),
    swapper=SwapperSettings(enabled=False, strategy="sequential"),
)
