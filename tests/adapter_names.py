"""Names in adapters' files and the parameters that diffusers takes them for, as a fixture.

``python tests/adapter_names.py`` writes ``tests/fixtures/adapter_names.json``, which the tests of
both languages read. The names of files are spelled as trainers spell them; which parameter each one
is comes from diffusers' own converters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.module_names import list_names
from wsd.models.family import Component, Family
from wsd.models.registry import find_family
from wsd.models.stable_diffusion.adapter_names import spell_modules
from wsd.spec.roles import DENOISER, TEXT_ENCODER

FIXTURE = Path(__file__).parent / "fixtures" / "adapter_names.json"
MODELS = ("sd15", "sdxl")
_LDM_UNET = "model.diffusion_model."

Names = dict[str, dict[str, Any]]


def make_fixture() -> dict[str, Names]:
    """Return model → component → parameters with their shapes, and files' names by spelling."""
    return {model: dict(_describe(find_family(model))) for model in MODELS}


def render_fixture() -> str:
    """Return the text of the fixture: each spelling's names are on one line."""
    lines = json.dumps(make_fixture(), indent=1)
    # Objects and lists of scalars stand on one line.
    return re.sub(r"[\[{]\n[^\[\]{}]+[\]}]", lambda m: " ".join(m[0].split()), lines) + "\n"


def _describe(family: Family) -> Iterator[tuple[str, dict[str, Any]]]:
    for component in family.components:
        if component.role not in (DENOISER, TEXT_ENCODER):
            continue
        shapes = {
            name: list(shape)
            for name, shape in list_names(component).shapes.items()
            if len(shape) > 1 and name.endswith(".weight") and _is_kept(name)
        }
        modules = [name.removesuffix(".weight") for name in shapes]
        keys = dict(_list_keys(family, component, modules))
        yield component.id, {"parameters": shapes, "keys": keys}


def _is_kept(name: str) -> bool:
    """Leave out layers that are named like their neighbours, and tables of embeddings."""
    if "embeddings." in name:
        return False
    if (layer := re.search(r"encoder\.layers\.(\d+)\.", name)) is not None:
        return layer[1] in ("0", "1", "11", "31")
    if (resnet := re.search(r"resnets\.(\d+)\.(\w+)\.", name)) is not None:
        return resnet[1] == "0" or resnet[2] == "conv1"
    block = re.search(r"attentions\.(\d+)\.transformer_blocks\.(\d+)\.(.+)", name)
    if block is None or (block[1], block[2]) == ("0", "0"):
        return True
    return block[3] == "attn1.to_q.weight"


