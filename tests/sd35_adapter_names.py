"""Names in adapters' files for Stable Diffusion 3.5, and what diffusers takes them for: a fixture.

``python tests/sd35_adapter_names.py`` writes ``tests/fixtures/sd35_adapter_names.json``, which the
tests of both languages read. Which of diffusers' layers the rows of an original layer are comes
from diffusers' own converter of checkpoints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

from wsd.checkpoint.module_names import list_names
from wsd.models.registry import find_family
from wsd.models.sd35.original_names import HEADS, LAYERS, TOP
from wsd.spec.roles import DENOISER

FIXTURE = Path(__file__).parent / "fixtures" / "sd35_adapter_names.json"
# The first block, the first one with a single attention, and the last one.
_KEPT = (0, 13, 23)
# Rows of every layer that the converter is given: they have halves and thirds.
_ROWS = 6

# Name in a file → (diffusers' layer, pieces of the rows, which pieces it has) of each layer.
Names = dict[str, list[tuple[str, int, list[int]]]]


def make_fixture() -> dict[str, Any]:
    """Return the transformer's layers, and spelling → names in files, with what they mean."""
    modules = [module for module in _list_modules() if _is_kept(module)]
    original = {
        name: places
        for name, places in _read_original().items()
        if any(module in modules for module, _, _ in places)
    }
    own: Names = {module: [(module, 1, [0])] for module in modules}
    return {
        "modules": modules,
        "keys": {
            "diffusers": _spell("transformer.", own, flat=False),
            "peft": _spell("base_model.model.", own, flat=False),
            "onetrainer": _spell("lora_transformer_", own, flat=True),
            "simpletuner": _spell("lycoris_", own, flat=True),
            "kohya": _spell("lora_unet_", original, flat=True),
            "comfyui": _spell("diffusion_model.", original, flat=False),
            "original": _spell("model.diffusion_model.", original, flat=False),
        },
    }


def render_fixture() -> str:
    """Return the text of the fixture: each name is on one line."""
    fixture = make_fixture()
    spellings = [
        f"  {json.dumps(spelling)}: {{\n{_render(names)}\n  }}"
        for spelling, names in fixture["keys"].items()
    ]
    modules = ",\n".join(f"  {json.dumps(module)}" for module in fixture["modules"])
    keys = ",\n".join(spellings)
    return f'{{\n "modules": [\n{modules}\n ],\n "keys": {{\n{keys}\n }}\n}}\n'


def _render(names: Names) -> str:
    return ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in names.items())


def _spell(prefix: str, names: Names, *, flat: bool) -> Names:
    end = ".lora_A.weight" if not flat else ".lora_down.weight"
    return {
        f"{prefix}{name.replace('.', '_') if flat else name}{end}": places
        for name, places in names.items()
    }


def _list_modules() -> list[str]:
    shapes = list_names(find_family("sd35-medium").component(DENOISER)).shapes
    return [
        name.removesuffix(".weight")
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) > 1
    ]


def _is_kept(name: str) -> bool:
    block = re.match(r"transformer_blocks\.(\d+)\.", name)
    return block is None or int(block[1]) in _KEPT


def _read_original() -> Names:
    """Return the layers of the original code, and which rows of each diffusers' layers are."""
    config = find_family("sd35-medium").component(DENOISER).config
    state = {"pos_embed": torch.zeros(1, 1, 1)}
    numbers: dict[int, str] = {}
    for name in _original_layers(config):
        # Every row has a number of its own, which tells where the converter puts it.
        first = len(numbers) * _ROWS
        numbers[len(numbers)] = name
        rows = torch.arange(first, first + _ROWS, dtype=torch.float32)[:, None]
        state |= {f"{name}.weight": rows, f"{name}.bias": rows[:, 0]}
    found: Names = {}
    for key, rows in convert_sd3_transformer_checkpoint_to_diffusers(state).items():
        if not key.endswith(".weight"):
            continue
        values = [int(value) for value in rows.flatten()]
        name = numbers[values[0] // _ROWS]
        found.setdefault(name, []).append(
            (key.removesuffix(".weight"), *_cut([value % _ROWS for value in values]))
        )
    return found


def _original_layers(config: Any) -> Iterator[str]:
    yield from TOP
    last = config["num_layers"] - 1
    for number in range(config["num_layers"]):
        for side in ("x", "context"):
            for layer in (*HEADS[side], *LAYERS[side]):
                is_second = layer.startswith("attn2.")
                is_behind_text = side == "context" and layer in ("attn.proj", "mlp.fc1", "mlp.fc2")
                if is_second and number not in config["dual_attention_layers"]:
                    continue
                if is_behind_text and number == last:
                    continue
                yield f"joint_blocks.{number}.{side}_block.{layer}"


def _cut(rows: list[int]) -> tuple[int, list[int]]:
    """Return the fewest pieces of a layer's rows that make these rows, and which they are."""
    for pieces in (1, 2, 3):
        count = _ROWS // pieces
        order = [row // count for row in rows[::count]]
        if rows == [piece * count + place for piece in order for place in range(count)]:
            return pieces, order
    raise AssertionError(f"rows {rows} are no halves or thirds")


if __name__ == "__main__":
    FIXTURE.write_text(render_fixture(), encoding="utf-8")
