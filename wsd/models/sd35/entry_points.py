"""The entry points of Stable Diffusion 3.5: each wrapper with its named inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from wsd.errors import CompileError
from wsd.models.architecture import EntryPointModule
from wsd.models.sd35.wrappers import Denoiser, GuidedDenoiser, LastClipEncoder, T5Encoder
from wsd.models.stable_diffusion.entry_points import make_safety_checker, make_vae_entry_points
from wsd.models.stable_diffusion.wrappers import PooledTextEncoder
from wsd.spec.roles import (
    BLOCK_SCALES,
    DENOISER,
    GUIDED_DENOISER,
    SAFETY_CHECKER,
    TEXT_ENCODER,
    VAE_DECODER,
)
from wsd.spec.tensor import Size, TensorSpec

if TYPE_CHECKING:
    from wsd.models.family import Component, Family


def make_entry_points(
    family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
) -> Iterator[EntryPointModule]:
    """Yield every function that a component becomes.

    Raises:
        CompileError: for a role that these wrappers do not know, or a picture that is larger than
            the transformer's table of positions.
    """
    if component.role == TEXT_ENCODER:
        yield _text_encoder(family, component, model)
    elif component.role == DENOISER:
        for size in sizes:
            _check_positions(family, component, size)
            plain = _denoiser(family, component, model, size)
            yield plain
            yield _guided(plain, model)
    elif component.role == VAE_DECODER:
        yield from make_vae_entry_points(family, component, model, sizes)
    elif component.role == SAFETY_CHECKER:
        yield make_safety_checker(component, model)
    else:
        raise CompileError(
            f"component {component.id!r} has the role {component.role!r}, "
            f"which {family.architecture.name} does not know",
            "correct the family, or teach wsd/models/sd35/entry_points.py the role",
        )


def clip_tokens(family: Family) -> int:
    """Return how many tokens both CLIP encoders take."""
    return family.text_encoders()[0].tokens


def room(family: Family) -> int:
    """Return how many tokens the transformer reads after those of CLIP: T5's, or zeros."""
    return family.conditioning.room


def joined_text(family: Family) -> TensorSpec:
    """Return the states of all text encoders as the transformer reads them."""
    width = family.component(DENOISER).config["joint_attention_dim"]
    return TensorSpec("text_embeddings", (1, clip_tokens(family) + room(family), width))


def joined_pooled(family: Family) -> TensorSpec:
    """Return the pooled states of both CLIP encoders side by side."""
    widths = [c.config["projection_dim"] for c in family.text_encoders()[:2]]
    return TensorSpec("pooled_text", (1, sum(widths)))


def _text_encoder(family: Family, component: Component, model: torch.nn.Module) -> EntryPointModule:
    """Wrap an encoder; each one after the first takes what those before it gave."""
    position = family.conditioning.position(component.id)
    layer = family.conditioning.encoder(component.id).hidden_state
    text, pooled = joined_text(family), joined_pooled(family)
    if position == 2:
        tokens = room(family)
        ids = TensorSpec("input_ids", (1, tokens), "int32")
        made = T5Encoder(model, tokens)
        return EntryPointModule(component.id, TEXT_ENCODER, made, (ids, text), (text,), None)
    tokens = clip_tokens(family)
    ids = TensorSpec("input_ids", (1, tokens), "int32")
    end = TensorSpec("end_of_text", (1, tokens))
    first = family.text_encoders()[0].config
    before = replace(text, shape=(1, tokens, first["hidden_size"]))
    pooled_before = replace(pooled, shape=(1, first["projection_dim"]))
    if position == 0:
        return EntryPointModule(
            component.id,
            TEXT_ENCODER,
            PooledTextEncoder(model, layer),
            (ids, end),
            (before, pooled_before),
            None,
        )
    return EntryPointModule(
        component.id,
        TEXT_ENCODER,
        LastClipEncoder(model, layer, text.shape[-1], room(family)),
        (ids, before, pooled_before, end),
        (text, pooled),
        None,
    )


def _denoiser(
    family: Family, component: Component, model: torch.nn.Module, size: Size
) -> EntryPointModule:
    latents = TensorSpec("latents", family.latent_space.shape(size))
    blocks = TensorSpec(BLOCK_SCALES, (1, component.config["num_layers"]))
    texts = (joined_text(family), joined_pooled(family))
    return EntryPointModule(
        f"{DENOISER}_{size[0]}x{size[1]}",
        DENOISER,
        Denoiser(model),
        (latents, TensorSpec("timestep", (1,)), *texts, blocks),
        (replace(latents, name="noise_prediction"),),
        size,
    )


def _guided(plain: EntryPointModule, model: torch.nn.Module) -> EntryPointModule:
    """Wrap the transformer for both predictions of classifier-free guidance in one call.

    Both take all blocks. Where some are left out, the predictions are needed one by one.
    """
    inputs = tuple(spec for spec in plain.inputs if spec.name != BLOCK_SCALES)
    texts = inputs[2:]
    negative = [replace(spec, name=f"negative_{spec.name}") for spec in texts]
    return replace(
        plain,
        name=f"guided_{plain.name}",
        role=GUIDED_DENOISER,
        module=GuidedDenoiser(model),
        inputs=(*inputs, *negative, TensorSpec("guidance_scale", (1,))),
    )


def _check_positions(family: Family, component: Component, size: Size) -> None:
    """Refuse a picture that has more tokens each way than the transformer has positions."""
    most = component.config["pos_embed_max_size"] * family.size_multiple
    if max(size) > most:
        raise CompileError(
            f"a picture of {size[0]}x{size[1]} has more positions than {family.name}",
            f"pass --size with edges of at most {most}",
        )
