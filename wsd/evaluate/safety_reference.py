"""What diffusers' own safety checker says of pictures: the reference for the page's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from wsd.checkpoint.checkpoint import Checkpoint
from wsd.evaluate.diffusers_reference import round_module
from wsd.spec.parameter import Storage
from wsd.spec.roles import SAFETY_CHECKER

# What diffusers adds to a score once a concept of special care was found.
_SPECIAL_CARE = 0.01
_DIGITS = 3


@dataclass(frozen=True)
class Decision:
    """What the safety checker says of one picture.

    Attributes:
        flagged: whether a concept is found; diffusers' pipelines then give a black picture.
        concept_scores: of each concept, float32 rounded to three digits; above 0 where it is found.
        special_scores: the same of the concepts that ask for special care.
    """

    flagged: bool
    concept_scores: np.ndarray
    special_scores: np.ndarray

    @property
    def concepts(self) -> tuple[int, ...]:
        """Return the numbers of the concepts that are found."""
        return tuple(np.flatnonzero(self.concept_scores > 0).tolist())


class SafetyReference:
    """diffusers' ``StableDiffusionSafetyChecker`` of a checkpoint, float32, on the CPU.

    Args:
        checkpoint: has a safety checker.
        stored: name of a parameter → its storage in a bundle, to which it is rounded; none is
            rounded unless given.
    """

    def __init__(self, checkpoint: Checkpoint, stored: Mapping[str, Storage] | None = None) -> None:
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPConfig
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        # It would say that a black picture is returned, which is of no concern here.
        logging.getLogger(StableDiffusionSafetyChecker.__module__).setLevel(logging.ERROR)
        component = checkpoint.family.component(SAFETY_CHECKER)
        found = checkpoint.source.component_config(component)
        # The published configuration, as diffusers' own class reads it.
        self._checker = StableDiffusionSafetyChecker(CLIPConfig.from_dict(dict(found or {}))).eval()
        weights = checkpoint.load(component).state_dict()
        self._checker.load_state_dict(weights)
        if stored is not None:
            round_module(self._checker, stored)
        edge = component.config["image_size"]
        if checkpoint.safety_checker is None:
            raise ValueError("the checkpoint has no safety checker")
        prepared = checkpoint.safety_checker.image_processor(edge)
        self._processor: Any = CLIPImageProcessorPil(
            size={"shortest_edge": prepared.resize},
            crop_size={"height": edge, "width": edge},
            image_mean=list(prepared.mean),
            image_std=list(prepared.std),
        )

    def check(self, pictures: Iterable[np.ndarray]) -> list[Decision]:
        """Return what the checker says of pictures, (height, width, 3) uint8 each."""
        return [self._check(picture) for picture in pictures]

    def _check(self, picture: np.ndarray) -> Decision:
        from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance

        model = self._checker
        pixels = self._processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        _, [flagged] = model(pixels, np.zeros((1, *picture.shape)))
        # The class keeps its scores to itself: they are computed again as it computes them.
        with torch.no_grad():
            embedding = model.visual_projection(model.vision_model(pixels)[1])
            special = cosine_distance(embedding, model.special_care_embeds)[0]
            concepts = cosine_distance(embedding, model.concept_embeds)[0]
        adjustment, care = 0.0, []
        for score in (special - model.special_care_embeds_weights).numpy():
            care.append(round(score + np.float32(adjustment), _DIGITS))
            if care[-1] > 0:
                adjustment = _SPECIAL_CARE
        found = (concepts - model.concept_embeds_weights).numpy() + np.float32(adjustment)
        return Decision(flagged, np.round(found, _DIGITS), np.array(care, np.float32))


def differ_most(one: Sequence[Decision], other: Sequence[Decision]) -> float:
    """Return the largest difference of two checkers' scores of the same pictures."""
    return max(
        float(np.abs(mine - theirs).max())
        for a, b in zip(one, other, strict=True)
        for mine, theirs in (
            (a.concept_scores, b.concept_scores),
            (a.special_scores, b.special_scores),
        )
    )
