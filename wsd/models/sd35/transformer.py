"""diffusers' transformer of Stable Diffusion 3.5, with its position table as two small ones.

diffusers/models/transformers/transformer_sd3.py adds to each patch of the picture the middle of a
table of 384x384 positions, nearly a gigabyte in float32. A position's first half depends on its
column alone and its second half on its row, so that two tables of 384 halves hold the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_1d_sincos_pos_embed_from_grid
from diffusers.models.transformers import transformer_sd3 as published

from wsd.errors import CheckpointError

# The table in published checkpoints, (1, positions, width).
_TABLE = "pos_embed.pos_embed"


class PatchPositions(torch.nn.Module):
    """diffusers' ``PatchEmbed`` of a model whose position table is cropped.

    Args:
        proj: convolution that makes a patch one token.
        patch_size: edge of a patch in latent pixels.
        base_size: edge of a picture in patches whose positions are 0, 1, 2 ….
        max_size: edge of the whole table in patches.
    """

    def __init__(
        self, proj: torch.nn.Conv2d, patch_size: int, base_size: int, max_size: int
    ) -> None:
        super().__init__()
        self.proj = proj
        self.patch_size = patch_size
        half = proj.out_channels // 2
        # As get_2d_sincos_pos_embed of diffusers has them.
        places = torch.arange(max_size, dtype=torch.float32) / (max_size / base_size)
        table = get_1d_sincos_pos_embed_from_grid(half, places, output_type="pt").float()
        self.columns = torch.nn.Parameter(table)
        self.rows = torch.nn.Parameter(table.clone())

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (n, c, h, w) to tokens (n, h/p * w/p, width)."""
        height, width = (edge // self.patch_size for edge in latents.shape[-2:])
        tokens: torch.Tensor = self.proj(latents).flatten(2).transpose(1, 2)
        columns = _middle(self.columns, width).unsqueeze(0).expand(height, -1, -1)
        rows = _middle(self.rows, height).unsqueeze(1).expand(-1, width, -1)
        positions = torch.cat([columns, rows], dim=-1)
        return tokens + positions.reshape(1, height * width, -1)


def _middle(table: torch.Tensor, count: int) -> torch.Tensor:
    first = (table.shape[0] - count) // 2
    return table[first : first + count]


class SD3Transformer2DModel(published.SD3Transformer2DModel):  # type: ignore[misc]
    """diffusers' class with the parameters ``pos_embed.columns`` and ``pos_embed.rows``."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 128,
        patch_size: int = 2,
        in_channels: int = 16,
        num_layers: int = 18,
        attention_head_dim: int = 64,
        num_attention_heads: int = 18,
        joint_attention_dim: int = 4096,
        caption_projection_dim: int = 1152,
        pooled_projection_dim: int = 2048,
        out_channels: int = 16,
        pos_embed_max_size: int = 96,
        dual_attention_layers: tuple[int, ...] = (),
        qk_norm: str | None = None,
    ) -> None:
        super().__init__(
            # The table that diffusers makes is replaced: a small one is made quickly.
            sample_size=patch_size,
            pos_embed_max_size=1,
            patch_size=patch_size,
            in_channels=in_channels,
            num_layers=num_layers,
            attention_head_dim=attention_head_dim,
            num_attention_heads=num_attention_heads,
            joint_attention_dim=joint_attention_dim,
            caption_projection_dim=caption_projection_dim,
            pooled_projection_dim=pooled_projection_dim,
            out_channels=out_channels,
            dual_attention_layers=dual_attention_layers,
            qk_norm=qk_norm,
        )
        # diffusers' constructor has recorded its own arguments.
        self.register_to_config(sample_size=sample_size, pos_embed_max_size=pos_embed_max_size)
        proj: torch.nn.Conv2d = self.get_submodule("pos_embed.proj")
        self.pos_embed = PatchPositions(
            proj, patch_size, sample_size // patch_size, pos_embed_max_size
        )

    def published_state(self) -> dict[str, torch.Tensor]:
        """Return the weights by the names of diffusers' own class, with the whole table."""
        state = dict(self.state_dict())
        columns, rows = (state.pop(f"pos_embed.{name}") for name in ("columns", "rows"))
        count = rows.shape[0]
        table = torch.cat(
            [columns.expand(count, -1, -1), rows.unsqueeze(1).expand(-1, count, -1)], dim=-1
        )
        return {"pos_embed.pos_embed": table.reshape(1, count * count, -1), **state}

    @staticmethod
    def adopt_tensors(stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return a checkpoint's tensors with two small tables in the place of the whole one.

        Args:
            stored: name → tensor of a file, which has ``shape`` and
                ``change`` (:class:`wsd.checkpoint.stored_tensor.StoredTensor`).

        Returns:
            The same, with ``pos_embed.columns`` and ``pos_embed.rows``. When one of them is read, a
            CheckpointError is raised if the whole table has other numbers than these two.
        """
        adopted = dict(stored)
        table = adopted.pop(_TABLE, None)
        if table is None:
            return adopted
        if len(table.shape) != 3 or math.isqrt(table.shape[1]) ** 2 != table.shape[1]:
            # It is left over then, and an error names it.
            return {**adopted, _TABLE: table}
        for name, rows in (("columns", False), ("rows", True)):
            adopted[f"pos_embed.{name}"] = table.change(partial(_read_halves, rows=rows))
        return adopted

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:
        """Write the files that diffusers' own class reads."""
        own = published.SD3Transformer2DModel.from_config(dict(self.config)).to(self.dtype)
        own.load_state_dict(self.published_state())
        own.save_pretrained(save_directory, **options)


def _read_halves(table: torch.Tensor, *, rows: bool) -> torch.Tensor:
    """Return the halves of positions that depend on the column alone, or on the row.

    Args:
        table: of the published model, (1, edge * edge, width).
        rows: which of the two.

    Raises:
        CheckpointError: if there are others.
    """
    edge, half = math.isqrt(table.shape[1]), table.shape[2] // 2
    square = table.reshape(edge, edge, table.shape[2])
    halves = square[..., half:] if rows else square[..., :half]
    found = halves[:, :1] if rows else halves[:1]
    # A tensor whose shape alone is asked for has no numbers.
    if not table.is_meta and not torch.equal(halves, found.expand_as(halves)):
        raise CheckpointError(
            f"{_TABLE} holds positions that are not of a column and a row alone",
            "the checkpoint's positions were trained, which WSD does not compile: take another",
        )
    return found.reshape(edge, half).clone()


# A pipeline that is saved names the class that reads the files, which is diffusers'.
SD3Transformer2DModel.__module__ = published.__name__
