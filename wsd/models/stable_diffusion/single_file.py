"""Key mapping of single files in the original layout (CompVis, Stability AI) to diffusers' names.

The names are translated by diffusers' own converters.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from wsd.models.architecture import SingleFileKeys, View
from wsd.spec.roles import DENOISER, TEXT_ENCODER

if TYPE_CHECKING:
    from wsd.models.family import Component, Family

_UNET = ("model.diffusion_model.",)
_VAE = ("first_stage_model.", "vae.")
# The only encoder of SD 1.x, and SDXL's first one.
_CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
# SDXL's second encoder, by OpenCLIP's names.
_OPEN_CLIP = ("conditioner.embedders.1.model.",)


def keys_of(family: Family, component: Component) -> SingleFileKeys:
    """Return where a single file keeps a component."""
    if component.role == DENOISER:
        return SingleFileKeys(_UNET, partial(_convert_unet, component))
    if component.role != TEXT_ENCODER:
        return SingleFileKeys(_VAE, partial(_convert_vae, component), last_prefix_wins=True)
    if family.conditioning.position(component.id) == 0:
        return SingleFileKeys(_CLIP, _convert_clip)
    return SingleFileKeys(_OPEN_CLIP, partial(_convert_open_clip, component))


def _convert_unet(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return dict(convert_ldm_unet_checkpoint(tensors, dict(component.config)))


def _convert_vae(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return dict(convert_ldm_vae_checkpoint(tensors, dict(component.config)))


def _convert_clip(tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint

    return dict(convert_ldm_clip_checkpoint(tensors))


def _convert_open_clip(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    model = SimpleNamespace(config=SimpleNamespace(**component.config))
    return dict(convert_open_clip_checkpoint(model, tensors, _OPEN_CLIP[0]))
