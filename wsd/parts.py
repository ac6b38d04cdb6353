"""Each role's module as a function of tensors alone, with what goes in and comes out.

Libraries' modules take dictionaries, find the end of a text with booleans, and
return objects. These wrappers take and return tensors that WebGPU can hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from wsd.errors import CompileError
from wsd.zoo import Component, Family

# Original height and width, top and left of the crop, target height and width.
_TIME_IDS = 6
# Decodes one tile; every size shares it.
TILE_ROLE = "vae_decoder_tile"
# Predicts with and without the prompt at once.
GUIDED_ROLE = "guided_unet"


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype (``float32``, ``int32`` …) of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Part:
    """A component as it is compiled.

    Attributes:
        entry_point: name of the function in the compiled library.
        role: what the browser finds it by.
        module: a torch module whose arguments are ``inputs``.
        inputs: run-time inputs in order.
        outputs: results in order.
        size: width and height of the picture in pixels; None where it does not
            matter.
    """

    entry_point: str
    role: str
    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size: tuple[int, int] | None


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


def make_part(
    family: Family, component: Component, model: torch.nn.Module, size: tuple[int, int]
) -> Part:
    """Wrap one component for one picture size.

    Args:
        family: the zoo's entry.
        component: which of its components ``model`` is.
        model: the torch module in evaluation mode, float32.
        size: width and height of the picture in pixels.

    Raises:
        CompileError: if the component's role is unknown.
    """
    makers = {"text_encoder": _text_encoder, "unet": _unet, "vae_decoder": _decoder}
    if component.role not in makers:
        raise CompileError(
            f"component {component.name!r} has the unknown role {component.role!r}",
            "teach wsd/parts.py this role, or correct the zoo entry",
        )
    return makers[component.role](family, component, model, size)


def _text_encoder(
    family: Family, component: Component, model: torch.nn.Module, _size: tuple[int, int]
) -> Part:
    encoders = family.text_encoders()
    tokens = component.config["max_position_embeddings"]
    ids = TensorSpec("input_ids", (1, tokens), "int32")
    before = sum(c.config["hidden_size"] for c in encoders[: encoders.index(component)])
    states = TensorSpec("text_embeddings", (1, tokens, before + component.config["hidden_size"]))
    if before == 0:
        wrapped = TextEncoder(model, component.hidden_state)
        return Part(component.name, component.role, wrapped, (ids,), (states,), None)
    joined = (
        ids,
        TensorSpec("text_embeddings", (1, tokens, before)),
        TensorSpec("end_of_text", (1, tokens)),
    )
    pooled = TensorSpec("pooled_text", (1, component.config["projection_dim"]))
    wrapped = JoiningTextEncoder(model, component.hidden_state)
    return Part(component.name, component.role, wrapped, joined, (states, pooled), None)


def _unet(
    family: Family, component: Component, model: torch.nn.Module, size: tuple[int, int]
) -> Part:
    config = component.config
    latents = _latents(family, size)
    text = family.text_encoders()
    inputs = [
        latents,
        TensorSpec("timestep", (1,)),
        TensorSpec(
            "text_embeddings",
            (1, text[0].config["max_position_embeddings"], config["cross_attention_dim"]),
        ),
    ]
    wrapper = Denoiser
    if config.get("addition_embed_type") == "text_time":
        inputs += [
            TensorSpec("pooled_text", (1, text[-1].config["projection_dim"])),
            TensorSpec("time_ids", (1, _TIME_IDS)),
        ]
        wrapper = DenoiserXL
    output = TensorSpec("noise_prediction", latents.shape)
    name = f"{component.name}_{size[0]}x{size[1]}"
    return Part(name, component.role, wrapper(model), tuple(inputs), (output,), size)


def _decoder(
    family: Family, component: Component, model: torch.nn.Module, size: tuple[int, int]
) -> Part:
    output = TensorSpec("image", (1, 3, size[1], size[0]))
    name = f"{component.role}_{size[0]}x{size[1]}"
    return Part(name, component.role, Decoder(model), (_latents(family, size),), (output,), size)


def make_parts(
    family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[tuple[int, int]]
) -> Iterator[Part]:
    """Yield every function that a component becomes.

    Text encoders are wrapped once, since size does not matter to them; the UNet also with
    guidance, the decoder also for one tile.

    Args:
        family: the zoo's entry.
        component: which of its components ``model`` is.
        model: the torch module in evaluation mode, float32.
        sizes: (width, height) of the pictures in pixels.

    Raises:
        CompileError: as :func:`make_part`.
    """
    for size in sizes[:1] if component.role == "text_encoder" else sizes:
        part = make_part(family, component, model, size)
        yield part
        if component.role == "unet":
            yield _guided(part, model)
    if component.role == "vae_decoder":
        yield _tile(family, component, model)


def _guided(part: Part, model: torch.nn.Module) -> Part:
    """Wrap the UNet for the prediction that guidance makes of two."""
    texts = [spec for spec in part.inputs if spec.name in ("text_embeddings", "pooled_text")]
    negative = [replace(spec, name=f"negative_{spec.name}") for spec in texts]
    wrapper = GuidedDenoiser if len(texts) == 1 else GuidedDenoiserXL
    return replace(
        part,
        entry_point=f"guided_{part.entry_point}",
        role=GUIDED_ROLE,
        module=wrapper(model),
        inputs=(*part.inputs, *negative, TensorSpec("guidance_scale", (1,))),
    )


def _tile(family: Family, component: Component, model: torch.nn.Module) -> Part:
    """Wrap the decoder for one tile of a picture of any size."""
    part = _decoder(family, component, model, (family.tile, family.tile))
    return replace(part, entry_point=TILE_ROLE, role=TILE_ROLE, size=None)


def _latents(family: Family, size: tuple[int, int]) -> TensorSpec:
    width, height = (edge // family.vae_scale_factor for edge in size)
    return TensorSpec("latents", (1, family.component("unet").config["in_channels"], height, width))
