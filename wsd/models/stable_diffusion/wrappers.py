"""Each role's module as a function of tensors alone, with what goes in and comes out.

Libraries' modules take dictionaries, find the end of a text with booleans, and
return objects. These wrappers take and return tensors that WebGPU can hold.
"""

from __future__ import annotations

from typing import Any

import torch

# Original height and width, top and left of the crop, target height and width.
_TIME_IDS = 6


def conditioning_state(encoded: Any, layer: int | None) -> torch.Tensor:
    """Return what conditions the UNet of a text encoder's output, (n, 77, hidden).

    Args:
        encoded: of a CLIP text model, with hidden states if ``layer`` is given.
        layer: which of them; None for the last, normalised.
    """
    state: torch.Tensor = (
        encoded.last_hidden_state if layer is None else encoded.hidden_states[layer]
    )
    return state


class TextEncoder(torch.nn.Module):
    """CLIP text model as a function of token ids.

    Args:
        model: ``CLIPTextModel`` or ``CLIPTextModelWithProjection``.
        layer: which hidden state conditions the UNet; None for the last, normalised.
    """

    def __init__(self, model: torch.nn.Module, layer: int | None) -> None:
        super().__init__()
        self.model = model
        self.layer = layer

    def _encode(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = self.model(input_ids, output_hidden_states=self.layer is not None)
        return conditioning_state(encoded, self.layer), encoded.last_hidden_state

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Map ids (1, 77) int32 to the conditioning state (1, 77, hidden) float32."""
        return self._encode(input_ids)[0]


class JoiningTextEncoder(TextEncoder):
    """A further text encoder: appends its states to those of the ones before it."""

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, before: torch.Tensor, end_of_text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ids to joined states (1, 77, before + hidden) and the projected pooled state.

        Args:
            input_ids: (1, 77) int32.
            before: states of the encoders before, (1, 77, before).
            end_of_text: (1, 77) float32, 1 at the first end token and 0 elsewhere:
                finding it takes booleans, which no shader can store.
        """
        state, last = self._encode(input_ids)
        pooled = torch.matmul(end_of_text.unsqueeze(1), last).squeeze(1)
        projected: torch.Tensor = self.model.text_projection(pooled)  # type: ignore[operator]
        return torch.cat([before, state], dim=-1), projected


class Denoiser(torch.nn.Module):
    """Conditional UNet as a function of latents, timestep and text embeddings."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        """Map latents (1, 4, h, w), timestep (1,) and text (1, 77, d) to noise (1, 4, h, w)."""
        noise: torch.Tensor = self.model(latents, timestep, text, return_dict=False)[0]
        return noise


class DenoiserXL(Denoiser):
    """SDXL's UNet, which also sees the pooled text and the picture's sizes."""

    def forward(  # type: ignore[override]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        time_ids: torch.Tensor,
    ) -> torch.Tensor:
        """Map as :class:`Denoiser`, with the pooled text (1, p) and time ids (1, 6)."""
        added = {"text_embeds": pooled, "time_ids": time_ids}
        noise: torch.Tensor = self.model(
            latents, timestep, text, added_cond_kwargs=added, return_dict=False
        )[0]
        return noise


class GuidedDenoiser(Denoiser):
    """Two predictions as one batch, and what classifier-free guidance makes of them.

    One call of twice the size keeps a GPU busier than two: its smallest layers have work
    for a few of its cores only.
    """

    def forward(  # type: ignore[override]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        negative_text: torch.Tensor,
        guidance_scale: torch.Tensor,
    ) -> torch.Tensor:
        """Map as :class:`Denoiser`, away from the negative text (1, 77, d), scale (1,)."""
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
        """Return the guided prediction (1, 4, h, w), as diffusers computes it.

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
    """The same of SDXL's UNet."""

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
        """Map as :class:`DenoiserXL`, away from the negative texts, scale (1,)."""
        added = {
            "text_embeds": torch.cat([negative_pooled, pooled]),
            "time_ids": torch.cat([time_ids, time_ids]),
        }
        return self.guide(latents, timestep, negative_text, text, guidance_scale, added)


class Decoder(torch.nn.Module):
    """The decoding half of a KL autoencoder, from scaled latents to pixels."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv = vae.post_quant_conv
        self.decoder = vae.decoder
        self.scaling_factor = float(vae.config.scaling_factor)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (1, 4, h, w) to an image (1, 3, 8h, 8w), about -1 to 1."""
        # The pipeline divides first; so do we, so that rounding agrees.
        image: torch.Tensor = self.decoder(self.post_quant_conv(latents / self.scaling_factor))
        return image
