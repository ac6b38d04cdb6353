"""Small adapters with seeded weights, of every format that WSD reads, for a family.

``write_adapter(path, family, "loha")`` writes one as trainers do. Names are spelled here and not by
the code under test. ``python tests/adapters_data.py FAMILY FOLDER`` writes all of them.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from wsd.checkpoint.module_names import list_names
from wsd.models.family import Component, Family
from wsd.models.registry import find_family
from wsd.spec.roles import DENOISER, TEXT_ENCODER

# Standard deviation of a change, times the square root of the layer's inputs.
_STRENGTH = 0.3
_RANK = 4
_ALPHA = 2.0

Tensors = dict[str, torch.Tensor]

# Format → the spelling of layers and the kind of change.
FORMATS: Mapping[str, tuple[str, str]] = {
    "lora": ("kohya", "lora"),
    "lora-original": ("kohya-original", "lora"),
    "lora-comfyui": ("comfyui", "lora"),
    "locon": ("kohya", "locon"),
    "locon-tucker": ("kohya", "locon-tucker"),
    "loha": ("kohya", "loha"),
    "loha-tucker": ("kohya", "loha-tucker"),
    "lokr": ("kohya", "lokr"),
    "lokr-factored": ("kohya", "lokr-factored"),
    "lokr-tucker": ("kohya", "lokr-tucker"),
    "dora": ("kohya", "dora"),
    "full": ("kohya", "full"),
    "peft": ("peft", "peft"),
    "peft-rslora": ("peft", "peft-rslora"),
    "peft-dora": ("peft", "peft-dora"),
    "diffusers": ("diffusers", "diffusers"),
    "diffusers-old": ("diffusers-old", "diffusers-old"),
}
# Those that diffusers' own load_lora_weights reads.
READ_BY_DIFFUSERS = (
    "lora", "lora-original", "locon", "peft", "peft-rslora", "peft-dora", "diffusers",
)  # fmt: skip


def write_adapter(
    path: Path, family: Family, form: str, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Path:
    """Write an adapter that changes every layer that trainers of its format change.

    Args:
        path: the ``.safetensors`` file.
        family: whose layers it changes.
        form: one of :data:`FORMATS`.
        seed: of its weights.
        dtype: in which they are saved.

    Returns:
        ``path``.
    """
    tensors, metadata = make_adapter(family, form, seed)
    save_file({name: t.to(dtype).contiguous() for name, t in tensors.items()}, path, metadata)
    return path


def make_adapter(family: Family, form: str, seed: int = 0) -> tuple[Tensors, dict[str, str]]:
    """Return an adapter's tensors by their names in a file, and the file's metadata."""
    naming, kind = FORMATS[form]
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    components = [c for c in family.components if c.role in (DENOISER, TEXT_ENCODER)]
    for component in components:
        names = list_names(component).shapes
        for module, shape in _changed_layers(component, kind):
            name = _spell(family, component, module, naming)
            is_encoder = component.role == TEXT_ENCODER
            own = "diffusers-encoder" if kind == "diffusers" and is_encoder else kind
            for suffix, tensor in make_layer(own, shape, generator).items():
                if suffix != ".diff_b" or f"{module}.bias" in names:
                    tensors[name + suffix] = tensor
    metadata: dict[str, str] = {}
    if kind.startswith("peft"):
        settings: dict[str, object] = {}
        for component in components:
            settings |= {
                f"{component.id}.r": _RANK,
                f"{component.id}.lora_alpha": _ALPHA,
                f"{component.id}.alpha_pattern": {},
                f"{component.id}.rank_pattern": {},
                f"{component.id}.use_rslora": kind == "peft-rslora",
                f"{component.id}.use_dora": kind == "peft-dora",
                f"{component.id}.target_modules": [
                    module for module, _ in _changed_layers(component, kind)
                ],
            }
        metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(settings)}
    return tensors, metadata


def _changed_layers(component: Component, kind: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and weight's shape of the layers that an adapter of a kind changes."""
    attention = r"\.(to_q|to_k|to_v|to_out\.0|q_proj|k_proj|v_proj|out_proj)$"
    linear = r"|\.ff\.net\.(0\.proj|2)$|\.proj_(in|out)$|\.mlp\.fc\d$"
    convolutions = r"|\.conv\d?$|\.conv_shortcut$|\.time_emb_proj$|\.downsamplers\.\d+\.conv$"
    wanted = attention if kind == "diffusers-old" else attention + linear
    if kind.startswith(("locon", "loha", "lokr", "full")):
        wanted += convolutions
    for name, shape in list_names(component).shapes.items():
        module = name.removesuffix(".weight")
        if module != name and len(shape) > 1 and re.search(wanted, f".{module}"):
            yield module, shape


