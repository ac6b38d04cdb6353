"""A small safety checker with seeded weights: diffusers' class, transformers' image processor.

Its concepts are embeddings of plain pictures, so that some pictures are flagged and others are not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

EDGE = 32
VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": EDGE, "patch_size": 8,
}  # fmt: skip
PROJECTION = 16
# Pictures of one colour that are flagged, by the number of their concept, and what needs care.
FLAGGED = {3: (220, 30, 30), 11: (20, 30, 200)}
CARE = {1: (30, 200, 30)}
THRESHOLD = 0.9


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (EDGE, EDGE)) -> np.ndarray:
    """Return a picture of one colour, (height, width, 3) uint8."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def processor(resize: int = EDGE, edge: int = EDGE) -> CLIPImageProcessorPil:
    """Return how pictures are prepared: for the small checker, unless sizes are given."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": resize}, crop_size={"height": edge, "width": edge}
    )


@cache
def make_checker() -> StableDiffusionSafetyChecker:
    """Return the checker, float32, in evaluation mode."""
    config = CLIPConfig(vision_config=VISION, projection_dim=PROJECTION)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        checker = StableDiffusionSafetyChecker(config).eval()
        with torch.no_grad():
            # Weights as CLIP initialises them embed every picture alike.
            for name, parameter in checker.named_parameters():
                if parameter.ndim > 1 and "embeds" not in name:
                    parameter.normal_(0, 2.0 / parameter[0].numel() ** 0.5)
            for embeds in (checker.concept_embeds, checker.special_care_embeds):
                embeds.normal_()
            checker.concept_embeds_weights.fill_(THRESHOLD)
            checker.special_care_embeds_weights.fill_(THRESHOLD)
            for table, colours in (
                (checker.concept_embeds, FLAGGED),
                (checker.special_care_embeds, CARE),
            ):
                for number, colour in colours.items():
                    table[number] = embed(checker, plain(colour))
    return checker


def embed(checker: StableDiffusionSafetyChecker, picture: np.ndarray) -> torch.Tensor:
    """Return the embedding of a picture (height, width, 3) uint8."""
    given = processor()(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    return checker.visual_projection(checker.vision_model(given)[1])[0]


def save_checker(folder: Path) -> Path:
    """Write the checker as diffusers and transformers save it; returns the folder."""
    make_checker().save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder
