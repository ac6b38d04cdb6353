"""The entry points of each component: a torch module with named inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from wsd.errors import CompileError
from wsd.models.registry import Component, Family
from wsd.models.stable_diffusion.wrappers import (
    _TIME_IDS,
    Decoder,
    Denoiser,
    DenoiserXL,
    GuidedDenoiser,
    GuidedDenoiserXL,
    JoiningTextEncoder,
    TextEncoder,
)
from wsd.spec.roles import (
    DENOISER,
    GUIDED_DENOISER,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_DECODER_TILE,
)
from wsd.spec.tensor import TensorSpec


@dataclass(frozen=True)
class EntryPointModule:
    """A component as it is compiled.

    Attributes:
        entry_point: name of the function in the compiled library.
        role: what the browser finds it by.
        module: a torch module whose arguments are ``inputs``.
        inputs: run-time inputs in order.
        outputs: results in order.
        size: width and height of the picture in pixels; None where it does not
            matter.
    """

    entry_point: str
    role: str
    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size: tuple[int, int] | None


def make_entry_point(
    family: Family, component: Component, model: torch.nn.Module, size: tuple[int, int]
) -> EntryPointModule:
    """Wrap one component for one picture size.

    Args:
        family: the zoo's entry.
        component: which of its components ``model`` is.
        model: the torch module in evaluation mode, float32.
        size: width and height of the picture in pixels.

    Raises:
        CompileError: if the component's role is unknown.
    """
    makers = {TEXT_ENCODER: _text_encoder, DENOISER: _denoiser, VAE_DECODER: _decoder}
    if component.role not in makers:
        raise CompileError(
            f"component {component.name!r} has the unknown role {component.role!r}",
            "teach wsd/models/stable_diffusion/wrappers.py this role, or correct the zoo entry",
        )
    return makers[component.role](family, component, model, size)


def _text_encoder(
    family: Family, component: Component, model: torch.nn.Module, _size: tuple[int, int]
) -> EntryPointModule:
    encoders = family.text_encoders()
    tokens = component.config["max_position_embeddings"]
    ids = TensorSpec("input_ids", (1, tokens), "int32")
    before = sum(c.config["hidden_size"] for c in encoders[: encoders.index(component)])
    states = TensorSpec("text_embeddings", (1, tokens, before + component.config["hidden_size"]))
    if before == 0:
        wrapped = TextEncoder(model, component.hidden_state)
        return EntryPointModule(component.name, component.role, wrapped, (ids,), (states,), None)
    joined = (
        ids,
        TensorSpec("text_embeddings", (1, tokens, before)),
        TensorSpec("end_of_text", (1, tokens)),
    )
    pooled = TensorSpec("pooled_text", (1, component.config["projection_dim"]))
    wrapped = JoiningTextEncoder(model, component.hidden_state)
    return EntryPointModule(component.name, component.role, wrapped, joined, (states, pooled), None)


def _denoiser(
    family: Family, component: Component, model: torch.nn.Module, size: tuple[int, int]
) -> EntryPointModule:
    config = component.config
    latents = _latents(family, size)
    text = family.text_encoders()
    inputs = [
        latents,
        TensorSpec("timestep", (1,)),
        TensorSpec(
            "text_embeddings",
            (1, text[0].config["max_position_embeddings"], config["cross_attention_dim"]),
        ),
    ]
    wrapper = Denoiser
    if config.get("addition_embed_type") == "text_time":
        inputs += [
            TensorSpec("pooled_text", (1, text[-1].config["projection_dim"])),
            TensorSpec("time_ids", (1, _TIME_IDS)),
        ]
        wrapper = DenoiserXL
    output = TensorSpec("noise_prediction", latents.shape)
    name = f"{component.role}_{size[0]}x{size[1]}"
    return EntryPointModule(name, component.role, wrapper(model), tuple(inputs), (output,), size)


def _decoder(
    family: Family, component: Component, model: torch.nn.Module, size: tuple[int, int]
) -> EntryPointModule:
    output = TensorSpec("image", (1, 3, size[1], size[0]))
    name = f"{component.role}_{size[0]}x{size[1]}"
    return EntryPointModule(
        name, component.role, Decoder(model), (_latents(family, size),), (output,), size
    )


def make_entry_points(
    family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[tuple[int, int]]
) -> Iterator[EntryPointModule]:
    """Yield every function that a component becomes.

    Text encoders are wrapped once, since size does not matter to them; the UNet also with
    guidance, the decoder also for one tile.

    Args:
        family: the zoo's entry.
        component: which of its components ``model`` is.
        model: the torch module in evaluation mode, float32.
        sizes: (width, height) of the pictures in pixels.

    Raises:
        CompileError: as :func:`make_entry_point`.
    """
    for size in sizes[:1] if component.role == TEXT_ENCODER else sizes:
        part = make_entry_point(family, component, model, size)
        yield part
        if component.role == DENOISER:
            yield _guided(part, model)
    if component.role == VAE_DECODER:
        yield _tile(family, component, model)


def _guided(part: EntryPointModule, model: torch.nn.Module) -> EntryPointModule:
    """Wrap the UNet for the prediction that guidance makes of two."""
    texts = [spec for spec in part.inputs if spec.name in ("text_embeddings", "pooled_text")]
    negative = [replace(spec, name=f"negative_{spec.name}") for spec in texts]
    wrapper = GuidedDenoiser if len(texts) == 1 else GuidedDenoiserXL
    return replace(
        part,
        entry_point=f"guided_{part.entry_point}",
        role=GUIDED_DENOISER,
        module=wrapper(model),
        inputs=(*part.inputs, *negative, TensorSpec("guidance_scale", (1,))),
    )


def _tile(family: Family, component: Component, model: torch.nn.Module) -> EntryPointModule:
    """Wrap the decoder for one tile of a picture of any size."""
    part = _decoder(family, component, model, (family.tile, family.tile))
    return replace(part, entry_point=VAE_DECODER_TILE, role=VAE_DECODER_TILE, size=None)


def _latents(family: Family, size: tuple[int, int]) -> TensorSpec:
    width, height = (edge // family.vae_scale_factor for edge in size)
    return TensorSpec(
        "latents", (1, family.component(DENOISER).config["in_channels"], height, width)
    )
