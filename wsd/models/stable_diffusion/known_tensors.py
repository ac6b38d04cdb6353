"""Tensors that no component of Stable Diffusion reads: harmless ones, and what others are of."""

from __future__ import annotations

from wsd.models.config_rules import KnownTensor

# They change no picture, for the reason that each has.
IGNORABLE = (
    KnownTensor(r"(.+\.)?position_ids", "the numbers 0 to n - 1"),
    KnownTensor(r"(.+\.)?attn_mask", "the causal mask, which the encoder makes itself"),
    KnownTensor(r"(.+\.)?logit_scale", "the temperature of CLIP's training"),
    KnownTensor(r"(.+\.)?(vision_model|visual)\..+", "CLIP's image encoder: text alone is encoded"),
    KnownTensor(r"(.+\.)?visual_projection\.weight", "the projection of CLIP's image encoder"),
    KnownTensor(
        r"(.+\.)?text_projection(\.weight)?",
        "read by encoders that give a pooled text; others have it left from CLIP's training",
    ),
    KnownTensor(r"model_ema\..+", "moving averages of the weights: diffusers reads the weights"),
    KnownTensor(
        r"(betas|alphas_cumprod(_prev)?|sqrt(_one_minus|_recip|_recipm1)?_alphas_cumprod"
        r"|log_one_minus_alphas_cumprod|posterior_.+|lvlb_weights|logvar|denoiser\.sigmas)",
        "the noise schedule of training: the scheduler's configuration has it",
    ),
    KnownTensor(r"(first_stage_model\.)?(loss|discriminator)\..+", "the loss of training"),
    KnownTensor(r"embedding_manager\..+", "the state of a training of embeddings"),
    KnownTensor(r"safety_checker\..+", "the safety checker, which draws nothing"),
)
REFUSED = (
    KnownTensor(
        r"(.+\.)?time_embedding\.cond_proj\..+",
        "it embeds the guidance scale: take the checkpoint as a diffusers folder whose "
        "unet/config.json has time_cond_proj_dim",
    ),
    KnownTensor(
        r"edm_.+", "it is of an EDM model such as Playground or CosXL, which WSD does not draw"
    ),
)
# Of files that hold one model and nothing else, by the original names and by diffusers'.
ALONE = (
    KnownTensor(
        r"(input_blocks|time_embed|down_blocks)\..+",
        "it is of a UNet alone: pass the whole checkpoint, with its text encoders and VAE",
    ),
    KnownTensor(
        r"(encoder|decoder)\.(conv_in|mid|mid_block)\..+",
        "it is of a VAE alone: pass it with --vae, and a checkpoint with --weights",
    ),
    KnownTensor(
        r"(text_model|embeddings|encoder\.layers|token_embedding|transformer\.resblocks)\..+",
        "it is of a text encoder alone: pass the whole checkpoint, with its UNet and VAE",
    ),
)