def _spell(family: Family, component: Component, module: str, naming: str) -> str:
    """Return how a spelling names a layer, up to what follows the layer's name."""
    encoders = [encoder.id for encoder in family.text_encoders()]
    if component.role == TEXT_ENCODER:
        full = f"text_model.{module.removeprefix('text_model.')}"
        index = encoders.index(component.id)
        if naming in ("kohya", "kohya-original", "comfyui"):
            prefix = "lora_te_" if len(encoders) == 1 else f"lora_te{index + 1}_"
            return prefix + full.replace(".", "_")
        if naming == "diffusers-old":
            for new, old in _OLD_CLIP.items():
                full = re.sub(rf"{new}$", old, full)
        return f"{component.id}.{full}"
    if naming == "kohya":
        return f"lora_unet_{module.replace('.', '_')}"
    if naming == "kohya-original":
        return f"lora_unet_{_spell_original(component, module).replace('.', '_')}"
    if naming == "comfyui":
        return f"diffusion_model.{_spell_original(component, module)}"
    if naming == "diffusers-old":
        block, _, layer = module.removesuffix(".0").rpartition(".")
        return f"unet.{block}.processor.{layer}"
    return f"unet.{module}"


_OLD_CLIP = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def _spell_original(component: Component, module: str) -> str:
    """Return the original name of a UNet's layer that is in a block."""
    layers = component.config["layers_per_block"]
    if module.startswith("mid_block."):
        _, kind, place, rest = module.split(".", 3)
        number = 1 if kind == "attentions" else 2 * int(place)
        return f"middle_block.{number}.{_original_layer(kind, rest)}"
    side, level, kind, place, rest = module.split(".", 4)
    block = int(level) * (layers + 1)
    if kind in ("downsamplers", "upsamplers"):
        if kind == "downsamplers":
            return f"input_blocks.{block + layers + 1}.0.op"
        attends = "CrossAttn" in component.config["up_block_types"][int(level)]
        return f"output_blocks.{block + layers}.{2 if attends else 1}.conv"
    number = block + int(place) + (side == "down_blocks")
    name = "input_blocks" if side == "down_blocks" else "output_blocks"
    return f"{name}.{number}.{int(kind == 'attentions')}.{_original_layer(kind, rest)}"


def _original_layer(kind: str, rest: str) -> str:
    if kind != "resnets":
        return rest
    return {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
            "conv_shortcut": "skip_connection"}[rest]  # fmt: skip


