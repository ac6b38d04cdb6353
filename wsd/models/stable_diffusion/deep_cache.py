"""Cached deep features of a UNet: most predictions run its outermost layers alone.

Ma, Fang and Wang 2023, "DeepCache: accelerating diffusion models for free" (arXiv:2312.00858). What
the deep layers of a UNet compute changes little from one prediction to the next. A full prediction
keeps what enters the last layer of the last up block; a shallow one takes it, and runs the first
convolution, that layer, and what follows. This is branch 0 of the package DeepCache
(``DeepCacheSDHelper.set_params(cache_branch_id=0)``), with which the fewest layers run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from wsd.models.stable_diffusion.wrappers import Denoiser
from wsd.spec.roles import DEEP_FEATURES, GUIDANCE_EMBEDDING, TEXT_STATES

# Of the layers of the last up block, counted from the end: the one that gives the features.
_DEEP = -2


@contextmanager
def kept_features(unet: Any) -> Iterator[list[torch.Tensor]]:
    """Keep the deep features of the predictions that a UNet makes meanwhile.

    Args:
        unet: diffusers' ``UNet2DConditionModel``.

    Yields:
        a list that gets the features (n, c, h, w) of each prediction.
    """
    block = unet.up_blocks[-1]
    # A layer of the block is a residual network, with an attention behind it in some blocks.
    layer = getattr(block, "attentions", block.resnets)[_DEEP]
    found: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, given: Any) -> None:
        found.append(given[0] if isinstance(given, tuple) else given)

    hook = layer.register_forward_hook(keep)
    try:
        yield found
    finally:
        hook.remove()


def reads_text(unet: Any) -> bool:
    """Tell whether the layer that a shallow prediction runs has an attention to the text."""
    return hasattr(unet.up_blocks[-1], "attentions")


def predict_shallow(
    unet: Any,
    sample: torch.Tensor,
    timestep: torch.Tensor,
    text: torch.Tensor | None,
    features: torch.Tensor,
    guidance: torch.Tensor | None = None,
    added: dict[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return a prediction (n, c, h, w) that takes the deep features of an earlier one.

    The steps are those of ``UNet2DConditionModel.forward``.

    Args:
        unet: diffusers' ``UNet2DConditionModel``.
        sample: its input, (n, channels, h, w).
        timestep: the training timestep.
        text: states of the text, (n, tokens, d); None for a UNet that does not read it there.
        features: what :func:`kept_features` kept.
        guidance: the embedded guidance scale, for a UNet that guides itself.
        added: further conditions, as diffusers' ``added_cond_kwargs``.
    """
    embedded = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timestep), guidance)
    more = unet.get_aug_embed(emb=embedded, encoder_hidden_states=text, added_cond_kwargs=added)
    if more is not None:
        embedded = embedded + more
    block = unet.up_blocks[-1]
    hidden = block.resnets[-1](torch.cat([features, unet.conv_in(sample)], dim=1), embedded)
    if reads_text(unet):
        hidden = block.attentions[-1](hidden, encoder_hidden_states=text, return_dict=False)[0]
    noise: torch.Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
    return noise


@contextmanager
def cached_features(unet: Any, runs_whole: Callable[[], bool]) -> Iterator[None]:
    """Let a UNet take its deep features from an earlier prediction, in diffusers' pipelines.

    Args:
        unet: diffusers' ``UNet2DConditionModel``, which predicts otherwise as long as this lasts.
        runs_whole: is called with each prediction, and tells whether all of it runs.
    """
    whole = unet.forward
    features: torch.Tensor | None = None

    def predict(
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        timestep_cond: torch.Tensor | None = None,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        **options: Any,
    ) -> Any:
        nonlocal features
        inputs = (sample, timestep, encoder_hidden_states)
        if runs_whole() or features is None:
            with kept_features(unet) as kept:
                found = whole(
                    *inputs,
                    timestep_cond=timestep_cond,
                    added_cond_kwargs=added_cond_kwargs,
                    **options,
                )
            (features,) = kept
            return found
        return (predict_shallow(unet, *inputs, features, timestep_cond, added_cond_kwargs),)

    unet.forward = predict
    try:
        yield
    finally:
        del unet.forward


def keep_in(wrapper: type[Denoiser]) -> type[Denoiser]:
    """Return a wrapper that also gives the deep features, those with the prompt first.

    Args:
        wrapper: of a UNet, with guidance or without it.
    """

    class Keeping(wrapper):  # type: ignore[misc, valid-type]
        """Gives the prediction, the features, and those without the prompt if it guides."""

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            with kept_features(self.model) as kept:
                noise = super().forward(*inputs)
            (features,) = kept
            # The prompt's prediction is the last of a batch.
            return (noise, features) if len(features) == 1 else (noise, features[1:], features[:1])

    return Keeping


class ShallowDenoiser(torch.nn.Module):
    """The outermost layers of a UNet as a function of what they read.

    Args:
        model: diffusers' ``UNet2DConditionModel``.
        names: of the inputs, as the full denoiser's are called; it guides if one of them is the
            guidance scale.
    """

    def __init__(self, model: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Map latents (1, c, h, w), features and conditions to noise (1, c, h, w)."""
        given = dict(zip(self.names, inputs, strict=True))
        scale = given.get("guidance_scale")

        def batch(name: str) -> torch.Tensor:
            """Return an input for each prediction: without the prompt, then with it."""
            value = given[name]
            if scale is None:
                return value
            return torch.cat([given.get(f"negative_{name}", value), value])

        latents = [batch(name) for name in ("latents", "mask", "masked_latents") if name in given]
        pooled = {"text_embeds": batch("pooled_text")} if "pooled_text" in given else {}
        sizes = {"time_ids": batch("time_ids")} if "time_ids" in given else {}
        noise = predict_shallow(
            self.model,
            torch.cat(latents, dim=1) if len(latents) > 1 else latents[0],
            given["timestep"],
            batch(TEXT_STATES) if TEXT_STATES in given else None,
            batch(DEEP_FEATURES),
            given.get(GUIDANCE_EMBEDDING),
            {**pooled, **sizes},
        )
        if scale is None:
            return noise
        without, conditioned = noise[:1], noise[1:]
        return without + scale * (conditioned - without)
