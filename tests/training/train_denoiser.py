"""Train the tiny models' UNet on latents and on the outputs of the text encoders.

Noise prediction (Ho et al. 2020) with classifier-free guidance (Ho and Salimans
2022). The encoders stay as they are, as in Stable Diffusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from training.dataset import Captioned, batches, caption_ids
from training.train_autoencoder import encode
from training.trainer import Inputs, Plan, fit
from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.models.schedulers import build_scheduler
from wsd.models.stable_diffusion.architecture import time_ids
from wsd.models.stable_diffusion.wrappers import conditioning_state
from wsd.util.progress import Progress

# The layout of a picture is decided at high noise levels. There the plain loss on the noise gives
# errors of the picture almost no weight, so that relations are never learnt. The loss is therefore
# weighted as in v-prediction (Salimans and Ho 2022), bounded as in Hang et al. 2023.
_MOST_WEIGHT = 5.0
_DROPOUT = 0.1
_BATCH = 500


@torch.no_grad()
def encode_pictures(family: Family, vae: Any, data: Captioned, device: str) -> torch.Tensor:
    """Return the latents of training pictures, (n, 4, edge / 8, edge / 8) float16."""
    edge = family.sizes[0][0]
    parts = torch.split(torch.arange(len(data)), _BATCH)
    return torch.cat([encode(vae, data.pictures(rows, edge, device)).half() for rows in parts])


@torch.no_grad()
def _conditions(
    family: Family, encoders: Mapping[str, Any], ids: Mapping[str, torch.Tensor], device: str
) -> Inputs:
    """Return the conditioning of texts for the UNet, float16.

    Returns:
        ``text`` (n, 77, d) and, if an encoder projects, ``pooled`` (n, p).
    """
    count = len(next(iter(ids.values())))
    parts = [
        encode_texts(family, encoders, {name: some[rows].to(device) for name, some in ids.items()})
        for rows in torch.split(torch.arange(count), _BATCH)
    ]
    return {name: torch.cat([part[name].half() for part in parts]) for name in parts[0]}


def encode_texts(
    family: Family, encoders: Mapping[str, Any], ids: Mapping[str, torch.Tensor]
) -> Inputs:
    """Return the conditioning of token ids (n, 77), each for the encoder of its name.

    Returns:
        ``text`` (n, 77, d) and, if an encoder projects, ``pooled`` (n, p), float32.
    """
    layers = {used.component: used.hidden_state for used in family.conditioning.encoders}
    found: Inputs = {}
    states = []
    for name, encoder in encoders.items():
        encoded = encoder(ids[name].int(), output_hidden_states=True)
        states.append(conditioning_state(encoded, layers[name]))
        if (pooled := getattr(encoded, "text_embeds", None)) is not None:
            found["pooled"] = pooled
    return {"text": torch.cat(states, dim=-1), **found}


def train_denoiser(
    family: Family, vae: Any, encoders: Mapping[str, Any], data: Captioned, plan: Plan, seed: int,
    device: str, progress: Progress,
) -> Any:  # fmt: skip
    """Train the family's UNet on the autoencoder's latents and the encoders' states.

    Returns:
        the averaged UNet, float32, in evaluation mode.
    """
    torch.manual_seed(seed + 1)
    unet: Any = build_module(family.component("denoiser")).to(device).train()
    unet.to(memory_format=torch.channels_last)
    loss = denoising_loss(family, unet, device)
    latents = encode_pictures(family, vae, data, device)
    conditions = _conditions(family, encoders, data.ids, device)
    empty = _conditions(family, encoders, caption_ids(family, [""]), device)
    if family.conditioning.empty_negative == "zeros":
        empty = {name: torch.zeros_like(tensor) for name, tensor in empty.items()}
    inputs = _inputs(latents, conditions, empty, plan.batch, seed)
    trained: Any = fit(unet, loss, inputs, plan, "denoiser", device, progress)
    return trained.to(memory_format=torch.contiguous_format)


def denoising_loss(family: Family, unet: Any, device: str) -> Callable[..., torch.Tensor]:
    """Return the loss of a UNet, a function of what :func:`noisy_batches` yields and of texts."""
    alphas = build_scheduler(family.scheduler).alphas_cumprod.to(device)
    snr = alphas / (1 - alphas)
    weights = (1 + snr).clamp_max(_MOST_WEIGHT) / snr
    sizes = torch.tensor([time_ids(family.sizes[0])], dtype=torch.float32, device=device)

    def loss(
        clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, text: torch.Tensor,
        pooled: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        alpha = alphas[times].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        added = None
        if pooled is not None:
            added = {"text_embeds": pooled, "time_ids": sizes.expand(len(clean), -1)}
        # Many CPUs have no bfloat16, and emulate it slowly.
        with torch.autocast(
            clean.device.type, torch.bfloat16, device != "cpu", cache_enabled=False
        ):
            predicted = unet(noisy, times, text, added_cond_kwargs=added, return_dict=False)[0]
        errors = (predicted.float() - noise).square().mean((1, 2, 3))
        total: torch.Tensor = (weights[times] * errors).mean()
        return total

    return loss


def _inputs(
    latents: torch.Tensor, conditions: Inputs, empty: Inputs, batch: int, seed: int
) -> Iterator[Inputs]:
    for chosen, dropped, noisy in noisy_batches(latents, batch, seed):
        yield {
            **noisy,
            **{
                name: torch.where(
                    dropped.view(-1, *[1] * (tensor.ndim - 1)), empty[name], tensor[chosen]
                ).float()
                for name, tensor in conditions.items()
            },
        }


def noisy_batches(
    latents: torch.Tensor, batch: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Inputs]]:
    """Yield batches of latents without end, with noise and times.

    Returns:
        row numbers (n,) int64; which rows are to have no text, (n,) bool; and ``clean`` and
        ``noise`` (n, 4, h, w) float32 with ``times`` (n,) int64.
    """
    device = latents.device
    source = torch.Generator(device).manual_seed(seed)
    for rows in batches(len(latents), batch, torch.Generator().manual_seed(seed)):
        chosen = rows.to(device)
        clean = latents[chosen].float()
        dropped = torch.rand(batch, generator=source, device=device) < _DROPOUT
        yield (
            chosen,
            dropped,
            {
                "clean": clean,
                "noise": torch.randn(clean.shape, generator=source, device=device),
                "times": torch.randint(1000, (batch,), generator=source, device=device),
            },
        )
