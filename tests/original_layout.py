"""A diffusers folder as one file in the original layout: diffusers' converters, inverted."""

import re

import torch
from safetensors.torch import load_file, save_file

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET_ENDS = {
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.attentions.0": "middle_block.1",
}  # fmt: skip
VAE = [
    (r"mid_block.resnets.0", "mid.block_1"), (r"mid_block.resnets.1", "mid.block_2"),
    (r"mid_block.attentions.0", "mid.attn_1"), ("group_norm", "norm"), ("to_out.0", "proj_out"),
    ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("conv_shortcut", "nin_shortcut"),
    ("conv_norm_out", "norm_out"), (r"down_blocks.(\d+).resnets", r"down.\1.block"),
    (r"down_blocks.(\d+).downsamplers.0", r"down.\1.downsample"),
    (r"up_blocks.(\d+).resnets", r"up.\1.block"),
    (r"up_blocks.(\d+).upsamplers.0", r"up.\1.upsample"),
]  # fmt: skip
OPEN_CLIP = [
    ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj"),
    ("encoder.layers", "transformer.resblocks"), ("final_layer_norm", "ln_final"),
    ("embeddings.token_embedding", "token_embedding"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
]  # fmt: skip


def to_original(folder, family, path):
    """Write all components of a diffusers folder as one file."""
    layers = family.component("denoiser").config["layers_per_block"]
    stored = {}
    for name, tensor in read(folder, "unet").items():
        stored["model.diffusion_model." + unet_name(name, layers, family)] = tensor
    ups = len(family.component("vae_decoder").config["up_block_types"])
    for name, tensor in read(folder, "vae").items():
        shaped = tensor[:, :, None, None] if is_attention_weight(name) else tensor
        stored["first_stage_model." + vae_name(name, ups)] = shaped.contiguous()
    first, *second = family.text_encoders()
    prefix = "conditioner.embedders.0" if second else "cond_stage_model"
    for name, tensor in read(folder, first.id).items():
        stored[f"{prefix}.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    for encoder in second:
        stored |= open_clip(read(folder, encoder.id))
    save_file(stored, path)


def read(folder, component):
    [path] = (folder / component).glob("*.safetensors")
    return load_file(path)


def unet_name(name, layers, family):
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    if match := re.fullmatch(r"mid_block\.resnets\.(\d)\.(\w+)\.(\w+)", name):
        return f"middle_block.{2 * int(match[1])}.{RESNET[match[2]]}.{match[3]}"
    side, block, kind, index, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name
    ).groups()
    block, index = int(block), int(index)
    first = block * (layers + 1) + (1 if side == "down" else 0)
    where = f"{'input' if side == 'down' else 'output'}_blocks"
    if kind == "resnets":
        part, leaf = rest.split(".")
        return f"{where}.{first + index}.0.{RESNET[part]}.{leaf}"
    if kind == "attentions":
        return f"{where}.{first + index}.1.{rest}"
    if kind == "downsamplers":
        return f"{where}.{first + layers}.0.op.{rest.removeprefix('conv.')}"
    crossed = "CrossAttn" in family.component("denoiser").config["up_block_types"][block]
    return f"{where}.{first + layers}.{2 if crossed else 1}.{rest}"


def is_attention_weight(name):
    return "attentions" in name and name.endswith("weight") and "group_norm" not in name


def vae_name(name, ups):
    # The original counts the decoder's levels from the finest.
    name = re.sub(
        r"^decoder\.up_blocks\.(\d+)", lambda m: f"decoder.up_blocks.{ups - 1 - int(m[1])}", name
    )
    for ours, theirs in VAE:
        name = re.sub(ours, theirs, name)
    return name


def open_clip(state):
    prefix = "conditioner.embedders.1.model."
    stored, heads = {}, {}
    for full, tensor in state.items():
        name = full.removeprefix("text_model.")
        if match := re.fullmatch(r"(.*)self_attn\.([qkv])_proj\.(\w+)", name):
            heads.setdefault((match[1], match[3]), {})[match[2]] = tensor
            continue
        if name == "text_projection.weight":
            stored[prefix + "text_projection"] = tensor.T.contiguous()
            continue
        for ours, theirs in OPEN_CLIP:
            name = name.replace(ours, theirs)
        stored[prefix + name] = tensor
    for (layer, kind), parts in heads.items():
        name = layer.replace("encoder.layers", "transformer.resblocks")
        stored[f"{prefix}{name}attn.in_proj_{kind}"] = torch.cat([parts[k] for k in "qkv"])
    return stored
