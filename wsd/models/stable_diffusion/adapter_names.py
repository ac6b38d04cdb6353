"""Names under which adapters (LoRA and its kin) address the layers of Stable Diffusion.

An adapter names each layer that it changes. Trainers agree on the layers, and not on the spelling:

========================== ====================================================================
spelling                   of ``down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q``
========================== ====================================================================
kohya, diffusers' blocks   ``lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q``
kohya, original blocks     ``lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q``
diffusers, PEFT            ``unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q``
diffusers before 0.22      ``unet.down_blocks.1…attn1.processor.to_q``, with ``_lora`` behind it
ComfyUI                    ``diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q``
PEFT on the original code  the same, with ``model.`` before it
========================== ====================================================================

All spellings are made from the names that the model has, so that what an adapter names is looked up
and not guessed. Layers under the same spelling as another do not occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from wsd.spec.roles import DENOISER, TEXT_ENCODER

if TYPE_CHECKING:
    from wsd.models.family import Component, Family

# Layers of a residual block: diffusers' name → the original one.
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
# Layers outside the blocks: diffusers' name → the original one.
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
# Layers of attention before diffusers 0.22, by the name that they have since.
_OLD_UNET = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out.0": "to_out"}
_OLD_CLIP = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def spell_modules(
    family: Family, component: Component, modules: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield every known spelling of a component's layers, and the layer: (spelling, module).

    Args:
        family: that the component is of.
        component: the UNet or a text encoder; of others, adapters name nothing.
        modules: names of its layers, as its state dict has them.
    """
    if component.role == DENOISER:
        yield from _spell_unet(list(modules))
    elif component.role == TEXT_ENCODER:
        encoders = [encoder.id for encoder in family.text_encoders()]
        yield from spell_clip(encoders.index(component.id), len(encoders), list(modules))


def _spell_unet(modules: list[str]) -> Iterator[tuple[str, str]]:
    original = _OriginalNames(modules)
    for module in modules:
        yield f"lora_unet_{flatten(module)}", module
        yield f"unet.{module}", module
        yield module, module
        if (first := original.find(module)) is not None:
            yield f"lora_unet_{flatten(first)}", module
            yield f"diffusion_model.{first}", module
            yield f"model.diffusion_model.{first}", module
        for name, old in _OLD_UNET.items():
            block = module.removesuffix(f".{name}")
            if block == module:
                continue
            spellings = {f"{block}.processor.{old}", f"{block}.{old}"} - {module}
            for spelling in spellings:
                yield f"unet.{spelling}", module
                yield spelling, module


def spell_clip(index: int, count: int, modules: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the spellings of a text encoder's layers.

    Args:
        index: the encoder's position among the family's.
        count: how many text encoders the family has.
        modules: names of its layers.
    """
    flat = ("lora_te_", "lora_te1_") if index == 0 else (f"lora_te{index + 1}_",)
    dotted = ("text_encoder.",) if index == 0 else (f"text_encoder_{index + 1}.",)
    for module in modules:
        # A level of CLIP's text model that some versions of transformers have, and all adapters.
        plain = module.removeprefix("text_model.")
        level = "" if plain == "text_projection" else "text_model."
        for full in dict.fromkeys((module, plain, level + plain)):
            for prefix in flat:
                yield prefix + flatten(full), module
            for prefix in (*dotted, *([""] if count == 1 else [])):
                yield prefix + full, module
                block, _, layer = full.rpartition(".")
                if layer in _OLD_CLIP:
                    yield f"{prefix}{block}.{_OLD_CLIP[layer]}", module


def flatten(name: str) -> str:
    """Return a layer's name as kohya's trainers write it, without points."""
    return name.replace(".", "_")


class _OriginalNames:
    """Names of a UNet's layers in the original layout, of Rombach et al. 2022.

    Args:
        modules: names of the UNet's layers in diffusers, which tell how many blocks it has.
    """

    def __init__(self, modules: list[str]) -> None:
        found = [re.match(r"down_blocks\.0\.resnets\.(\d+)\.", module) for module in modules]
        # The block of original numbering: a level's residual blocks, and what halves its size.
        self._level = 2 + max((int(match[1]) for match in found if match), default=0)
        self._attended = {
            int(match[1])
            for module in modules
            if (match := re.match(r"up_blocks\.(\d+)\.attentions\.", module))
        }

    def find(self, module: str) -> str | None:
        """Return the original name of a layer; None if it has none."""
        match = re.fullmatch(r"(?:(down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.+)", module)
        if match is None:
            return _OUTSIDE.get(module)
        side, level, kind, place = match[1], int(match[2] or 0), match[3], int(match[4])
        layer = _RESNET.get(match[5]) if kind == "resnets" else match[5]
        first = level * self._level
        inner = int(kind == "attentions")
        last = f"output_blocks.{first + self._level - 1}.{1 + (level in self._attended)}.conv"
        found: dict[tuple[str | None, str], str] = {
            # What changes the size: one layer, which is called conv.
            ("down", "downsamplers"): f"input_blocks.{first + self._level}.0.op",
            ("up", "upsamplers"): last,
        }
        for blocks in ("resnets", "attentions"):
            found["down", blocks] = f"input_blocks.{first + place + 1}.{inner}.{layer}"
            found["up", blocks] = f"output_blocks.{first + place}.{inner}.{layer}"
            # Residual blocks before, between and after attentions.
            found[None, blocks] = f"middle_block.{2 * place + inner}.{layer}"
        return None if layer is None else found.get((side, kind))
