"""A diffusers folder of Stable Diffusion 3.5 as single files in the original layout."""

import re

import torch
from safetensors.torch import load_file, save_file

from original_layout import is_attention_weight, read, vae_name
from wsd.models.sd35.original_names import HEADS, LAYERS, TOP

_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.(.+)\.(weight|bias)")
# diffusers' name of a layer → side and name in the original layout.
_OTHERS = {theirs: (side, ours) for side, names in LAYERS.items() for ours, theirs in names.items()}
_JOINED = {
    head: (side, joined, place)
    for side, layers in HEADS.items()
    for joined, heads in layers.items()
    for place, head in enumerate(heads)
}
_ENDS = {theirs: ours for ours, theirs in TOP.items()}
ENCODERS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}


def original_transformer(folder):
    """Return a folder's transformer by the original names, without their prefix."""
    state = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    last = max(int(found[1]) for name in state if (found := _BLOCK.fullmatch(name)))
    stored, joined = {}, {}
    for name, tensor in state.items():
        if name == "pos_embed.pos_embed":
            stored["pos_embed"] = tensor
            continue
        module, _, kind = name.rpartition(".")
        if (block := _BLOCK.fullmatch(name)) is None:
            swapped = swap(tensor) if module == "norm_out.linear" else tensor
            stored[f"{_ENDS[module]}.{kind}"] = swapped
            continue
        number, layer = int(block[1]), block[2]
        if layer in _JOINED:
            side, whole, place = _JOINED[layer]
            key = f"joint_blocks.{number}.{side}_block.{whole}.{kind}"
            joined.setdefault(key, {})[place] = tensor
            continue
        side, ours = _OTHERS[layer]
        swaps = number == last and layer == "norm1_context.linear"
        key = f"joint_blocks.{number}.{side}_block.{ours}.{kind}"
        stored[key] = swap(tensor) if swaps else tensor
    stored |= {key: torch.cat([parts[n] for n in range(3)]) for key, parts in joined.items()}
    return stored


def swap(tensor):
    half = tensor.shape[0] // 2
    return torch.cat([tensor[half:], tensor[:half]])


def to_original(folder, family, path, encoders=()):
    """Write a folder as one file with the transformer, the VAE and some of the text encoders."""
    stored = {f"model.diffusion_model.{k}": v for k, v in original_transformer(folder).items()}
    ups = len(family.component("vae_decoder").config["up_block_types"])
    for name, tensor in read(folder, "vae").items():
        shaped = tensor[:, :, None, None] if is_attention_weight(name) else tensor
        stored["first_stage_model." + vae_name(name, ups)] = shaped
    for encoder in encoders:
        prefix = f"text_encoders.{ENCODERS[encoder]}.transformer."
        stored |= {prefix + name: tensor for name, tensor in read(folder, encoder).items()}
        if encoder == "text_encoder":
            # The original model takes the first pooled state as it is.
            del stored[prefix + "text_projection.weight"]
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, path)


def encoder_files(folder, out, change=lambda _, tensors: tensors):
    """Write the text encoders as files of their own, as ComfyUI's users have them.

    Args:
        folder: in the diffusers layout.
        out: an existing folder.
        change: of a component's id and its tensors.
    """
    for encoder, name in ENCODERS.items():
        save_file(change(encoder, read(folder, encoder)), out / f"{name}_any.safetensors")
