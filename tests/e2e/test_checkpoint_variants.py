"""A checkpoint whose configurations differ from its family's draws as diffusers draws it.

Every kind of key that selects a variant differs at once. The reference is diffusers' own
``from_pretrained`` of the folder.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

from speck import SPECK_XL
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import save_pipeline
from wsd.compiler.driver import compile_library
from wsd.compiler.library_check import check_library
from wsd.errors import UsageError
from wsd.evaluate.metrics import psnr
from wsd.models.instantiate import build_module
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

CHANGES = {
    "text_encoder": {"num_hidden_layers": 3, "hidden_act": "gelu", "intermediate_size": 24},
    "text_encoder_2": {"layer_norm_eps": 1e-3, "num_attention_heads": 4, "vocab_size": 730},
    "unet": {
        "attention_head_dim": 4, "use_linear_projection": False, "norm_eps": 1e-3,
        "norm_num_groups": 8, "flip_sin_to_cos": False, "freq_shift": 1,
        "center_input_sample": True, "mid_block_scale_factor": 1.5,
    },
    "vae": {
        "scaling_factor": 0.5, "latents_mean": [-1.6574, 1.886, -1.383, 2.5155],
        "latents_std": [8.4927, 5.9022, 6.5498, 5.2299], "use_post_quant_conv": False,
        "use_quant_conv": False, "mid_block_add_attention": False, "norm_num_groups": 2,
    },
}  # fmt: skip
REQUEST = GenerationRequest("a red star", seed=3, steps=3, guidance_scale=4.0, scheduler="euler")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Write random weights of the variant, and open them for the family."""
    components = tuple(
        replace(c, config={**c.config, **CHANGES[c.id]}) for c in SPECK_XL.components
    )
    conditioning = replace(SPECK_XL.conditioning, empty_negative="encode")
    variant = replace(SPECK_XL, components=components, conditioning=conditioning)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        modules = {c.id: build_module(c) for c in variant.components}
    variant.architecture.adjust_random_weights(variant, modules)
    folder = tmp_path_factory.mktemp("checkpoint") / "variant"
    save_pipeline(variant, modules, folder)
    return folder, open_checkpoint(folder, SPECK_XL)


def test_the_variant_is_what_the_files_say(checkpoint):
    found = {c.id: c.config for c in checkpoint[1].family.components}
    for name, changes in CHANGES.items():
        assert {key: found[name][key] for key in changes} == changes


@pytest.mark.exhaustive
def test_it_draws_what_diffusers_draws(checkpoint, open_model, tmp_path):
    folder, opened = checkpoint
    family = opened.family
    library = compile_library(family, family.sizes, "f32", Quiet())
    with pytest.raises(UsageError, match=r"speck-xl: text_encoder\.\w+ is"):
        check_library(library, SPECK_XL)
    bundle = build_bundle(opened, library, tmp_path / "bundle", Quiet())
    manifest = read_manifest(bundle / "models" / family.name / "manifest.json")
    assert manifest.conditioning.empty_negative == "encode"
    assert manifest.latent_space.scaling_factor == 0.5

    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    width, height = family.sizes[0]
    expected = pipeline(
        REQUEST.prompt,
        num_inference_steps=REQUEST.steps,
        guidance_scale=REQUEST.guidance_scale,
        generator=torch.Generator().manual_seed(REQUEST.seed),
        width=width,
        height=height,
        output_type="np",
    ).images
    with open_model(bundle) as renderer:
        drawn = renderer.draw(REQUEST)
    assert psnr(drawn.images[0], (expected[0] * 255).round().astype(np.uint8)) > 40
    # A flat picture would agree too easily.
    assert drawn.images.std() > 5