def _list_keys(
    family: Family, component: Component, modules: list[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield spelling → name of the down matrix in a file → name of the parameter."""
    spellings: dict[str, list[str]] = {}
    for spelled, module in spell_modules(family, component, modules):
        spellings.setdefault(module, []).append(spelled)
    if component.role == DENOISER:
        yield from _list_unet_keys(component, spellings)
    else:
        yield from _list_clip_keys(component, spellings)


def _list_unet_keys(
    component: Component, spellings: dict[str, list[str]]
) -> Iterator[tuple[str, dict[str, str]]]:
    original = _original_names(component)
    kohya, kohya_original, comfy, ldm, peft, diffusers, old = ({} for _ in range(7))
    for module, names in spellings.items():
        for name in names:
            if name.startswith("lora_unet_") and name != f"lora_unet_{module.replace('.', '_')}":
                dotted = next(key for key in original if key.replace(".", "_") == name[10:])
                kohya_original[f"{name}.lora_down.weight"] = f"{original[dotted]}.weight"
            elif name.startswith("lora_unet_") and not module.startswith("add_embedding."):
                # diffusers reads those of SDXL's added embedding by their original names alone.
                key = f"{name}.lora_down.weight"
                kohya[key] = f"{_read_kohya_unet(key)}.weight"
            elif name.startswith("diffusion_model."):
                key = f"{name}.lora_A.weight"
                comfy[key] = f"{original[name.removeprefix('diffusion_model.')]}.weight"
            elif name.startswith(_LDM_UNET):
                ldm[f"{name}.lora_A.weight"] = f"{original[name.removeprefix(_LDM_UNET)]}.weight"
            elif name == f"unet.{module}":
                peft[f"{name}.lora_A.weight"] = f"{_read_unet(f'{module}.lora_A.weight')}.weight"
                key = f"{module}.lora.down.weight"
                diffusers[f"unet.{key}"] = f"{_read_unet(key)}.weight"
            elif name.startswith("unet.") and ".processor." in name:
                key = f"{name}_lora.down.weight"
                old[key] = f"{_read_unet(key.removeprefix('unet.'))}.weight"
    yield "kohya", kohya
    yield "kohya-original", kohya_original
    yield "peft", peft
    yield "diffusers", diffusers
    yield "diffusers-old", old
    yield "comfyui", comfy
    yield "original", ldm


def _list_clip_keys(
    component: Component, spellings: dict[str, list[str]]
) -> Iterator[tuple[str, dict[str, str]]]:
    kohya, peft, diffusers, old = ({} for _ in range(4))
    for module, names in spellings.items():
        # Trainers name the level of the text model, whether transformers has it or not.
        plain = module.removeprefix("text_model.")
        full = plain if plain == "text_projection" else f"text_model.{plain}"
        for name in names:
            if re.match(r"lora_te\d?_", name) and name.endswith(f"_{full.replace('.', '_')}"):
                key = f"{name}.lora_down.weight"
                _check_clip(_read_kohya_clip(key), full)
                kohya[key] = f"{module}.weight"
            elif name == f"{component.id}.{full}":
                peft[f"{name}.lora_A.weight"] = f"{module}.weight"
                _check_clip(_read_clip(f"{full}.lora_linear_layer.down.weight"), full)
                diffusers[f"{name}.lora_linear_layer.down.weight"] = f"{module}.weight"
            elif name.startswith(f"{component.id}.text_model.") and ".to_" in name:
                key = f"{name}_lora.down.weight"
                _check_clip(_read_clip(key.removeprefix(f"{component.id}."), old=True), full)
                old[key] = f"{module}.weight"
    yield "kohya", kohya
    yield "peft", peft
    yield "diffusers", diffusers
    yield "diffusers-old", old


def _check_clip(found: str, expected: str) -> None:
    if found != expected:
        raise AssertionError(f"diffusers takes it for {found}, expected {expected}")


def _original_names(component: Component) -> dict[str, str]:
    """Return original name of a UNet's layer → diffusers' name, by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    modules = [
        name.removesuffix(".weight")
        for name in list_names(component).shapes
        if name.endswith(".weight")
    ]
    # Candidates of names, of which the converter takes those that exist. Of a tensor it gives back
    # only the name, which is kept as its value.
    config = dict(component.config)
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    leaves = sorted({_leaf(module) for module in modules} - {""})
    resnets = (
        "in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3",
        "skip_connection",
    )  # fmt: skip
    outside = ["time_embed.0", "time_embed.2", "label_emb.0.0", "label_emb.0.2", "out.0", "out.2"]
    blocks = [f"middle_block.{i}" for i in range(3)]
    blocks += [f"input_blocks.{i}.{j}" for i in range(levels * (layers + 1)) for j in range(2)]
    blocks += [f"output_blocks.{i}.{j}" for i in range(levels * (layers + 1)) for j in range(2)]
    names = [f"{block}.{leaf}" for block in blocks for leaf in (*resnets, *leaves)]
    names += outside
    found: dict[str, str] = {}
    # One by one where names exclude each other: an upsampler is the second or the third layer.
    whole = set(_convert(convert_ldm_unet_checkpoint, names, config).items())
    extra = ["input_blocks.0.0"]
    for i in range(levels * (layers + 1)):
        extra += [
            f"input_blocks.{i}.0.op",
            f"output_blocks.{i}.1.conv",
            f"output_blocks.{i}.2.conv",
        ]
    for name in extra:
        padding = [*outside]
        padding += [f"{side}_blocks.{i}.0.in_layers.0" for side in ("input", "output")
                   for i in range(levels * (layers + 1))]  # fmt: skip
        whole |= {
            pair
            for pair in _convert(convert_ldm_unet_checkpoint, [*padding, name], config).items()
            if pair[1] == name
        }
    for module, name in whole:
        if module in modules:
            found[name] = module
    return found


def _leaf(module: str) -> str:
    return module.partition("attentions.")[2].partition(".")[2]


def _convert(convert: Any, names: list[str], config: dict[str, Any]) -> dict[str, str]:
    given = {
        f"{_LDM_UNET}{name}.{kind}": f"{name}.{kind}"
        for name in names
        for kind in ("weight", "bias")
    }
    converted = convert(given, config)
    return {
        module.removesuffix(".weight"): name.removesuffix(".weight")
        for module, name in converted.items()
        if module.endswith(".weight") and name is not None
    }


def _read_kohya_unet(key: str) -> str:
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers

    (first, *_) = _convert_non_diffusers_lora_to_diffusers(_pair(key))[0]
    return _read_unet(first.removeprefix("unet."))


def _read_kohya_clip(key: str) -> str:
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers

    (first, *_) = _convert_non_diffusers_lora_to_diffusers(_pair(key))[0]
    return _read_clip(re.sub(r"^text_encoder(_2)?\.", "", first), old="_lora." in first)


def _pair(key: str) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(1, 1), key.replace("lora_down", "lora_up"): torch.zeros(1, 1)}


def _read_unet(key: str) -> str:
    """Return the module that diffusers takes a name without ``unet.`` for."""
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    (converted,) = convert_unet_state_dict_to_peft({key: 0})
    module, lora, _ = str(converted).partition(".lora_A")
    if not lora:
        raise AssertionError(f"diffusers does not know {key}")
    return module


def _read_clip(key: str, *, old: bool = False) -> str:
    """Return the module that diffusers takes a name without ``text_encoder.`` for."""
    from diffusers.utils.state_dict_utils import StateDictType, convert_state_dict_to_peft

    kind = StateDictType.DIFFUSERS_OLD if old else StateDictType.DIFFUSERS
    (converted,) = convert_state_dict_to_peft({key: 0}, original_type=kind)
    module, lora, _ = str(converted).partition(".lora_A")
    if not lora:
        # As diffusers' loader of text encoders reads it, which knows all suffixes.
        module = re.sub(r"(\.lora\.down|\.lora_linear_layer\.down)\.weight$", "", key)
    return module


if __name__ == "__main__":
    FIXTURE.write_text(render_fixture(), encoding="utf-8")
