"""Train text encoders by questions on the scene, before the denoiser is trained with them.

SD's text encoders come from CLIP, trained on pairs of texts and pictures, or from T5. The
tiny ones learn the same kind of thing more directly: from the state at the end
token, linear heads name each thing's shape, colour and size, the relation, the
place and the background.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn import functional

from training.caption_labels import CHOICES, UNSAID
from training.dataset import Captioned, batches
from training.trainer import Plan, fit
from wsd.models.instantiate import build_module
from wsd.models.registry import Family
from wsd.models.stable_diffusion.wrappers import conditioning_state
from wsd.util.progress import Progress


class _Reader(torch.nn.Module):
    """A text encoder with classification heads on the outputs that condition the denoiser."""

    def __init__(self, encoder: torch.nn.Module, layer: int | None) -> None:
        super().__init__()
        self.encoder, self.layer = encoder, layer
        config: Any = encoder.config
        self.end = config.eos_token_id
        total = sum(len(choices) for choices in CHOICES.values())
        self.state_head = torch.nn.Linear(config.hidden_size, total)
        # T5 has no pooled state.
        if (width := getattr(config, "projection_dim", None)) is not None:
            self.pooled_head = torch.nn.Linear(width, total)
        # T5's configuration asks for dropout. The captions are new in each epoch but few words.
        for module in self.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    def forward(self, ids: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of all choices, (n, total), for each output that the denoiser takes."""
        encoded = self.encoder(ids, output_hidden_states=self.layer is not None)
        states = conditioning_state(encoded, self.layer)
        at_end = (ids == self.end).int().argmax(1)
        state = states[torch.arange(len(ids), device=ids.device), at_end]
        scores = [self.state_head(state)]
        if (pooled := getattr(encoded, "text_embeds", None)) is not None:
            scores.append(self.pooled_head(pooled))
        return scores


def _loss(reader: _Reader, ids: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), device=ids.device)
    for scores in reader(ids):
        start = 0
        for question, choices in enumerate(CHOICES.values()):
            part = scores[:, start : start + len(choices)].float()
            lost = functional.cross_entropy(
                part, right[:, question], ignore_index=UNSAID, reduction="sum"
            )
            total = total + lost / len(ids)
            start += len(choices)
    return total


def train_encoders(
    family: Family, data: Captioned, plan: Plan, seed: int, device: str, progress: Progress
) -> dict[str, Any]:
    """Train the family's text encoders, one after another.

    Returns:
        component id → encoder, float32, in evaluation mode.
    """
    trained = {}
    for component in family.text_encoders():
        torch.manual_seed(seed)
        layer = family.conditioning.encoder(component.id).hidden_state
        reader = _Reader(build_module(component), layer).to(device).train()
        inputs = (
            {
                "ids": data.ids[component.id][rows].int().to(device),
                "right": data.answers[rows].long().to(device),
            }
            for rows in batches(len(data), plan.batch, torch.Generator().manual_seed(seed))
        )
        found = fit(reader, partial(_loss, reader), inputs, plan, component.id, device, progress)
        trained[component.id] = found.encoder
    return trained
