"""Small adapters with seeded weights, of every format that WSD reads, for a family.

``write_adapter(path, family, "loha")`` writes one as trainers do. Names are spelled here and not by
the code under test. ``python tests/adapters_data.py FAMILY FOLDER`` writes all of them.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from wsd.checkpoint.module_names import list_names
from wsd.models.family import Component, Family
from wsd.models.registry import find_family
from wsd.spec.roles import DENOISER, TEXT_ENCODER

# Standard deviation of a change, times the square root of the layer's inputs.
_STRENGTH = 0.3
RANK = 4
ALPHA = 2.0

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
    "diffusers-old",
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


def peft_settings(component: str, kind: str, modules: list[str]) -> dict[str, object]:
    """Return PEFT's configuration of a component's layers, as a file's metadata have it."""
    return {
        f"{component}.r": RANK,
        f"{component}.lora_alpha": ALPHA,
        f"{component}.alpha_pattern": {},
        f"{component}.rank_pattern": {},
        f"{component}.use_rslora": kind == "peft-rslora",
        f"{component}.use_dora": kind == "peft-dora",
        f"{component}.target_modules": modules,
    }


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
            modules = [module for module, _ in _changed_layers(component, kind)]
            settings |= peft_settings(component.id, kind, modules)
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
    is_flat = naming in ("kohya", "kohya-original", "comfyui")
    if component.role == TEXT_ENCODER:
        return _spell_clip(family, component, module, naming, is_flat=is_flat)
    if is_flat and naming != "kohya":
        module = _spell_original(component, module)
    if naming == "comfyui":
        return f"diffusion_model.{module}"
    if is_flat:
        return f"lora_unet_{module.replace('.', '_')}"
    if naming == "diffusers-old":
        block, _, layer = module.removesuffix(".0").rpartition(".")
        return f"unet.{block}.processor.{layer}"
    return f"unet.{module}"


_OLD_CLIP = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def _spell_clip(
    family: Family, component: Component, module: str, naming: str, *, is_flat: bool
) -> str:
    encoders = [encoder.id for encoder in family.text_encoders()]
    full = f"text_model.{module.removeprefix('text_model.')}"
    if is_flat:
        index = encoders.index(component.id) + 1
        prefix = "lora_te_" if len(encoders) == 1 else f"lora_te{index}_"
        return prefix + full.replace(".", "_")
    if naming == "diffusers-old":
        block, _, layer = full.rpartition(".")
        full = f"{block}.{_OLD_CLIP[layer]}"
    return f"{component.id}.{full}"


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


class _Draw:
    """Draws matrices of normal numbers for one layer.

    Attributes:
        out: output channels of the layer.
        inner: input channels.
        kernel: height and width of a convolution; empty for a linear layer.
        std: standard deviation of what is added to the weight.
    """

    def __init__(self, shape: tuple[int, ...], generator: torch.Generator) -> None:
        self.out, self.inner, *self.kernel = shape
        self.std = _STRENGTH / math.sqrt(math.prod(shape[1:]))
        self._generator = generator

    def __call__(self, *size: int, std: float = 1.0) -> torch.Tensor:
        return std * torch.randn(size, generator=self._generator)

    @property
    def ones(self) -> list[int]:
        return [1] * len(self.kernel)

    @property
    def columns(self) -> int:
        return self.inner * math.prod(self.kernel)


