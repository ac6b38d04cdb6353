"""Have diffusers' pipelines decode and encode in tiles, as the page does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.vae import DecoderOutput

from wsd.evaluate.encoder_output import encoded_planes, encoder_output
from wsd.evaluate.tiled_decode import decode_tiles, encode_tiles


def use_tiles(vae: Any, edge: int, factor: int, overlap: float) -> None:
    """Replace an autoencoder's ``decode`` and ``encode`` by those of tiles.

    diffusers' own ``enable_tiling`` cuts the last tiles short, and fades them linearly; the page's
    functions have one shape, and fade as a Hann window. Pictures that are no larger than a tile are
    decoded whole.

    Args:
        vae: of a pipeline of diffusers.
        edge: of a tile, in pixels of the picture.
        factor: pixels of the picture per latent pixel, each way.
        overlap: least share of a tile that it has in common with the next one, 0 to 0.5.
    """
    decode_whole, encode_whole = vae.decode, vae.encode

    def takes_tiles(height: int, width: int) -> bool:
        return min(height, width) >= edge and (height, width) != (edge, edge)

    def decode(latents: torch.Tensor, return_dict: bool = True, **options: Any) -> Any:
        height, width = (factor * side for side in latents.shape[2:])
        if not takes_tiles(height, width):
            return decode_whole(latents, return_dict=return_dict, **options)

        def decode_one(cut: np.ndarray) -> np.ndarray:
            given = torch.tensor(cut[None], dtype=latents.dtype, device=latents.device)
            image: np.ndarray = decode_whole(given).sample[0].cpu().numpy()
            return image

        found = [
            decode_tiles(decode_one, each.cpu().numpy(), edge, factor, overlap).image
            for each in latents
        ]
        sample = torch.tensor(np.stack(found), dtype=latents.dtype, device=latents.device)
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def encode(images: torch.Tensor, return_dict: bool = True) -> Any:
        height, width = images.shape[2:]
        if not takes_tiles(height, width):
            return encode_whole(images, return_dict=return_dict)

        def encode_one(cut: np.ndarray) -> np.ndarray:
            given = torch.tensor(cut[None], dtype=images.dtype, device=images.device)
            planes: np.ndarray = encoded_planes(encode_whole(given))[0].cpu().numpy()
            return planes

        found = [
            encode_tiles(encode_one, each.cpu().numpy(), edge, factor, overlap) for each in images
        ]
        planes = torch.tensor(np.stack(found), dtype=images.dtype, device=images.device)
        output = encoder_output(planes, vae.config.latent_channels)
        return output if return_dict else output.to_tuple()

    vae.decode, vae.encode = decode, encode
