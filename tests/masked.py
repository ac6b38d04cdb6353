"""Small models whose UNet takes 9 channels, which draw a part of a picture anew."""

from dataclasses import replace

from speck import SPECK, SPECK_XL
from wsd.models.registry import FAMILIES
from wsd.models.stable_diffusion.architecture import (
    STABLE_DIFFUSION_INPAINTING,
    STABLE_DIFFUSION_XL_INPAINTING,
)
from wsd.spec.roles import DENOISER


def _with_nine_channels(family, architecture):
    components = tuple(
        replace(c, config={**c.config, "in_channels": 9}) if c.role == DENOISER else c
        for c in family.components
    )
    return replace(
        family, name=f"{family.name}-inpaint", architecture=architecture, components=components
    )


_TINY = replace(FAMILIES["tiny-sd15"], prompt_chunks=1)
TINY_MASKED = _with_nine_channels(_TINY, STABLE_DIFFUSION_INPAINTING)
MASKED = _with_nine_channels(SPECK, STABLE_DIFFUSION_INPAINTING)
MASKED_XL = _with_nine_channels(SPECK_XL, STABLE_DIFFUSION_XL_INPAINTING)