def make_layer(kind: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensors:
    """Return the tensors of one layer by what follows its name."""
    out, inner, *kernel = shape
    columns = math.prod(shape[1:])
    wanted = _STRENGTH / math.sqrt(columns)

    def draw(*size: int, std: float = 1.0) -> torch.Tensor:
        return std * torch.randn(size, generator=generator)

    alpha = {".alpha": torch.tensor(_ALPHA)}
    ones = [1] * len(kernel)
    std = wanted / math.sqrt(_RANK)
    if kind in ("lora", "locon", "dora") or (kind == "locon-tucker" and max(kernel, default=1) == 1):
        found = {
            ".lora_up.weight": draw(out, _RANK, *ones, std=std),
            ".lora_down.weight": draw(_RANK, inner, *kernel),
            **alpha,
        }
        if kind == "dora":
            found[".dora_scale"] = draw(out, 1, *ones, std=0.1).abs() + 0.5
        return found
    if kind == "locon-tucker":
        return {
            ".lora_up.weight": draw(out, _RANK, 1, 1, std=std),
            ".lora_mid.weight": draw(_RANK, _RANK, *kernel, std=0.5),
            ".lora_down.weight": draw(_RANK, inner, 1, 1),
            **alpha,
        }
    if kind.startswith("peft"):
        found = {
            ".lora_A.weight": draw(_RANK, inner, *kernel),
            ".lora_B.weight": draw(out, _RANK, *ones, std=std),
        }
        if kind == "peft-dora":
            magnitudes = draw(out, std=0.1).abs() + 0.5
            found[".lora_magnitude_vector"] = magnitudes.reshape(1, out, 1, 1) if kernel else magnitudes
        return found
    if kind.startswith("diffusers"):
        suffix = {"diffusers-old": "_lora", "diffusers": ".lora"}.get(kind, ".lora_linear_layer")
        return {
            f"{suffix}.down.weight": draw(_RANK, inner, *kernel),
            f"{suffix}.up.weight": draw(out, _RANK, *ones, std=std),
        }
    if kind == "loha-tucker" and max(kernel, default=1) > 1:
        pair = {}
        for side in ("1", "2"):
            pair |= {
                f".hada_w{side}_a": draw(_RANK, out, std=math.sqrt(wanted) / _RANK),
                f".hada_w{side}_b": draw(_RANK, inner),
                f".hada_t{side}": draw(_RANK, _RANK, *kernel),
            }
        return {**pair, **alpha}
    if kind.startswith("loha"):
        pair = {}
        for side in ("1", "2"):
            pair |= {
                f".hada_w{side}_a": draw(out, _RANK, std=math.sqrt(wanted / _RANK)),
                f".hada_w{side}_b": draw(_RANK, columns),
            }
        return {**pair, **alpha}
    if kind.startswith("lokr"):
        return {**_make_lokr(kind, shape, draw, wanted), **alpha}
    if kind == "full":
        return {".diff": draw(*shape, std=wanted), ".diff_b": draw(out, std=0.01)}
    raise ValueError(kind)


def _make_lokr(kind: str, shape: tuple[int, ...], draw: object, wanted: float) -> Tensors:
    assert callable(draw)
    out, inner, *kernel = shape
    first_out, first_in = _divisor(out), _divisor(inner)
    second_out, second_in = out // first_out, inner // first_in
    if kind == "lokr":
        return {
            ".lokr_w1": draw(first_out, first_in),
            ".lokr_w2": draw(second_out, second_in, *kernel, std=wanted),
        }
    if kind == "lokr-tucker" and max(kernel, default=1) > 1:
        return {
            ".lokr_w1": draw(first_out, first_in),
            ".lokr_w2_a": draw(_RANK, second_out, std=wanted / _RANK),
            ".lokr_w2_b": draw(_RANK, second_in),
            ".lokr_t2": draw(_RANK, _RANK, *kernel),
        }
    return {
        ".lokr_w1_a": draw(first_out, _RANK, std=1 / math.sqrt(_RANK)),
        ".lokr_w1_b": draw(_RANK, first_in),
        ".lokr_w2_a": draw(second_out, _RANK, std=wanted / math.sqrt(_RANK)),
        ".lokr_w2_b": draw(_RANK, second_in * math.prod(kernel)),
    }


def _divisor(number: int) -> int:
    """Return the largest divisor that is at most the square root."""
    return max(d for d in range(1, math.isqrt(number) + 1) if number % d == 0)


if __name__ == "__main__":
    chosen, folder = find_family(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for each in FORMATS:
        write_adapter(folder / f"{each}.safetensors", chosen, each)
