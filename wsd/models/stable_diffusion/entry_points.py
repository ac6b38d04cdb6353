"""The entry points of Stable Diffusion: each wrapper with its named inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from wsd.errors import CompileError
from wsd.models.architecture import EntryPointModule
from wsd.models.stable_diffusion.architecture import guidance_width
from wsd.models.stable_diffusion.deep_cache import ShallowDenoiser, keep_in, reads_text
from wsd.models.stable_diffusion.safety_checker import SafetyScores
from wsd.models.stable_diffusion.wrappers import (
    AUTOENCODERS,
    DENOISERS,
    TEXT_ENCODERS,
    AutoencoderWrappers,
    Denoiser,
    LayeredTextEncoder,
)
from wsd.spec.roles import (
    CHUNKED_DENOISER,
    DEEP_FEATURES,
    DENOISER,
    GUIDANCE_EMBEDDING,
    GUIDED_CHUNKED_DENOISER,
    GUIDED_DENOISER,
    GUIDED_SHALLOW_DENOISER,
    LAYERED_TEXT_ENCODER,
    SAFETY_CHECKER,
    SHALLOW_DENOISER,
    TEXT_ENCODER,
    TEXT_STATES,
    VAE_DECODER,
    VAE_DECODER_TILE,
    VAE_ENCODER,
    VAE_ENCODER_TILE,
)
from wsd.spec.tensor import Size, TensorSpec

if TYPE_CHECKING:
    from wsd.models.family import Component, Family, Part
    from wsd.models.stable_diffusion.architecture import StableDiffusion


def make_entry_points(
    architecture: StableDiffusion,
    family: Family,
    component: Component,
    model: torch.nn.Module,
    sizes: Sequence[Size],
) -> Iterator[EntryPointModule]:
    """Yield every function that a component becomes.

    Raises:
        CompileError: for a role that these wrappers do not know.
    """
    if component.role == TEXT_ENCODER:
        plain = _text_encoder(family, component, model)
        yield plain
        if skips := architecture.max_clip_skip(family):
            yield _layered(family, component, plain, model, skips)
    elif component.role == DENOISER:
        for chunks in range(1, family.prompt_chunks + 1):
            for size in sizes:
                yield from _denoisers(architecture, family, component, model, size, chunks)
    elif component.role == VAE_DECODER:
        yield from make_vae_entry_points(family, component, model, sizes)
    elif component.role == SAFETY_CHECKER:
        yield make_safety_checker(component, model)
    else:
        raise CompileError(
            f"component {component.id!r} has the role {component.role!r}, "
            f"which {architecture.name} does not know",
            "correct the family, or teach wsd/models/stable_diffusion/entry_points.py the role",
        )


def make_vae_entry_points(
    family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
) -> Iterator[EntryPointModule]:
    """Yield the functions of an autoencoder: for each picture size and for a tile.

    Raises:
        CompileError: for a part that is no encoder.
    """
    wrappers = AUTOENCODERS[component.class_name]
    for size in sizes:
        yield _decoder(family, wrappers, model, size)
    tile = _decoder(family, wrappers, model, (family.tile, family.tile))
    yield replace(tile, name=VAE_DECODER_TILE, role=VAE_DECODER_TILE, size=None, whole_bytes=None)
    for part in component.parts:
        yield from _encoders(family, part, wrappers, model, sizes)


def _text_encoder(family: Family, component: Component, model: torch.nn.Module) -> EntryPointModule:
    """Wrap an encoder: it joins its states to those of the encoders before it."""
    conditioning = family.conditioning
    position, use = conditioning.position(component.id), conditioning.encoder(component.id)
    before = sum(c.config["hidden_size"] for c in family.text_encoders()[:position])
    config = component.config
    tokens = config["max_position_embeddings"]
    inputs = [TensorSpec("input_ids", (1, tokens), "int32")]
    states = TensorSpec(TEXT_STATES, (1, tokens, before + config["hidden_size"]))
    outputs = [states]
    if position:
        inputs.append(replace(states, shape=(1, tokens, before)))
    if use.pooled:
        inputs.append(TensorSpec("end_of_text", (1, tokens)))
        outputs.append(TensorSpec("pooled_text", (1, config["projection_dim"])))
    wrapper = TEXT_ENCODERS[position > 0, use.pooled](model, use.hidden_state)
    return EntryPointModule(
        component.id, component.role, wrapper, tuple(inputs), tuple(outputs), None
    )


def _layered(
    family: Family,
    component: Component,
    plain: EntryPointModule,
    model: torch.nn.Module,
    skips: int,
) -> EntryPointModule:
    """Wrap an encoder for clip skip: it gives a state for each number of layers left out."""
    use = family.conditioning.encoder(component.id)
    joins = family.conditioning.position(component.id) > 0
    states, *pooled = plain.outputs
    skipped = [replace(states, name=f"{states.name}_{skip}") for skip in range(1, skips + 1)]
    return replace(
        plain,
        # Kernels and their buffers are numbered in the order of the functions' names: behind all
        # others, this one changes nothing of theirs.
        name=f"with_layers_{plain.name}",
        role=LAYERED_TEXT_ENCODER,
        module=LayeredTextEncoder(model, use.hidden_state, skips, joins=joins, pools=use.pooled),
        outputs=(states, *skipped, *pooled),
    )


def _denoisers(
    architecture: StableDiffusion,
    family: Family,
    component: Component,
    model: torch.nn.Module,
    size: Size,
    chunks: int,
) -> Iterator[EntryPointModule]:
    """Yield the UNet without guidance and with it, for prompts of so many chunks."""
    plain = _denoiser(architecture, family, component, model, size, chunks)
    made = [plain]
    # A UNet that takes the guidance scale as an input guides itself.
    if guidance_width(component) is None:
        made.append(_guided(architecture, family, plain, model))
    shallow: list[EntryPointModule] = []
    if family.deep_cache:
        # Layers that do not read the text are the same for every number of chunks.
        if chunks == 1 or reads_text(model):
            shallow = [_shallow(component, each, model) for each in made]
        made = [_keeping(component, each, model) for each in made]
    if chunks == 1:
        yield from (*made, *shallow)
        return
    roles = (CHUNKED_DENOISER, GUIDED_CHUNKED_DENOISER)
    for module, role in zip(made, roles, strict=False):
        # As that of a layered text encoder, the name is behind those of the functions above.
        yield replace(module, name=f"with_{chunks}_chunks_{module.name}", role=role)
    for module in shallow:
        yield replace(module, name=f"with_{chunks}_chunks_{module.name}")


def _features(component: Component, entry: EntryPointModule) -> tuple[TensorSpec, ...]:
    """Return the deep features of a UNet, and those without the prompt if it guides."""
    *_, height, width = entry.outputs[0].shape
    shape = (1, component.config["block_out_channels"][0], height, width)
    names = [DEEP_FEATURES]
    if entry.role == GUIDED_DENOISER:
        names.append(f"negative_{DEEP_FEATURES}")
    return tuple(TensorSpec(name, shape) for name in names)


def _keeping(
    component: Component, entry: EntryPointModule, model: torch.nn.Module
) -> EntryPointModule:
    """Let a UNet also give its deep features."""
    kind = type(entry.module)
    assert issubclass(kind, Denoiser)
    outputs = (*entry.outputs, *_features(component, entry))
    return replace(entry, module=keep_in(kind)(model), outputs=outputs)


def _shallow(
    component: Component, entry: EntryPointModule, model: torch.nn.Module
) -> EntryPointModule:
    """Wrap the outermost layers of a UNet, which take deep features."""
    unread = () if reads_text(model) else (TEXT_STATES, f"negative_{TEXT_STATES}")
    kept = (spec for spec in entry.inputs if spec.name not in unread)
    inputs = (*kept, *_features(component, entry))
    return replace(
        entry,
        name=f"with_features_{entry.name}",
        role=GUIDED_SHALLOW_DENOISER if entry.role == GUIDED_DENOISER else SHALLOW_DENOISER,
        module=ShallowDenoiser(model, [spec.name for spec in inputs]),
        inputs=inputs,
    )


def _denoiser(
    architecture: StableDiffusion,
    family: Family,
    component: Component,
    model: torch.nn.Module,
    size: Size,
    chunks: int,
) -> EntryPointModule:
    tokens = chunks * family.text_encoders()[0].config["max_position_embeddings"]
    width = component.config["cross_attention_dim"]
    added = architecture.added_inputs(family)
    latents = TensorSpec("latents", family.latent_space.shape(size))
    inputs = (
        latents,
        TensorSpec("timestep", (1,)),
        TensorSpec(TEXT_STATES, (1, tokens, width)),
        *added,
    )
    masks = _mask_inputs(architecture, family, size)
    if guidance := guidance_width(component):
        inputs += (TensorSpec(GUIDANCE_EMBEDDING, (1, guidance)),)
    return EntryPointModule(
        f"{DENOISER}_{size[0]}x{size[1]}",
        DENOISER,
        DENOISERS[False, bool(added), bool(masks)](model),
        (*inputs, *masks),
        (replace(latents, name="noise_prediction"),),
        size,
    )


def _mask_inputs(
    architecture: StableDiffusion, family: Family, size: Size
) -> tuple[TensorSpec, ...]:
    """Return the UNet's last inputs, if it draws a part of a picture anew."""
    if not architecture.masked:
        return ()
    shape = family.latent_space.shape(size)
    return (TensorSpec("mask", (1, 1, *shape[2:])), TensorSpec("masked_latents", shape))


