"""Stable Diffusion's modules as functions of tensors alone.

The modules of diffusers and transformers take dictionaries, find the end of a text with booleans,
and return objects. These wrappers take and return tensors that a WebGPU buffer can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from wsd.models.latent_space import LatentSpace
from wsd.spec.roles import MOMENTS


def conditioning_state(encoded: Any, layer: int | None) -> torch.Tensor:
    """Return the hidden state of a text encoder that conditions the UNet, (n, 77, hidden).

    Args:
        encoded: output of a CLIP text model, with hidden states if ``layer`` is given.
        layer: index of the hidden state; None for the last one, normalised.
    """
    state: torch.Tensor = (
        encoded.last_hidden_state if layer is None else encoded.hidden_states[layer]
    )
    return state


def skipped_state(model: Any, encoded: Any, layer: int | None, skip: int) -> torch.Tensor:
    """Return the hidden state that conditions the UNet with clip skip, (n, 77, hidden).

    As diffusers' ``clip_skip`` does: an encoder whose last state is normalised has its last
    normalisation after the state that takes its place.

    Args:
        model: the CLIP text model.
        encoded: its output, with hidden states.
        layer: as of :func:`conditioning_state`.
        skip: number of the last layers whose work is left out.
    """
    if skip == 0:
        return conditioning_state(encoded, layer)
    if layer is not None:
        return conditioning_state(encoded, layer - skip)
    # transformers 5 has no level between CLIPTextModel and its modules.
    norm = getattr(model, "text_model", model).final_layer_norm
    state: torch.Tensor = norm(encoded.hidden_states[-1 - skip])
    return state


class TextEncoder(torch.nn.Module):
    """CLIP text model as a function of token ids.

    Args:
        model: ``CLIPTextModel`` or ``CLIPTextModelWithProjection``.
        layer: index of the hidden state that conditions the UNet; None for the last one,
            normalised.
    """

    def __init__(self, model: torch.nn.Module, layer: int | None) -> None:
        super().__init__()
        self.model = model
        self.layer = layer

    def encode(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ids (1, 77) to the conditioning state and the last one, both (1, 77, hidden)."""
        encoded = self.model(input_ids, output_hidden_states=self.layer is not None)
        return conditioning_state(encoded, self.layer), encoded.last_hidden_state

    def pool(self, last: torch.Tensor, end_of_text: torch.Tensor) -> torch.Tensor:
        """Map the last state (1, 77, hidden) to the projected state (1, p) where the text ends.

        Args:
            last: the last hidden state, normalised.
            end_of_text: (1, 77) float32, 1 at the first end token and 0 elsewhere. The caller
                finds it, because a search takes booleans, which no shader can store.
        """
        pooled = torch.matmul(end_of_text.unsqueeze(1), last).squeeze(1)
        projected: torch.Tensor = self.model.text_projection(pooled)  # type: ignore[operator]
        return projected

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Map ids (1, 77) int32 to the conditioning state (1, 77, hidden) float32."""
        return self.encode(input_ids)[0]


class PooledTextEncoder(TextEncoder):
    """A text encoder that also gives its pooled state."""

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, end_of_text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ids to states (1, 77, hidden) and the pooled state (1, p); see :meth:`pool`."""
        state, last = self.encode(input_ids)
        return state, self.pool(last, end_of_text)


class JoiningTextEncoder(TextEncoder):
    """A text encoder that appends its states to those of the encoders before it."""

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, before: torch.Tensor
    ) -> torch.Tensor:
        """Map ids and the states (1, 77, d) before to joined states (1, 77, d + hidden)."""
        return torch.cat([before, self.encode(input_ids)[0]], dim=-1)


class JoiningPooledTextEncoder(TextEncoder):
    """A text encoder that joins its states and also gives its pooled state."""

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, before: torch.Tensor, end_of_text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ids to joined states (1, 77, d + hidden) and the pooled state (1, p).

        Args:
            input_ids: (1, 77) int32.
            before: states of the encoders before, (1, 77, d) float32.
            end_of_text: as in :meth:`pool`.
        """
        state, last = self.encode(input_ids)
        pooled = self.pool(last, end_of_text)
        return torch.cat([before, state], dim=-1), pooled


class LayeredTextEncoder(TextEncoder):
    """A text encoder that gives the states of its layers, for clip skip.

    Args:
        model: as of :class:`TextEncoder`.
        layer: as of :class:`TextEncoder`.
        skips: the most layers that can be left out.
        joins: whether it joins its states to those of the encoders before it.
        pools: whether it also gives its pooled state, from which no layer is left out.
    """

    def __init__(
        self, model: torch.nn.Module, layer: int | None, skips: int, *, joins: bool, pools: bool
    ) -> None:
        super().__init__(model, layer)
        self.skips = skips
        self.joins = joins
        self.pools = pools

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Map ids to a state (1, 77, d + hidden) for each number of layers that are left out.

        Args:
            input_ids: (1, 77) int32.
            others: states of the encoders before, (1, 77, d), if it joins its own to them; where
                the text ends (:meth:`pool`), if it gives its pooled state.

        Returns:
            the states, from none that is left out to ``skips``; then the pooled state (1, p).
        """
        encoded = self.model(input_ids, output_hidden_states=True)
        states = [
            skipped_state(self.model, encoded, self.layer, skip) for skip in range(self.skips + 1)
        ]
        if self.joins:
            states = [torch.cat([others[0], state], dim=-1) for state in states]
        if self.pools:
            states.append(self.pool(encoded.last_hidden_state, others[-1]))
        return tuple(states)