def make_layer(kind: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensors:
    """Return the tensors of one layer, by what follows its name.

    Args:
        kind: of :data:`FORMATS`.
        shape: of the weight.
        generator: draws the values.
    """
    draw = _Draw(shape, generator)
    # The core of a Tucker decomposition is of kernels that are larger than a pixel.
    if kind.endswith("-tucker") and max(draw.kernel, default=1) == 1:
        kind = {"lokr-tucker": "lokr-factored"}.get(kind, kind.removesuffix("-tucker"))
    return _MAKERS[kind](draw)


def _make_lora(draw: _Draw) -> Tensors:
    return {
        ".lora_up.weight": draw(draw.out, RANK, *draw.ones, std=draw.std / math.sqrt(RANK)),
        ".lora_down.weight": draw(RANK, draw.inner, *draw.kernel),
        ".alpha": torch.tensor(ALPHA),
    }


def _make_dora(draw: _Draw) -> Tensors:
    return {**_make_lora(draw), ".dora_scale": draw(draw.out, 1, *draw.ones, std=0.1).abs() + 0.5}


def _make_dora_input(draw: _Draw) -> Tensors:
    """LyCORIS' other form, with a length for what belongs to each input channel."""
    return {**_make_lora(draw), ".dora_scale": draw(1, draw.inner, *draw.ones, std=0.1).abs() + 0.5}


def _flatten_kernels(make: Callable[[_Draw], Tensors], draw: _Draw) -> Tensors:
    """Return the tensors of a layer with each kernel in one axis with the input channels."""
    return {
        key: tensor.flatten(1) if math.prod(tensor.shape[2:]) > 1 else tensor
        for key, tensor in make(draw).items()
    }


def _make_locon_tucker(draw: _Draw) -> Tensors:
    return {
        ".lora_up.weight": draw(draw.out, RANK, 1, 1, std=draw.std / math.sqrt(RANK)),
        ".lora_mid.weight": draw(RANK, RANK, *draw.kernel, std=0.5),
        ".lora_down.weight": draw(RANK, draw.inner, 1, 1),
        ".alpha": torch.tensor(ALPHA),
    }


def _make_peft(draw: _Draw) -> Tensors:
    return {
        ".lora_A.weight": draw(RANK, draw.inner, *draw.kernel),
        ".lora_B.weight": draw(draw.out, RANK, *draw.ones, std=draw.std / math.sqrt(RANK)),
    }


def _make_peft_dora(draw: _Draw) -> Tensors:
    lengths = draw(draw.out, std=0.1).abs() + 0.5
    size = (1, draw.out, 1, 1) if draw.kernel else (draw.out,)
    return {**_make_peft(draw), ".lora_magnitude_vector": lengths.reshape(size)}


def _make_diffusers(suffix: str, draw: _Draw) -> Tensors:
    found = _make_peft(draw)
    return {
        f"{suffix}.down.weight": found[".lora_A.weight"],
        f"{suffix}.up.weight": found[".lora_B.weight"],
    }


def _make_loha(draw: _Draw) -> Tensors:
    found = {".alpha": torch.tensor(ALPHA)}
    for side in ("1", "2"):
        found[f".hada_w{side}_a"] = draw(draw.out, RANK, std=math.sqrt(draw.std / RANK))
        found[f".hada_w{side}_b"] = draw(RANK, draw.columns)
    return found


def _make_loha_tucker(draw: _Draw) -> Tensors:
    found = {".alpha": torch.tensor(ALPHA)}
    for side in ("1", "2"):
        found[f".hada_w{side}_a"] = draw(RANK, draw.out, std=math.sqrt(draw.std) / RANK)
        found[f".hada_w{side}_b"] = draw(RANK, draw.inner)
        found[f".hada_t{side}"] = draw(RANK, RANK, *draw.kernel)
    return found


def _factors(draw: _Draw) -> tuple[int, int, int, int]:
    """Return the shapes (a, b) and (c, d) of LoKr's factors, without the kernel."""
    a, b = _divisor(draw.out), _divisor(draw.inner)
    return a, b, draw.out // a, draw.inner // b


def _make_lokr(draw: _Draw) -> Tensors:
    a, b, c, d = _factors(draw)
    # LyCORIS writes an alpha that has no effect where both factors are whole.
    return {
        ".lokr_w1": draw(a, b),
        ".lokr_w2": draw(c, d, *draw.kernel, std=draw.std),
        ".alpha": torch.tensor(ALPHA),
    }


def _make_lokr_factored(draw: _Draw) -> Tensors:
    a, b, c, d = _factors(draw)
    return {
        ".lokr_w1_a": draw(a, RANK, std=1 / math.sqrt(RANK)),
        ".lokr_w1_b": draw(RANK, b),
        ".lokr_w2_a": draw(c, RANK, std=draw.std / math.sqrt(RANK)),
        ".lokr_w2_b": draw(RANK, d * math.prod(draw.kernel)),
        ".alpha": torch.tensor(ALPHA),
    }


def _make_lokr_tucker(draw: _Draw) -> Tensors:
    a, b, c, d = _factors(draw)
    return {
        ".lokr_w1": draw(a, b),
        ".lokr_w2_a": draw(RANK, c, std=draw.std / RANK),
        ".lokr_w2_b": draw(RANK, d),
        ".lokr_t2": draw(RANK, RANK, *draw.kernel),
        ".alpha": torch.tensor(ALPHA),
    }


def _make_full(draw: _Draw) -> Tensors:
    return {
        ".diff": draw(draw.out, draw.inner, *draw.kernel, std=draw.std),
        ".diff_b": draw(draw.out, std=0.01),
    }


_MAKERS: Mapping[str, Callable[[_Draw], Tensors]] = {
    "lora": _make_lora,
    "locon": _make_lora,
    "locon-tucker": _make_locon_tucker,
    "loha": _make_loha,
    "loha-tucker": _make_loha_tucker,
    "lokr": _make_lokr,
    "lokr-factored": _make_lokr_factored,
    "lokr-tucker": _make_lokr_tucker,
    "dora": _make_dora,
    "full": _make_full,
    "dora-input": _make_dora_input,
    "lora-flat": partial(_flatten_kernels, _make_lora),
    "lokr-flat": partial(_flatten_kernels, _make_lokr),
    "peft": _make_peft,
    "peft-rslora": _make_peft,
    "peft-dora": _make_peft_dora,
    "diffusers": partial(_make_diffusers, ".lora"),
    "diffusers-encoder": partial(_make_diffusers, ".lora_linear_layer"),
    "diffusers-old": partial(_make_diffusers, "_lora"),
}


def _divisor(number: int) -> int:
    """Return the largest divisor that is at most the square root."""
    return max(d for d in range(1, math.isqrt(number) + 1) if number % d == 0)


if __name__ == "__main__":
    chosen, folder = find_family(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for each in FORMATS:
        write_adapter(folder / f"{each}.safetensors", chosen, each)
