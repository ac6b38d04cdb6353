"""Key mapping of single files of Stable Diffusion 3.5 in the original layout to diffusers' names.

Source: diffusers' ``convert_sd3_transformer_checkpoint_to_diffusers``, whose slices cannot be taken
of tensors that are still in the file; a test compares the two. Files that Stability AI published
have the transformer and the VAE, and some of them the text encoders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch

from wsd.errors import CheckpointError
from wsd.models.architecture import SingleFileKeys, TensorView, View
from wsd.models.sd35.original_names import (
    HEADS,
    LAYERS,
    SWAPPED_IN_LAST_BLOCK,
    SWAPPED_TOP,
    TOP,
)
from wsd.models.sd35.other_models import FIRST, FIRST_EDGE, LARGE, LARGE_WIDTH
from wsd.models.stable_diffusion.taesd_file import keys_of_decoder
from wsd.spec.roles import DENOISER, TEXT_ENCODER

if TYPE_CHECKING:
    from wsd.models.family import Component, Family

_TRANSFORMER = "model.diffusion_model."
_VAE = ("first_stage_model.", "vae.")
# Of each text encoder, in their order.
_ENCODERS = (
    "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.",
    "text_encoders.t5xxl.transformer.",
)
_PROJECTION = "text_projection.weight"
_POSITIONS = "text_model.embeddings.position_embedding.weight"

# The layer of patches and the table of positions: in a whole file, in one of the transformer alone,
# and in one of diffusers.
_PATCHES = (
    f"{_TRANSFORMER}x_embedder.proj.weight",
    "x_embedder.proj.weight",
    "pos_embed.proj.weight",
)
_TABLES = (f"{_TRANSFORMER}pos_embed", "pos_embed", "pos_embed.pos_embed")

_BLOCK = re.compile(r"joint_blocks\.(\d+)\.(x|context)_block\.(.+)")


def keys_of(family: Family, component: Component) -> SingleFileKeys:
    """Return where a single file keeps a component."""
    if component.class_name == "AutoencoderTiny":
        return keys_of_decoder()
    if component.role == DENOISER:
        return SingleFileKeys(
            (_TRANSFORMER,),
            partial(_convert_transformer, component),
            check_model=partial(_check_model, component),
        )
    if component.role != TEXT_ENCODER:
        return SingleFileKeys(_VAE, partial(_convert_vae, component), last_prefix_wins=True)
    place = family.conditioning.position(component.id)
    return SingleFileKeys((_ENCODERS[place],), partial(_convert_encoder, place))


def add_projection(tensors: dict[str, View]) -> dict[str, View]:
    """Return the first CLIP encoder's tensors with the projection that diffusers gives it.

    The original model takes the pooled state as it is, and its files have no projection, or one
    that nobody reads.

    Args:
        tensors: by transformers' names.
    """
    known = tensors.get(_POSITIONS)
    if known is None:
        # An error names what is missing.
        return tensors
    return {**tensors, _PROJECTION: known.change(lambda table: torch.eye(table.shape[-1]))}


def _convert_vae(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return dict(convert_ldm_vae_checkpoint(tensors, dict(component.config)))


def _convert_encoder(place: int, tensors: dict[str, View]) -> dict[str, View]:
    found = {key.removeprefix(_ENCODERS[place]): tensor for key, tensor in tensors.items()}
    return add_projection(found) if place == 0 else found


def _convert_transformer(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    """Return the transformer's tensors by diffusers' names."""
    last = component.config["num_layers"] - 1
    return {
        name: tensor
        for key, value in tensors.items()
        for name, tensor in _rename(key.removeprefix(_TRANSFORMER), value, last)
    }


def _rename(key: str, tensor: View, last: int) -> Iterator[tuple[str, View]]:
    """Yield what a tensor of the original layout is by diffusers' names.

    A name that is not known stays as it is, so that an error names it.
    """
    if key == "pos_embed":
        yield "pos_embed.pos_embed", tensor
        return
    module, _, kind = key.rpartition(".")
    block = _BLOCK.fullmatch(module)
    if block is None:
        name = TOP.get(module, module)
        yield f"{name}.{kind}", _swap(tensor) if name == SWAPPED_TOP else tensor
        return
    number, side, layer = int(block[1]), block[2], block[3]
    prefix = f"transformer_blocks.{number}"
    if (heads := HEADS[side].get(layer)) is not None:
        rows = tensor.shape[0] // 3
        for place, head in enumerate(heads):
            yield f"{prefix}.{head}.{kind}", tensor[place * rows : (place + 1) * rows]
        return
    own = LAYERS[side].get(layer)
    if own is None:
        yield key, tensor
        return
    swaps = number == last and own == SWAPPED_IN_LAST_BLOCK
    yield f"{prefix}.{own}.{kind}", _swap(tensor) if swaps else tensor


def _swap(tensor: View) -> View:
    """Put the second half first: the original has a shift before a scale, diffusers the scale."""
    half = tensor.shape[0] // 2
    return tensor.change(lambda whole: torch.cat([whole[half:], whole[:half]]))


def _check_model(component: Component, tensors: Mapping[str, TensorView]) -> None:
    """Refuse a transformer of another width, or with another table of positions."""
    config = component.config
    width = config["num_attention_heads"] * config["attention_head_dim"]
    edge = config["pos_embed_max_size"]
    other = "this file is of another model of the family: see wsd models"
    for key in _PATCHES:
        proj = tensors.get(key)
        # One without axes is of no model: its shape is refused later.
        if proj is not None and proj.shape and proj.shape[0] != width:
            raise CheckpointError(
                f"tensor {key} has {proj.shape[0]} features, expected {width}",
                LARGE if proj.shape[0] == LARGE_WIDTH else other,
            )
    for key in _TABLES:
        table = tensors.get(key)
        if table is not None and len(table.shape) > 1 and table.shape[-2] != edge * edge:
            found = math.isqrt(table.shape[-2])
            raise CheckpointError(
                f"tensor {key} has positions of {found}x{found}, expected {edge}x{edge}",
                FIRST if found == FIRST_EDGE else other,
            )