def _guided(
    architecture: StableDiffusion, family: Family, plain: EntryPointModule, model: torch.nn.Module
) -> EntryPointModule:
    """Wrap the UNet for both predictions of classifier-free guidance in one call."""
    masks = ("mask", "masked_latents") if architecture.masked else ()
    others = [spec for spec in plain.inputs if spec.name not in masks]
    texts = [spec for spec in plain.inputs if spec.name in (TEXT_STATES, "pooled_text")]
    negative = [replace(spec, name=f"negative_{spec.name}") for spec in texts]
    wrapper = DENOISERS[True, bool(architecture.added_inputs(family)), architecture.masked]
    return replace(
        plain,
        name=f"guided_{plain.name}",
        role=GUIDED_DENOISER,
        module=wrapper(model),
        inputs=(
            *others,
            *negative,
            TensorSpec("guidance_scale", (1,)),
            *(spec for spec in plain.inputs if spec.name in masks),
        ),
    )


def _decoder(
    family: Family, wrappers: AutoencoderWrappers, model: torch.nn.Module, size: Size
) -> EntryPointModule:
    space = family.latent_space
    return EntryPointModule(
        f"{VAE_DECODER}_{size[0]}x{size[1]}",
        VAE_DECODER,
        wrappers.decoder(model, space),
        (TensorSpec("latents", space.shape(size)),),
        (TensorSpec("image", (1, 3, size[1], size[0])),),
        size,
        whole_bytes=family.whole_bytes,
    )


