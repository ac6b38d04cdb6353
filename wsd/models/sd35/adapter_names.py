"""Names under which adapters (LoRA and its kin) address the layers of Stable Diffusion 3.5.

=============================== ===================================================
spelling                        of ``transformer_blocks.0.attn.to_q``
=============================== ===================================================
diffusers, PEFT, SimpleTuner,   ``transformer.transformer_blocks.0.attn.to_q``, or
ai-toolkit                      without ``transformer.``
OneTrainer, ai-toolkit's older  ``lora_transformer_transformer_blocks_0_attn_to_q``
SimpleTuner's LyCORIS           ``lycoris_transformer_blocks_0_attn_to_q``
kohya                           ``lora_unet_joint_blocks_0_x_block_attn_qkv``
ComfyUI                         ``diffusion_model.joint_blocks.0.x_block.attn.qkv``
PEFT on the original code       the same, with ``model.`` before it
=============================== ===================================================

The last three have the original code's layers, in which queries, keys and values are one matrix.
diffusers' ``load_lora_weights`` reads the first form alone. The others are those that ComfyUI's
``model_lora_keys_unet`` and kohya's ``networks/lora_sd3.py`` have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from wsd.models.architecture import ModuleRows
from wsd.models.sd35.original_names import (
    HEADS,
    LAYERS,
    SWAPPED_IN_LAST_BLOCK,
    SWAPPED_TOP,
    TOP,
)
from wsd.models.stable_diffusion.adapter_names import flatten, spell_clip
from wsd.spec.roles import DENOISER, TEXT_ENCODER

if TYPE_CHECKING:
    from wsd.models.family import Component, Family

_T5 = "text_encoder_3"
_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.(.+)")
# diffusers' name of a layer in a block → side and layer of the original code, and which third of
# its rows it is; None for all of them.
_IN_BLOCK: dict[str, tuple[str, str, int | None]] = {
    own: (side, layer, None) for side, layers in LAYERS.items() for layer, own in layers.items()
} | {
    own: (side, layer, place)
    for side, layers in HEADS.items()
    for layer, heads in layers.items()
    for place, own in enumerate(heads)
}
_OUTSIDE = {own: name for name, own in TOP.items()}


def spell_modules(
    family: Family, component: Component, modules: Iterable[str]
) -> Iterator[tuple[str, ModuleRows]]:
    """Yield every known spelling of a component's layers, and the layer.

    Args:
        family: that the component is of.
        component: the transformer or a text encoder; of others, adapters name nothing.
        modules: names of its layers, as its state dict has them.
    """
    if component.role == DENOISER:
        yield from _spell_transformer(component, modules)
    elif component.id == _T5:
        for module in modules:
            yield f"lora_te3_{flatten(module)}", ModuleRows(module)
            yield f"{_T5}.{module}", ModuleRows(module)
    elif component.role == TEXT_ENCODER:
        place = [encoder.id for encoder in family.text_encoders()].index(component.id)
        for name, module in spell_clip(place, len(family.text_encoders()), list(modules)):
            yield name, ModuleRows(module)


def _spell_transformer(
    component: Component, modules: Iterable[str]
) -> Iterator[tuple[str, ModuleRows]]:
    last = component.config["num_layers"] - 1
    for module in modules:
        own = ModuleRows(module)
        yield f"transformer.{module}", own
        yield module, own
        yield f"lora_transformer_{flatten(module)}", own
        yield f"lycoris_{flatten(module)}", own
        original = _find_original(module, last)
        if original is not None:
            name, rows = original
            yield f"lora_unet_{flatten(name)}", rows
            yield f"diffusion_model.{name}", rows
            yield f"model.diffusion_model.{name}", rows


def _find_original(module: str, last: int) -> tuple[str, ModuleRows] | None:
    """Return the layer of the original code that has a layer of diffusers' as its rows.

    Args:
        module: diffusers' name.
        last: number of the last block.
    """
    # Both halves of the rows, in the other order.
    swapped = ModuleRows(module, 2, (1, 0))
    block = _BLOCK.fullmatch(module)
    if block is None:
        name = _OUTSIDE.get(module)
        if name is None:
            return None
        return name, swapped if module == SWAPPED_TOP else ModuleRows(module)
    number, layer = int(block[1]), block[2]
    if layer not in _IN_BLOCK:
        return None
    side, original, third = _IN_BLOCK[layer]
    name = f"joint_blocks.{number}.{side}_block.{original}"
    if third is not None:
        return name, ModuleRows(module, 3, (third,))
    is_swapped = number == last and layer == SWAPPED_IN_LAST_BLOCK
    return name, swapped if is_swapped else ModuleRows(module)