# (whether it joins its states to others', whether it gives its pooled state) to the wrapper.
TEXT_ENCODERS: dict[tuple[bool, bool], type[TextEncoder]] = {
    (False, False): TextEncoder,
    (False, True): PooledTextEncoder,
    (True, False): JoiningTextEncoder,
    (True, True): JoiningPooledTextEncoder,
}


class Denoiser(torch.nn.Module):
    """Conditional UNet as a function of latents, timestep and text embeddings.

    A UNet that guides itself also takes the embedded guidance scale, (1, g).
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        guidance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map latents (1, c, h, w), timestep (1,) and text (1, 77, d) to noise (1, c, h, w)."""
        noise: torch.Tensor = self.model(
            latents, timestep, text, timestep_cond=guidance, return_dict=False
        )[0]
        return noise


class DenoiserXL(Denoiser):
    """SDXL's UNet, which is also conditioned by the pooled text and the picture's sizes."""

    def forward(  # type: ignore[override]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        time_ids: torch.Tensor,
        guidance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Map as :class:`Denoiser`, with the pooled text (1, p) and time ids (1, 6)."""
        added = {"text_embeds": pooled, "time_ids": time_ids}
        noise: torch.Tensor = self.model(
            latents,
            timestep,
            text,
            timestep_cond=guidance,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return noise


class GuidedDenoiser(Denoiser):
    """Classifier-free guidance: both predictions as one batch, and their combination.

    One call with a batch of two keeps a GPU busier than two calls with a batch of one, because
    the smallest layers have too few workgroups to fill it.
    """

    def forward(  # type: ignore[override]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        negative_text: torch.Tensor,
        guidance_scale: torch.Tensor,
    ) -> torch.Tensor:
        """Map as :class:`Denoiser`, guided away from the negative text (1, 77, d); scale (1,)."""
        return self.guide(latents, timestep, negative_text, text, guidance_scale, None)

    def guide(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        negative_text: torch.Tensor,
        text: torch.Tensor,
        guidance_scale: torch.Tensor,
        added: dict[str, torch.Tensor] | None,
    ) -> torch.Tensor:
        """Return the guided prediction (1, c, h, w), as diffusers computes it.

        Ho and Salimans 2022, "Classifier-free diffusion guidance", eq. 6.
        """
        both = self.model(
            torch.cat([latents, latents]),
            timestep,
            torch.cat([negative_text, text]),
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        without, conditioned = both[:1], both[1:]
        guided: torch.Tensor = without + guidance_scale * (conditioned - without)
        return guided


class GuidedDenoiserXL(GuidedDenoiser):
    """Classifier-free guidance with SDXL's UNet."""

    def forward(  # type: ignore[override]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        time_ids: torch.Tensor,
        negative_text: torch.Tensor,
        negative_pooled: torch.Tensor,
        guidance_scale: torch.Tensor,
    ) -> torch.Tensor:
        """Map as :class:`DenoiserXL`, guided away from the negative texts; scale (1,)."""
        added = {
            "text_embeds": torch.cat([negative_pooled, pooled]),
            "time_ids": torch.cat([time_ids, time_ids]),
        }
        return self.guide(latents, timestep, negative_text, text, guidance_scale, added)


class _Masked:
    """A UNet that also takes, after all other inputs, a mask and the latents of what is kept.

    It was trained to draw a part of a picture anew. The mask (1, 1, h, w) is 1 where a latent pixel
    is drawn; the other latents (1, c, h, w) are of the picture with that part grey. Both stand
    beside the noisy latents as further channels, and are not scaled with them.
    """

    def forward(self, latents: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        """Map as the class that this one is mixed with, guided or not."""
        *others, mask, masked_latents = inputs
        joined = torch.cat([latents, mask, masked_latents], dim=1)
        noise: torch.Tensor = super().forward(joined, *others)  # type: ignore[misc]
        return noise


class MaskedDenoiser(_Masked, Denoiser):  # type: ignore[misc]
    """A :class:`Denoiser` that takes a mask too."""


class MaskedDenoiserXL(_Masked, DenoiserXL):  # type: ignore[misc]
    """A :class:`DenoiserXL` that takes a mask too."""


class MaskedGuidedDenoiser(_Masked, GuidedDenoiser):  # type: ignore[misc]
    """A :class:`GuidedDenoiser` that takes a mask too."""


class MaskedGuidedDenoiserXL(_Masked, GuidedDenoiserXL):  # type: ignore[misc]
    """A :class:`GuidedDenoiserXL` that takes a mask too."""


# (whether it guides, whether the UNet is SDXL's, whether it takes a mask) to the wrapper.
DENOISERS: dict[tuple[bool, bool, bool], type[Denoiser]] = {
    (False, False, False): Denoiser,
    (False, True, False): DenoiserXL,
    (True, False, False): GuidedDenoiser,
    (True, True, False): GuidedDenoiserXL,
    (False, False, True): MaskedDenoiser,
    (False, True, True): MaskedDenoiserXL,
    (True, False, True): MaskedGuidedDenoiser,
    (True, True, True): MaskedGuidedDenoiserXL,
}


class Encoder(torch.nn.Module):
    """The encoding half of a KL autoencoder, from pixels to the moments of the VAE's latents.

    Args:
        vae: ``AutoencoderKL``.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder = vae.encoder
        # None for a VAE whose configuration says use_quant_conv false.
        self.quant_conv = vae.quant_conv

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image (1, 3, fh, fw), values from -1 to 1, to moments (1, 2 c, h, w).

        The first c channels are the mean of the VAE's latents, the others the logarithm of their
        variance, which diffusers clamps to -30 to 20 before it samples. Nothing is scaled.
        """
        moments: torch.Tensor = self.encoder(image)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        return moments


class Decoder(torch.nn.Module):
    """The decoding half of a KL autoencoder, from the denoiser's latents to pixels.

    Args:
        vae: ``AutoencoderKL``.
        space: how the denoiser's latents relate to the VAE's.
    """

    def __init__(self, vae: Any, space: LatentSpace) -> None:
        super().__init__()
        # None for a VAE whose configuration says use_post_quant_conv false.
        self.post_quant_conv = vae.post_quant_conv
        self.decoder = vae.decoder
        self.space = space

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (1, c, h, w) to an image (1, 3, fh, fw), values about -1 to 1."""
        unscaled = self.space.unscale(latents)
        if self.post_quant_conv is not None:
            unscaled = self.post_quant_conv(unscaled)
        image: torch.Tensor = self.decoder(unscaled)
        return image


class TinyEncoder(torch.nn.Module):
    """The encoding half of a tiny autoencoder, from pixels to latents.

    Args:
        vae: ``AutoencoderTiny``.
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder = vae.encoder

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image (1, 3, fh, fw), values from -1 to 1, to latents (1, c, h, w), not scaled."""
        latents: torch.Tensor = self.encoder(image)
        return latents


class TinyDecoder(torch.nn.Module):
    """The decoding half of a tiny autoencoder, from the denoiser's latents to pixels.

    Args:
        vae: ``AutoencoderTiny``.
        space: how the denoiser's latents relate to the autoencoder's.
    """

    def __init__(self, vae: Any, space: LatentSpace) -> None:
        super().__init__()
        self.decoder = vae.decoder
        self.space = space

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (1, c, h, w) to an image (1, 3, fh, fw), values about -1 to 1."""
        image: torch.Tensor = self.decoder(self.space.unscale(latents))
        return image


class AutoencoderWrappers(NamedTuple):
    """The wrappers of a class of autoencoders.

    Attributes:
        decoder: takes the autoencoder and its latent space.
        encoder: takes the autoencoder.
        encoded: name of what the encoder gives: ``moments`` of a distribution, from which latents
            are drawn, or ``latents``.
        planes: how many planes it gives for each channel of the latents.
    """

    decoder: Callable[[Any, LatentSpace], torch.nn.Module]
    encoder: Callable[[Any], torch.nn.Module]
    encoded: str
    planes: int


# Class of an autoencoder in diffusers to its wrappers.
AUTOENCODERS: Mapping[str, AutoencoderWrappers] = {
    # The mean of each channel, then the logarithm of its variance.
    "AutoencoderKL": AutoencoderWrappers(Decoder, Encoder, MOMENTS, 2),
    "AutoencoderTiny": AutoencoderWrappers(TinyDecoder, TinyEncoder, "latents", 1),
}
