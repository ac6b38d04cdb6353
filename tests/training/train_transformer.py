"""Train the tiny model of Stable Diffusion 3.5: a transformer, by rectified flow.

The transformer learns the straight way from noise to latents (Liu et al. 2022; Esser et al. 2024).
The encoders stay as they are. One caption in ten is left out, and T5 in three pictures of ten, as
pictures are drawn without it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional

from training.dataset import Captioned, batches, caption_ids
from training.train_denoiser import encode_pictures
from training.trainer import Inputs, Plan, fit
from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.models.stable_diffusion.wrappers import conditioning_state
from wsd.util.progress import Progress

_DROPOUT, _WITHOUT_T5 = 0.1, 0.3
_BATCH = 1000
# Layers that begin as zeros, so that each block changes nothing at first (Peebles and Xie 2023).
_ZERO = ("norm1.linear", "norm1_context.linear", "norm_out.linear", "proj_out")
# The tables of positions are not learnt: diffusers computes them.
_FIXED = ("pos_embed.rows", "pos_embed.columns")


def train_transformer(
    family: Family, vae: Any, encoders: Mapping[str, Any], data: Captioned, plan: Plan, seed: int,
    device: str, progress: Progress,
) -> Any:  # fmt: skip
    """Train the family's transformer on the autoencoder's latents and the encoders' states.

    Returns:
        the averaged transformer, float32, in evaluation mode.
    """
    torch.manual_seed(seed + 1)
    model: Any = build_module(family.component("denoiser"))
    _prepare(model)
    model = model.to(device).train()
    latents = encode_pictures(family, vae, data, device)
    conditions = encode_captions(family, encoders, data.ids, device)
    empty = encode_captions(family, encoders, caption_ids(family, [""]), device)
    inputs = _inputs(latents, conditions, empty, plan.batch, seed)
    loss = flow_loss(family, model)
    trained: Any = fit(model, loss, inputs, plan, "denoiser", device, progress)
    return trained


def _prepare(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            owner = name.rpartition(".")[0]
            if owner.endswith(_ZERO):
                parameter.zero_()
            if name in _FIXED:
                parameter.requires_grad_(False)


@torch.no_grad()
def encode_captions(
    family: Family, encoders: Mapping[str, Any], ids: Mapping[str, torch.Tensor], device: str
) -> Inputs:
    """Return the conditioning of texts for the transformer, float16.

    Returns:
        ``clip`` (n, 77, d) of both CLIP encoders side by side, ``t5`` (n, tokens, width), and
        ``pooled`` (n, p) of both CLIP encoders.
    """
    count = len(next(iter(ids.values())))
    parts = []
    for rows in torch.split(torch.arange(count), _BATCH):
        states, pooled = [], []
        for used in family.conditioning.encoders:
            own = ids[used.component][rows].int().to(device)
            encoded = encoders[used.component](own, output_hidden_states=True)
            states.append(conditioning_state(encoded, used.hidden_state).half())
            if used.pooled:
                pooled.append(encoded.text_embeds.half())
        parts.append((torch.cat(states[:-1], dim=-1), states[-1], torch.cat(pooled, dim=-1)))
    return {
        name: torch.cat([part[at] for part in parts])
        for at, name in enumerate(("clip", "t5", "pooled"))
    }


def flow_loss(family: Family, model: Any) -> Callable[..., torch.Tensor]:
    """Return the loss of a transformer, a function of what :func:`_inputs` yields."""
    shift, steps = family.scheduler["shift"], family.scheduler["num_train_timesteps"]
    width = family.component("denoiser").config["joint_attention_dim"]

    def loss(
        clean: torch.Tensor, noise: torch.Tensor, place: torch.Tensor, clip: torch.Tensor,
        t5: torch.Tensor, pooled: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        # Noise levels are as frequent as they are when pictures are drawn.
        sigma = shift * place / (1 + (shift - 1) * place)
        level = sigma.view(-1, 1, 1, 1)
        noisy = (1 - level) * clean + level * noise
        text = torch.cat([functional.pad(clip, (0, width - clip.shape[-1])), t5], dim=1)
        # Many CPUs have no bfloat16, and emulate it slowly.
        kind = clean.device.type
        with torch.autocast(kind, torch.bfloat16, kind != "cpu", cache_enabled=False):
            flow = model(noisy, text, pooled, sigma * steps, return_dict=False)[0]
        total: torch.Tensor = functional.mse_loss(flow.float(), noise - clean)
        return total

    return loss


def _inputs(
    latents: torch.Tensor, conditions: Inputs, empty: Inputs, batch: int, seed: int
) -> Iterator[Inputs]:
    """Yield batches without end.

    Returns:
        ``clean`` and ``noise`` (n, c, h, w); ``place`` (n,), from 0 to 1, where on the way from
        latents to noise; ``clip``, ``t5`` and ``pooled`` of :func:`encode_captions`; float32.
    """
    device = latents.device
    source = torch.Generator(device).manual_seed(seed)
    for rows in batches(len(latents), batch, torch.Generator().manual_seed(seed)):
        chosen = rows.to(device)
        clean = latents[chosen].float()
        dropped = torch.rand(batch, generator=source, device=device) < _DROPOUT
        without_t5 = torch.rand(batch, generator=source, device=device) < _WITHOUT_T5
        texts = {
            name: torch.where(
                dropped.view(-1, *[1] * (tensor.ndim - 1)), empty[name], tensor[chosen]
            ).float()
            for name, tensor in conditions.items()
        }
        texts["t5"] = texts["t5"] * (~without_t5).view(-1, 1, 1)
        yield {
            "clean": clean,
            "noise": torch.randn(clean.shape, generator=source, device=device),
            "place": torch.rand(batch, generator=source, device=device),
            **texts,
        }
