"""Vocabulary, encoders, autoencoder, scheduler and examples that the small models share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsd.models.family import Component
from wsd.models.stable_diffusion.components import NOISE, autoencoder, clip

HIDDEN = 96
TOKENIZER = Path(__file__).parent / "tokenizer"
CHECKPOINTS = Path(__file__).parent / "checkpoints"
# For each model a folder of databases that `wsd tune` wrote.
SCHEDULES = Path(__file__).parent / "schedules"

# None of these is among the training captions; tests/unit/test_scenes.py checks it.
EXAMPLES = (
    "a large red circle left of a small blue square on a white background",
    "three pink hearts on a black background",
    "a large orange star below a green cross",
    "a small cyan circle at the top left on a white background",
    "two small green rings on a white background",
    "a green heart above a large purple triangle on a light green to light yellow gradient"
    " background",
    "a small yellow triangle at the top right on a gray to light blue gradient background",
)


def tiny_clip(
    class_name: str, component_id: str, activation: str, width: int = HIDDEN
) -> Component:
    """Return a text encoder for the vocabulary of 720 tokens."""
    return clip(
        class_name,
        component_id,
        vocab_size=720,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=4,
        num_attention_heads=4,
        hidden_act=activation,
        bos_token_id=718,
        eos_token_id=719,
        pad_token_id=719,
    )


def tiny_autoencoder(edge: int, scaling_factor: float) -> Component:
    """Return the autoencoder for square pictures, ``edge`` in pixels."""
    return autoencoder(
        sample_size=edge,
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=1,
        norm_num_groups=8,
        scaling_factor=scaling_factor,
    )


def dpm_solver(timestep_spacing: str) -> Mapping[str, Any]:
    """Return DPM-Solver++ 2M's configuration (Lu et al. 2022)."""
    return {
        **NOISE,
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "dpmsolver++",
        "solver_order": 2,
        "solver_type": "midpoint",
        "lower_order_final": True,
        "final_sigmas_type": "zero",
        "timestep_spacing": timestep_spacing,
        "set_alpha_to_one": False,
    }
