"""Small adapters with seeded weights for Stable Diffusion 3.5, as its trainers write them.

Names are spelled here and not by the code under test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from adapters_data import Tensors, make_layer, peft_settings
from original_sd35 import original_transformer
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.models.family import Component, Family
from wsd.spec.roles import DENOISER, TEXT_ENCODER

# Format → how the transformer's layers are spelled, and the kind of change.
SD35_FORMATS: Mapping[str, tuple[str, str]] = {
    "peft": ("diffusers", "peft"),
    "peft-rslora": ("diffusers", "peft-rslora"),
    "peft-dora": ("diffusers", "peft-dora"),
    "diffusers": ("diffusers", "diffusers"),
    "onetrainer": ("onetrainer", "lora"),
    "simpletuner-lokr": ("simpletuner", "lokr"),
    "kohya": ("kohya", "lora"),
    "kohya-loha": ("kohya", "loha"),
    "kohya-lokr": ("kohya", "lokr"),
    "kohya-lokr-factored": ("kohya", "lokr-factored"),
    "kohya-dora": ("kohya", "dora"),
    "kohya-full": ("kohya", "full"),
    "comfyui": ("comfyui", "peft"),
    "original": ("original", "peft"),
}
# Those that diffusers' own load_lora_weights reads.
SD35_READ_BY_DIFFUSERS = ("peft", "peft-rslora", "peft-dora", "diffusers")
# Spellings that have the original code's layers: what is before a layer's name, and what is
# between its parts.
OF_THE_ORIGINAL = {
    "kohya": ("lora_unet_", "_"),
    "comfyui": ("diffusion_model.", "."),
    "original": ("model.diffusion_model.", "."),
}
_OF_DIFFUSERS = {
    "diffusers": ("transformer.", "."),
    "onetrainer": ("lora_transformer_", "_"),
    "simpletuner": ("lycoris_", "_"),
}
# Both names of CLIP's encoders, and T5's, as kohya's trainer numbers them.
_FLAT = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_", "text_encoder_3": "lora_te3_"}


def write_sd35_adapter(path: Path, family: Family, form: str, seed: int = 0) -> Path:
    """Write an adapter of a format of :data:`SD35_FORMATS`, which changes every matrix."""
    tensors, metadata = make_sd35_adapter(family, form, seed)
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata)
    return path


def make_sd35_adapter(family: Family, form: str, seed: int = 0) -> tuple[Tensors, dict[str, str]]:
    """Return an adapter's tensors by their names in a file, and the file's metadata."""
    naming, kind = SD35_FORMATS[form]
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    settings: dict[str, object] = {}
    for component in family.components:
        if component.role == DENOISER:
            layers = dict(list_layers(family, component, naming))
        elif component.role == TEXT_ENCODER and not _is_alone(naming, component):
            layers = dict(_encoder_layers(component, naming))
        else:
            continue
        is_encoder = component.role == TEXT_ENCODER
        own = "diffusers-encoder" if kind == "diffusers" and is_encoder else kind
        biases = {name.removesuffix(".bias") for name in list_names(component).shapes}
        for name, shape in layers.items():
            for suffix, tensor in make_layer(own, shape, generator).items():
                # Every layer of the transformer has a bias; of the encoders, none is changed.
                if suffix != ".diff_b" or not is_encoder:
                    tensors[name + suffix] = tensor
        assert biases
        modules = [name.removeprefix(f"{component.id}.") for name in layers]
        settings |= peft_settings(component.id, kind, modules)
    if not kind.startswith("peft"):
        return tensors, {}
    return tensors, {"format": "pt", "lora_adapter_metadata": json.dumps(settings)}


def list_layers(
    family: Family, component: Component, naming: str
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name in a file and weight's shape of the transformer's layers."""
    if naming in OF_THE_ORIGINAL:
        prefix, point = OF_THE_ORIGINAL[naming]
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in original_transformer(random_checkpoint(family, 0)).items()
        }
    else:
        prefix, point = _OF_DIFFUSERS[naming]
        shapes = dict(list_names(component).shapes)
    for name, shape in shapes.items():
        layer = name.removesuffix(".weight")
        if layer != name and len(shape) == 2:
            yield prefix + layer.replace(".", point), shape


def _is_alone(naming: str, component: Component) -> bool:
    """Tell whether trainers of a spelling leave a text encoder out."""
    if component.id == "text_encoder_3":
        return naming not in ("kohya", "onetrainer")
    return naming in ("comfyui", "original", "simpletuner")


def _encoder_layers(component: Component, naming: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    wanted = r"\.(q_proj|k_proj|v_proj|out_proj|fc\d|q|k|v|o|wi_\d|wo)$"
    for name, shape in list_names(component).shapes.items():
        module = name.removesuffix(".weight")
        if module == name or not re.search(wanted, module):
            continue
        plain = module.removeprefix("text_model.")
        full = module if component.id == "text_encoder_3" else f"text_model.{plain}"
        if naming == "diffusers":
            yield f"{component.id}.{full}", shape
        else:
            yield _FLAT[component.id] + full.replace(".", "_"), shape
