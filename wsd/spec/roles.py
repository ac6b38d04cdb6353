"""Roles of compiled functions that more than one room names."""

from __future__ import annotations

# Decodes one tile; every size shares it.
TILE_ROLE = "vae_decoder_tile"


# Predicts with and without the prompt at once.
GUIDED_ROLE = "guided_unet"
