"""diffusers' safety checker with a flat configuration, and what of it is compiled.

diffusers/pipelines/stable_diffusion/safety_checker.py: CLIP's image encoder (Radford et al. 2021)
embeds a picture, and the embedding is compared with those of concepts, each with a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion import safety_checker as published
from transformers import CLIPConfig, CLIPVisionConfig

# torch.nn.functional.normalize divides by no less. Without an upper bound, TVM would write infinity
# into the shader, for which WGSL has no literal.
_LEAST_NORM, _LARGEST_NORM = 1e-12, 1e30


class SafetyCheckerConfig(CLIPVisionConfig):  # type: ignore[no-untyped-call]
    """What a checker reads of a CLIP configuration: the image encoder's keys and the projection.

    ``config.json`` has the former in ``vision_config`` and the latter beside it.
    """

    model_type = "clip"

    @classmethod
    def flatten(cls, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys that a checker reads, as transformers' ``CLIPConfig`` reads them.

        Args:
            found: what ``config.json`` holds, or what this function returned.

        Raises:
            ValueError: for sections that are no tables.
        """
        if "vision_config" not in found and "vision_config_dict" not in found:
            return dict(found)
        sections = [found.get(key) for key in ("vision_config", "vision_config_dict")]
        if any(not isinstance(section, Mapping | None) for section in sections):
            raise ValueError("vision_config and vision_config_dict are tables")
        vision, replacing = (dict(section or {}) for section in sections)
        if sections[1] is not None:
            # Of old files: CLIPConfig lets it replace every key, those that it lacks included.
            vision |= CLIPVisionConfig(**replacing).to_dict()
        default = CLIPConfig.projection_dim
        return {**vision, "projection_dim": found.get("projection_dim", default)}


class StableDiffusionSafetyChecker(published.StableDiffusionSafetyChecker):  # type: ignore[misc]
    """diffusers' class, built from a flat configuration."""

    config_class = SafetyCheckerConfig

    def __init__(self, config: SafetyCheckerConfig) -> None:
        vision = config.to_dict()
        whole = CLIPConfig(vision_config=vision, projection_dim=vision["projection_dim"])
        super().__init__(whole)


# The name under which the first published checker was saved.
SafetyChecker = StableDiffusionSafetyChecker


class SafetyScores(torch.nn.Module):
    """How near a picture is to each concept.

    Args:
        model: the checker.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map a picture (1, 3, s, s) to scores of concepts (1, n) and of special care (1, m).

        A score is the cosine of picture and concept, less the concept's threshold, before diffusers
        adds 0.01 for pictures that need special care and rounds to three digits.
        """
        model = self.model
        encoder = model.vision_model
        # The encoder's pooled output is its first token, normalised. Here all are normalised,
        # because a slice right behind the last GEMM would become a part of it, and a GEMM with a
        # slice has no written kernel.
        states = encoder.post_layernorm(encoder(pixels).last_hidden_state)
        embedding = model.visual_projection(states[:, 0])
        concepts = _cosines(embedding, model.concept_embeds) - model.concept_embeds_weights
        special = _cosines(embedding, model.special_care_embeds) - model.special_care_embeds_weights
        return concepts, special


def _cosines(embedding: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the cosines (1, n) of a vector (1, width) and others (n, width).

    It is diffusers' ``cosine_distance`` in operators that both versions of TVM import alike.
    """
    products = (embedding * others).sum(dim=1)
    norms = _norm(embedding) * _norm(others)
    return (products / norms).unsqueeze(0)


def _norm(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors * vectors).sum(dim=1).sqrt().clamp(_LEAST_NORM, _LARGEST_NORM)
