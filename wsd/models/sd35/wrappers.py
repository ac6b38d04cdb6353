"""The modules of Stable Diffusion 3.5 as functions of tensors alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from wsd.models.stable_diffusion.wrappers import TextEncoder


class LastClipEncoder(TextEncoder):
    """The second of two CLIP encoders: it joins what both give, and leaves room for T5's states.

    Args:
        model: ``CLIPTextModelWithProjection``.
        layer: as :class:`wsd.models.stable_diffusion.wrappers.TextEncoder`.
        width: features of the joined states, which those of CLIP are padded to with zeros.
        room: tokens of zeros after CLIP's. diffusers has zeros there where there is no T5.
    """

    def __init__(self, model: torch.nn.Module, layer: int | None, width: int, room: int) -> None:
        super().__init__(model, layer)
        self.width = width
        self.room = room

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        before: torch.Tensor,
        pooled_before: torch.Tensor,
        end_of_text: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ids to joined states (1, 77 + room, width) and joined pooled states (1, q + p).

        Args:
            input_ids: (1, 77) int32.
            before: states of the first encoder, (1, 77, d) float32.
            pooled_before: its pooled state, (1, q) float32.
            end_of_text: as in :meth:`wsd.models.stable_diffusion.wrappers.TextEncoder.pool`.
        """
        state, last = self.encode(input_ids)
        joined = torch.cat([before, state], dim=-1)
        padded = torch.nn.functional.pad(joined, (0, self.width - joined.shape[-1], 0, self.room))
        return padded, torch.cat([pooled_before, self.pool(last, end_of_text)], dim=-1)


class T5Encoder(torch.nn.Module):
    """T5's encoder, whose states take the room that is left after those of CLIP.

    Args:
        model: ``T5EncoderModel``.
        tokens: number of token ids.
    """

    def __init__(self, model: Any, tokens: int) -> None:
        super().__init__()
        # One operator, to which the bias is a mask of numbers; "eager" would write it out.
        model.set_attn_implementation("sdpa")
        # The embedding is the encoder's too, and has one name in checkpoints.
        self.shared = model.shared
        self.encoder = torch.nn.Module()
        self.encoder.block = model.encoder.block
        self.encoder.final_layer_norm = model.encoder.final_layer_norm
        self.tokens = tokens
        self.runs = self._count_buckets()

    @property
    def _stack(self) -> Any:
        return self.encoder

    def _count_buckets(self) -> list[tuple[int, int]]:
        """Return (row of the table, how many distances), from -(t - 1) to t - 1."""
        attention = self._stack.block[0].layer[0].SelfAttention
        buckets = attention._relative_position_bucket(
            torch.arange(1 - self.tokens, self.tokens),
            bidirectional=True,
            num_buckets=attention.relative_attention_num_buckets,
            max_distance=attention.relative_attention_max_distance,
        ).tolist()
        return [(bucket, len(list(run))) for bucket, run in itertools.groupby(buckets)]

    def forward(self, input_ids: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Map ids (1, t) int32 and states (1, 77 + t, width) to such states with those of T5.

        Padding is read like words, as diffusers' pipelines have it: they pass no mask.
        """
        hidden = self.shared(input_ids)
        bias = self.position_bias()
        for block in self._stack.block:
            hidden = block(hidden, position_bias=bias)[0]
        states = self._stack.final_layer_norm(hidden)
        return torch.cat([before[:, : -self.tokens], states], dim=1)

    def position_bias(self) -> torch.Tensor:
        """Return what is added to attention scores, (1, heads, t, t), by distances of tokens.

        transformers looks the bias of each pair of tokens up, by a 64-bit index. Here the table's
        rows are laid out by distance, from -(t - 1) to t - 1, once for all pairs: a row of pairs is
        that of the one before, moved by one.
        """
        attention = self._stack.block[0].layer[0].SelfAttention
        table = attention.relative_attention_bias.weight
        count = self.tokens
        # One more than there are distances: 2 t values that repeat are one more than a row needs,
        # so that each row begins one value earlier.
        rows = [table[bucket : bucket + 1].expand(length, -1) for bucket, length in self.runs]
        by_distance = torch.cat([*rows, table[:1]])
        width, heads = by_distance.shape
        repeated = by_distance.unsqueeze(0).expand(count, -1, -1).reshape(count * width, heads)
        moved = repeated[: count * (width - 1)].reshape(count, width - 1, heads)
        return moved[:, count - 1 :].permute(2, 0, 1).unsqueeze(0)


class Denoiser(torch.nn.Module):
    """The transformer as a function of latents, timestep, texts, and what is left of its blocks."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        block_scales: torch.Tensor,
    ) -> torch.Tensor:
        """Map latents (n, c, h, w), timestep (1,), text (n, t, d) and pooled text (n, p).

        Args:
            latents: of the pictures.
            timestep: of all of them.
            text: joined states of the text encoders.
            pooled: joined pooled states.
            block_scales: (1, blocks) or (n, blocks): 1 for a block that runs, and 0 for one that
                is left out, as diffusers' ``skip_layers`` leaves it out.

        Returns:
            the flow, noise less clean latents, (n, c, h, w).
        """
        with _scaled_blocks(self.model, block_scales):
            return self.predict(latents, timestep, text, pooled)

    def predict(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
    ) -> torch.Tensor:
        """Return the flow of :meth:`forward` with all blocks."""
        flow: torch.Tensor = self.model(latents, text, pooled, timestep, return_dict=False)[0]
        return flow


@contextmanager
def _scaled_blocks(model: Any, scales: torch.Tensor) -> Iterator[None]:
    """Let a transformer's blocks add only a share of what they compute, during a call.

    A block adds nothing to its inputs that is not multiplied by a gate, which is a part of its
    modulation (Peebles and Xie 2023, "Scalable diffusion models with transformers", section 3.2).
    So a modulation times 0 leaves a block out, and times 1 changes no bit. One input of the
    compiled function thus leaves out any blocks, with one multiplication in the epilogue of a
    small matrix product. Functions without some of the blocks would be faster for the few
    predictions that need them, but each choice of blocks would need its own.

    Args:
        model: the transformer.
        scales: (1, blocks) or (n, blocks).
    """

    def scale_by(index: int) -> Callable[..., torch.Tensor]:
        return lambda _module, _inputs, modulation: modulation * scales[:, index : index + 1]

    hooks = []
    for index, block in enumerate(model.transformer_blocks):
        # The last block gives no text, so that what modulates its text has no gates.
        norms = [block.norm1] if block.context_pre_only else [block.norm1, block.norm1_context]
        hooks += [norm.linear.register_forward_hook(scale_by(index)) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class GuidedDenoiser(Denoiser):
    """Classifier-free guidance: both predictions as one batch, and their combination."""

    def forward(  # type: ignore[override]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        negative_text: torch.Tensor,
        negative_pooled: torch.Tensor,
        guidance_scale: torch.Tensor,
    ) -> torch.Tensor:
        """Map as :class:`Denoiser`, guided away from the negative text; scale (1,)."""
        both = self.predict(
            torch.cat([latents, latents]),
            # Like diffusers' pipeline; a kernel whose sum is used by both rows is not scheduled.
            timestep.expand(2),
            torch.cat([negative_text, text]),
            torch.cat([negative_pooled, pooled]),
        )
        without, conditioned = both[:1], both[1:]
        guided: torch.Tensor = without + guidance_scale * (conditioned - without)
        return guided
