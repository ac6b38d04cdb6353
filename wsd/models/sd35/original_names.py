"""Layers of Stable Diffusion 3.5's transformer in the original code, by diffusers' names.

Source: diffusers' ``convert_sd3_transformer_checkpoint_to_diffusers``, which tests compare with.
"""

from __future__ import annotations

from collections.abc import Mapping

# Layers outside the blocks: the original name → diffusers'.
TOP: Mapping[str, str] = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "context_embedder": "context_embedder",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
# Of the picture's half of a block, and of the text's.
LAYERS: Mapping[str, Mapping[str, str]] = {
    "x": {
        "attn.proj": "attn.to_out.0",
        "attn.ln_q": "attn.norm_q",
        "attn.ln_k": "attn.norm_k",
        "attn2.proj": "attn2.to_out.0",
        "attn2.ln_q": "attn2.norm_q",
        "attn2.ln_k": "attn2.norm_k",
        "adaLN_modulation.1": "norm1.linear",
        "mlp.fc1": "ff.net.0.proj",
        "mlp.fc2": "ff.net.2",
    },
    "context": {
        "attn.proj": "attn.to_add_out",
        "attn.ln_q": "attn.norm_added_q",
        "attn.ln_k": "attn.norm_added_k",
        "adaLN_modulation.1": "norm1_context.linear",
        "mlp.fc1": "ff_context.net.0.proj",
        "mlp.fc2": "ff_context.net.2",
    },
}
# Queries, keys and values are one matrix in the original code, a third of the rows each.
HEADS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "x": {
        "attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    },
    "context": {"attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")},
}
# The original code has a shift before a scale and diffusers the scale first, in these layers: that
# behind the blocks, and that of the last block, whose half for the text ends with its norm.
SWAPPED_TOP = "norm_out.linear"
SWAPPED_IN_LAST_BLOCK = "norm1_context.linear"
