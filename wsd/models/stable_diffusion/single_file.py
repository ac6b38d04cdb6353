"""Key mapping of single files in the original layout (CompVis, Stability AI) to diffusers' names.

The names are translated by diffusers' own converters. stable-diffusion.cpp writes the original
names too; with ``--convert-name`` it gives both encoders of SDXL others (its
``src/name_conversion.cpp``).
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from wsd.errors import CheckpointError
from wsd.models.architecture import SingleFileKeys, View
from wsd.models.stable_diffusion.taesd_file import keys_of_decoder
from wsd.spec.roles import DENOISER, TEXT_ENCODER

if TYPE_CHECKING:
    from wsd.models.family import Component, Family

_UNET = ("model.diffusion_model.",)
_VAE = ("first_stage_model.", "vae.")
# The only encoder of SD 1.x, and SDXL's first one.
_CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
# SDXL's second encoder, by OpenCLIP's names.
_OPEN_CLIP = "conditioner.embedders.1.model."
# The same by names of transformers, but for the two that OpenCLIP stores in another form: the
# projection, which is transposed, and queries, keys and values, which are one matrix. So
# stable-diffusion.cpp names it with --convert-name; its first encoder has SD 1.x's names then.
_SD_CPP = "cond_stage_model.1.transformer."


def keys_of(family: Family, component: Component) -> SingleFileKeys:
    """Return where a single file keeps a component."""
    if component.class_name == "AutoencoderTiny":
        return keys_of_decoder()
    if component.role == DENOISER:
        return SingleFileKeys(_UNET, partial(_convert_unet, component))
    if component.role != TEXT_ENCODER:
        return SingleFileKeys(_VAE, partial(_convert_vae, component), last_prefix_wins=True)
    if family.conditioning.position(component.id) == 0:
        return SingleFileKeys(_CLIP, _convert_clip)
    return SingleFileKeys((_OPEN_CLIP, _SD_CPP), partial(_convert_second_clip, component))


def _convert_unet(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return dict(convert_ldm_unet_checkpoint(tensors, dict(component.config)))


def _convert_vae(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return dict(convert_ldm_vae_checkpoint(tensors, dict(component.config)))


def _convert_clip(tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint

    return dict(convert_ldm_clip_checkpoint(tensors))


def _convert_second_clip(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    if not any(name.startswith(_OPEN_CLIP) for name in tensors):
        return _convert_sd_cpp_clip(component, tensors)
    model = SimpleNamespace(config=SimpleNamespace(**component.config))
    return dict(convert_open_clip_checkpoint(model, tensors, _OPEN_CLIP))


def _convert_sd_cpp_clip(component: Component, tensors: dict[str, View]) -> dict[str, View]:
    """Return the tensors that stable-diffusion.cpp named, by transformers' names.

    Raises:
        CheckpointError: if queries, keys and values are apart. Older versions of the program split
            OpenCLIP's matrix, and others read a file of transformers' names, whose projection is
            not transposed: nothing in the file tells which of the two it is of.
    """
    width = component.config["hidden_size"]
    found: dict[str, View] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(_SD_CPP)
        layer, joined, kind = name.rpartition(".in_proj.")
        if joined:
            for place, part in enumerate(("q_proj", "k_proj", "v_proj")):
                found[f"{layer}.{part}.{kind}"] = tensor[place * width : (place + 1) * width]
        elif name == "text_model.text_projection":
            found["text_projection.weight"] = tensor.T.contiguous()
        elif name.endswith((".q_proj.weight", ".q_proj.bias")):
            raise CheckpointError(
                f"tensor {key} is of {component.id} by names that stable-diffusion.cpp wrote, and "
                "it cannot be told whether its text_projection is transposed",
                "pass the file that it was converted from, or convert that again without "
                "--convert-name",
            )
        else:
            found[name] = tensor
    return found
