"""Training data in memory: captions as token ids; pictures are drawn when they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch

from training.caption_labels import answers
from training.rasterizer import draw, scene_table
from training.scenes import Scene, scenes
from wsd.checkpoint.tokenizer import load_tokenizer
from wsd.models.registry import Family

# Scenes that one worker samples at a time. Each batch has its own seed, so that the number of
# workers changes nothing.
_BATCH = 5_000


@dataclass
class Captioned:
    """Scenes as tensors.

    Attributes:
        table: what :func:`training.rasterizer.draw` needs, first dimension n.
        ids: text encoder → token ids (n, tokens) int16; CLIP takes 77 tokens.
        answers: of :func:`training.caption_labels.answers`, (n, questions) int8.
    """

    table: dict[str, torch.Tensor]
    ids: dict[str, torch.Tensor]
    answers: torch.Tensor

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.table["shape"])

    def pictures(self, rows: slice | torch.Tensor, edge: int, device: str) -> torch.Tensor:
        """Draw some of the scenes, (n, 3, edge, edge) float32 from -1 to 1."""
        part = {name: tensor[rows].to(device) for name, tensor in self.table.items()}
        return draw(part, edge) * 2 - 1


def caption_ids(family: Family, captions: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return text encoder → token ids (n, tokens) int16, padded as the pipeline pads."""
    tokens = {component.id: component.tokens for component in family.text_encoders()}
    ids = {}
    for entry in family.tokenizers:
        tokenizer = load_tokenizer(entry.kind, entry.fallback, entry.pad_token)
        encoded = tokenizer(
            list(captions), padding="max_length", max_length=tokens[entry.component],
            truncation=True, return_tensors="pt",
        )  # fmt: skip
        ids[entry.component] = encoded.input_ids.to(torch.int16)
    return ids


def make_data(family: Family, count: int, seed: int) -> Captioned:
    """Sample training scenes, on all cores.

    Args:
        family: whose tokenizers read the captions.
        count: number of scenes.
        seed: the same seed gives the same scenes.
    """
    sizes = [min(_BATCH, count - start) for start in range(0, count, _BATCH)]
    seeds = [seed * 1_000_003 + n for n in range(len(sizes))]
    with ProcessPoolExecutor(min(len(sizes), os.cpu_count() or 1)) as pool:
        parts = list(pool.map(partial(_make_part, family), sizes, seeds))
    return Captioned(
        {name: torch.cat([p.table[name] for p in parts]) for name in parts[0].table},
        {name: torch.cat([p.ids[name] for p in parts]) for name in parts[0].ids},
        torch.cat([p.answers for p in parts]),
    )


def _make_part(family: Family, count: int, seed: int) -> Captioned:
    torch.set_num_threads(1)
    return describe_scenes(family, list(islice(scenes(seed, held_out=False), count)))


def describe_scenes(family: Family, sampled: Sequence[Scene]) -> Captioned:
    """Return scenes as tensors, with captions as the family's tokenizers read them."""
    return Captioned(
        scene_table(sampled),
        caption_ids(family, [scene.caption for scene in sampled]),
        torch.tensor([answers(scene) for scene in sampled], dtype=torch.int8),
    )


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield batches of row numbers without end, (size,) int64; each row comes once an epoch."""
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]