def _encoders(
    family: Family,
    part: Part,
    wrappers: AutoencoderWrappers,
    model: torch.nn.Module,
    sizes: Sequence[Size],
) -> Iterator[EntryPointModule]:
    """Yield the VAE's encoder for each picture size, and for a tile.

    Raises:
        CompileError: for a part that is no encoder.
    """
    if part.role != VAE_ENCODER:
        raise CompileError(
            f"part {part.id!r} of the VAE has the role {part.role!r}, expected {VAE_ENCODER!r}",
            "correct the family",
        )
    for size in sizes:
        yield _encoder(family, part, wrappers, model, size)
    tile = _encoder(family, part, wrappers, model, (family.tile, family.tile))
    yield replace(tile, name=VAE_ENCODER_TILE, role=VAE_ENCODER_TILE, size=None)


def _encoder(
    family: Family, part: Part, wrappers: AutoencoderWrappers, model: torch.nn.Module, size: Size
) -> EntryPointModule:
    batch, channels, height, width = family.latent_space.shape(size)
    return EntryPointModule(
        f"{VAE_ENCODER}_{size[0]}x{size[1]}",
        VAE_ENCODER,
        wrappers.encoder(model),
        (TensorSpec("image", (1, 3, size[1], size[0])),),
        (TensorSpec(wrappers.encoded, (batch, wrappers.planes * channels, height, width)),),
        size,
        part=part.id,
    )


def make_safety_checker(component: Component, model: Any) -> EntryPointModule:
    """Wrap a safety checker, which looks at pictures in a size of its own."""
    edge = component.config["image_size"]
    outputs = (
        TensorSpec("concept_scores", (1, model.concept_embeds.shape[0])),
        TensorSpec("special_scores", (1, model.special_care_embeds.shape[0])),
    )
    return EntryPointModule(
        SAFETY_CHECKER,
        SAFETY_CHECKER,
        SafetyScores(model),
        (TensorSpec("pixels", (1, 3, edge, edge)),),
        outputs,
        None,
    )
