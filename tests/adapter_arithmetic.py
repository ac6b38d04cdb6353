"""Weights with adapters merged in, as a fixture that both languages must give to the bit.

``python tests/adapter_arithmetic.py`` writes ``tests/fixtures/adapter_arithmetic.json``: each case
has a weight, the tensors of a layer of one or more adapters, a scale for each, and the merged
weight. Numbers are float32 values, written so that they are read back as they were.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from adapters_data import make_layer
from wsd.checkpoint.adapters.adapter import find_scaling
from wsd.checkpoint.adapters.arithmetic import merge
from wsd.checkpoint.adapters.layer import read_layer
from wsd.checkpoint.adapters.layer_keys import split_key
from wsd.checkpoint.adapters.names import Target
from wsd.checkpoint.stored_tensor import StoredTensor

FIXTURE = Path(__file__).parent / "fixtures" / "adapter_arithmetic.json"
_LINEAR, _CONVOLUTION = (6, 4), (4, 2, 3, 3)
_BOTH = (
    "lora", "loha", "lokr", "lokr-factored", "dora", "dora-input", "full", "peft", "peft-dora",
    "diffusers",
)  # fmt: skip
_CONVOLUTIONS = ("locon-tucker", "loha-tucker", "lokr-tucker", "lora-flat", "lokr-flat")
_SCALES = (1.0, 0.8)
_STANDS_FOR = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def make_fixture() -> dict[str, dict[str, Any]]:
    """Return name of a case → what goes in and what comes out."""
    cases: dict[str, dict[str, Any]] = {}
    forms = [(form, _LINEAR) for form in _BOTH]
    forms += [(form, _CONVOLUTION) for form in (*_BOTH, *_CONVOLUTIONS)]
    for form, shape in forms:
        kind = "linear" if shape == _LINEAR else "convolution"
        for scale in _SCALES:
            cases[f"{form} {kind} {scale}"] = _make_case(shape, [(form, scale, torch.float32)])
    for dtype in (torch.float16, torch.bfloat16):
        cases[f"lora {_STANDS_FOR[dtype]}"] = _make_case(_LINEAR, [("lora", 0.7, dtype)])
    # In files of LyCORIS and kohya an alpha is divided by the rank, whatever the metadata says.
    for form in ("lora", "peft"):
        for rslora in (1, 0, True):
            settings = {"use_rslora": rslora, "lora_alpha": 3, "alpha_pattern": None}
            cases[f"{form} use_rslora {json.dumps(rslora)}"] = _make_case(
                _LINEAR, [(form, 0.7, torch.float32)], settings
            )
    several = [("lora", 0.7, torch.float16), ("loha", -0.3, torch.float32)]
    cases["several"] = _make_case(_CONVOLUTION, [*several, ("lokr", 1.3, torch.float32)])
    return cases


def _make_case(
    shape: tuple[int, ...],
    adapters: list[tuple[str, float, torch.dtype]],
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a case; ``settings`` are of PEFT's configuration, without the component's name."""
    named = {f"unet.{name}": value for name, value in (settings or {}).items()}
    scaling = find_scaling(FIXTURE, Target("unet", "layer"), named)
    generator = torch.Generator().manual_seed(sum(shape))
    weight = torch.randn(shape, generator=generator)
    layers, described = [], []
    for form, scale, dtype in adapters:
        tensors = {
            key: tensor.to(dtype)
            for key, tensor in make_layer(form, shape, generator).items()
            if key != ".diff_b"
        }
        stored = {}
        for key, tensor in tensors.items():
            split = split_key(f"layer{key}")
            assert split is not None
            stored[split.part] = StoredTensor(
                key, FIXTURE, _STANDS_FOR[dtype], tuple(tensor.shape), tensor.clone
            )
        layers.append((read_layer("layer", stored, shape, scaling), scale))
        described.append(
            {"form": form, "scale": scale, "dtype": _STANDS_FOR[dtype], "tensors": {
                key: {"shape": list(tensor.shape), "values": _list(tensor)}
                for key, tensor in tensors.items()
            }}
        )  # fmt: skip
    merged = merge(weight, [layer.build(scale) for layer, scale in layers])
    return {"shape": list(shape), "weight": _list(weight), "settings": settings or {},
            "adapters": described, "merged": _list(merged)}  # fmt: skip


def _list(tensor: torch.Tensor) -> list[float]:
    # Nine digits tell a float32 from its neighbours.
    return [float(f"{value:.9g}") for value in tensor.to(torch.float32).flatten().tolist()]


def render_fixture() -> str:
    """Return the text of the fixture, lists of numbers on one line."""
    text = json.dumps(make_fixture(), indent=1)
    return re.sub(r"\[\n[^\[\]{}]+\]", lambda m: " ".join(m[0].split()), text) + "\n"


if __name__ == "__main__":
    FIXTURE.write_text(render_fixture(), encoding="utf-8")
