"""Files of tiny autoencoders in the original layout (madebyollin/taesd), by diffusers' names.

The original decoder is a sequence of layers whose names are their numbers: a clamp, a convolution
and an activation, then for each level of the picture its blocks, an upsampling and a convolution,
and last the blocks of the whole picture and a convolution. diffusers has the clamp elsewhere, so
its numbers are one less. The encoder is a file of its own, and the names alone do not tell the two
apart: a decoder has no layer 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wsd.models.architecture import SingleFileKeys, TensorView, View

if TYPE_CHECKING:
    from wsd.models.config_rules import Config

# Files have no prefix; one is needed where files of whole checkpoints are read.
_PREFIX = "taesd."
_LAYER = re.compile(r"(\d+)\.(conv\.\d\.|skip\.)?(weight|bias)")


def keys_of_decoder() -> SingleFileKeys:
    """Return how a tiny autoencoder's decoder is read of a file of its own."""
    return SingleFileKeys((_PREFIX,), _convert, configure=describe_decoder)


def describe_decoder(tensors: Mapping[str, TensorView]) -> Config | None:
    """Return the configuration that a decoder's tensors are of; None if they are of no decoder.

    Args:
        tensors: all of a file, by their names there.
    """
    found = [(match, tensor) for key, tensor in tensors.items() if (match := _LAYER.fullmatch(key))]
    if len(found) < len(tensors) or not found:
        return None
    # Layers that are one convolution, by their numbers; all others with tensors are blocks.
    plain = {int(m[1]): t for m, t in found if m[2] is None and m[3] == "weight" and t.ndim == 4}
    blocks = {int(match[1]) for match, _ in found if match[2]}
    first, *later = sorted(plain)
    if first != 1 or not later:
        return None
    width, channels = plain[first].shape[:2]
    levels = list(zip([first, *later[:-1]], later, strict=True))
    counts = [sum(start < number < end for number in blocks) for start, end in levels]
    below = len(counts) - 1
    return {
        "_class_name": "AutoencoderTiny",
        "latent_channels": channels,
        "decoder_block_out_channels": [width] * len(counts),
        "num_decoder_blocks": counts,
        # The file has no encoder: one that was published with such a decoder.
        "encoder_block_out_channels": [width] * len(counts),
        "num_encoder_blocks": [1, *[3] * below],
    }


def _convert(tensors: dict[str, View]) -> dict[str, View]:
    """Return tensors by diffusers' names; those of diffusers keep theirs."""
    return {_rename(key.removeprefix(_PREFIX)): tensor for key, tensor in tensors.items()}


def _rename(key: str) -> str:
    match = _LAYER.fullmatch(key)
    return key if match is None else f"decoder.layers.{int(match[1]) - 1}.{key.partition('.')[2]}"
