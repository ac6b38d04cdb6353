"""Single-file checkpoints in the original key layout, one component at a time.

The names are translated by diffusers' own converters. Tensors stay views of the
mapped file until somebody reads them, so that no more than one is in memory.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from wsd.checkpoint.safetensors_file import open_tensors
from wsd.errors import CheckpointError
from wsd.models.registry import Component, Family
from wsd.spec.roles import DENOISER, TEXT_ENCODER

_UNET = ("model.diffusion_model.",)
_VAE = ("first_stage_model.", "vae.")
# CompVis' only encoder, and SDXL's first one.
_CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
# SDXL's second encoder, in OpenCLIP's names.
_OPEN_CLIP = ("conditioner.embedders.1.model.",)


def component_tensors(path: Path, family: Family, component: Component) -> dict[str, torch.Tensor]:
    """Return a component's tensors by diffusers' names.

    Args:
        path: a ``.safetensors`` file.
        family: the zoo's entry.
        component: which of its components.

    Raises:
        CheckpointError: if the file cannot be read, or does not hold the component
            in the original layout.
    """
    prefixes = _prefixes(family, component)
    with open_tensors(path) as reader:
        names = [name for name in reader.keys() if name.startswith(prefixes)]  # noqa: SIM118
        own = {name: reader.get_tensor(name) for name in names}
    if not own:
        raise CheckpointError(
            f"{path}: no tensor's name begins with {' or '.join(prefixes)}",
            f"the file must hold all of a {family.name} checkpoint in the original layout; "
            "for one component or another layout, pass a diffusers folder",
        )
    try:
        return _convert(component, own, prefixes)
    except KeyError as error:
        raise CheckpointError(
            f"{path}: tensor {error.args[0]} of {component.name} is missing",
            f"the checkpoint is incomplete or of another family than {family.name}",
        ) from error


def _prefixes(family: Family, component: Component) -> tuple[str, ...]:
    if component.role != TEXT_ENCODER:
        return _UNET if component.role == DENOISER else _VAE
    return _CLIP if component == family.text_encoders()[0] else _OPEN_CLIP


def _convert(
    component: Component, own: dict[str, torch.Tensor], prefixes: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    from diffusers.loaders import single_file_utils as converters

    config = dict(component.config)
    converted: Any
    if prefixes == _UNET:
        converted = converters.convert_ldm_unet_checkpoint(own, config)
    elif prefixes == _VAE:
        converted = converters.convert_ldm_vae_checkpoint(own, config)
    elif prefixes == _CLIP:
        converted = converters.convert_ldm_clip_checkpoint(own)
    else:
        model = SimpleNamespace(config=SimpleNamespace(**config))
        converted = converters.convert_open_clip_checkpoint(model, own, prefixes[0])
    return dict(converted)
