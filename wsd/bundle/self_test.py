"""``wsd expect``: what PyTorch says each stage of a model must give, for the self-test page.

The browser makes the inputs from seeds (``web/src/pipeline/torch_rng.ts``), so that the
file holds samples of results alone. It is an input of ``wsd build`` like the weights:
computed once, checked in or kept beside them, and the build stays small in memory and reproducible.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsd.checkpoint.reader import Checkpoint
from wsd.checkpoint.tokenizer import find_tokenizer, load_tokenizer
from wsd.compiler.library import Library
from wsd.errors import CheckpointError, UsageError
from wsd.frontend.entry_points import EntryPointModule, make_entry_points
from wsd.models.registry import Component
from wsd.spec.tensor import Size, TensorSpec
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json, sha256_file
from wsd.util.progress import Progress

# What a diffusers folder may hold beside its components.
FILE_NAME = "self-test.json"
_TIMESTEP = 500.0
# A sample every so often, and the loudness of so many blocks, which no fault escapes.
_SAMPLES = 512
_BLOCKS = 64
# float32's own precision is no use to a comparison.
_DIGITS = 6
_HINT = "make it anew with: wsd expect"


def write_expected(
    checkpoint: Checkpoint, size: Size, prompt: str, out: Path, progress: Progress
) -> Path:
    """Run each component on fixed inputs with PyTorch, float32, and write what it gave.

    One component is in memory at a time.

    Args:
        checkpoint: the model's weights.
        size: (width, height) of the pictures in pixels.
        prompt: what the text encoders read.
        out: the file to write.
        progress: told what is done.

    Returns:
        ``out``.

    Raises:
        CheckpointError: if the weights cannot be read.
    """
    family = checkpoint.family
    stages = []
    with progress.stage("reference", total=len(family.components)) as advance:
        for component in family.components:
            given = _given(checkpoint, component, size, prompt)
            parts = make_entry_points(family, component, checkpoint.load(component), [size])
            stages += [_run(part, given) for part in parts]
            advance(1)
    weights = {c.name: _digests(checkpoint, c) for c in family.components}
    table = {"model": family.name, "prompt": prompt, "weights": weights, "stages": stages}
    write_atomically(out, canonical_json(table))
    return out


def find_expected(checkpoint: Checkpoint, given: Path | None) -> Path | None:
    """Return the file that is given, or the checkpoint's own if it has one."""
    own = checkpoint.path / FILE_NAME
    return given or (own if own.is_file() else None)


def expected_stages(path: Path, checkpoint: Checkpoint, library: Library) -> bytes | None:
    """Return a bundle's copy of an expectation: the stages that its library has.

    Args:
        path: what :func:`write_expected` wrote.
        checkpoint: the bundle's weights.
        library: its compiled functions.

    Returns:
        Canonical JSON; None if the library has none of the stages.

    Raises:
        CheckpointError: if the file is unreadable, or of other weights.
    """
    try:
        table = json.loads(path.read_text())
        weights, stages = table["weights"], table["stages"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} holds no expected values ({error})", _HINT) from error
    for component in checkpoint.family.components:
        if weights.get(component.name) != _digests(checkpoint, component):
            raise CheckpointError(f"{path} is of other weights of {component.name}", _HINT)
    compiled = {entry.name for entry in library.entry_points}
    kept = [stage for stage in stages if stage["entry_point"] in compiled]
    return canonical_json({"stages": kept}) if kept else None


def _digests(checkpoint: Checkpoint, component: Component) -> list[str]:
    return [sha256_file(path) for path in checkpoint.files(component)]


def _given(checkpoint: Checkpoint, component: Component, size: Size, prompt: str) -> dict[str, Any]:
    """Return the inputs that are not noise, by name."""
    width, height = size
    given: dict[str, Any] = {
        "timestep": [_TIMESTEP],
        "time_ids": [height, width, 0, 0, height, width],
    }
    for entry in checkpoint.family.tokenizers:
        if entry.component == component.name:
            ids = _tokens(*find_tokenizer(checkpoint.path, entry, checkpoint.tokenizer), prompt)
            given["input_ids"], given["end_of_text"] = ids
    return given


def _tokens(folder: Path, pad_token: str | None, prompt: str) -> tuple[list[int], list[float]]:
    """Return padded token ids, and 1 where the text ends."""
    tokenizer = load_tokenizer(folder, pad_token)
    ids = tokenizer(prompt, padding="max_length", truncation=True).input_ids
    end = ids.index(tokenizer.eos_token_id)
    return ids, [float(index == end) for index in range(len(ids))]


def _run(part: EntryPointModule, given: dict[str, Any]) -> dict[str, Any]:
    """Return a stage: the function, what it takes and what it gives."""
    described: dict[str, dict[str, Any]] = {}
    tensors = []
    for seed, spec in enumerate(part.inputs):
        if spec.name in given:
            described[spec.name] = {"values": given[spec.name]}
            values = torch.tensor(given[spec.name], dtype=getattr(torch, spec.dtype))
            tensors.append(values.reshape(spec.shape))
        else:
            described[spec.name] = {"seed": seed}
            generator = torch.Generator().manual_seed(seed)
            tensors.append(torch.randn(spec.shape, generator=generator))
    with torch.no_grad():
        results = part.module(*tensors)
    found = results if isinstance(results, tuple) else (results,)
    outputs = {
        spec.name: _sampled(spec, result.numpy())
        for spec, result in zip(part.outputs, found, strict=True)
    }
    return {"entry_point": part.entry_point, "inputs": described, "outputs": outputs}


def _sampled(spec: TensorSpec, result: np.ndarray) -> dict[str, Any]:
    """Return what is kept of a result; ``web/src/diagnostics/self_test.ts`` compares it."""
    flat = result.ravel().astype(np.float64)
    if not np.isfinite(flat).all():
        raise UsageError(
            f"PyTorch itself gives {spec.name} that is not finite", "check the weights"
        )
    stride = max(1, math.ceil(flat.size / _SAMPLES))
    block = math.ceil(flat.size / _BLOCKS)
    blocks = [flat[start : start + block] for start in range(0, flat.size, block)]
    return {
        "stride": stride,
        "samples": _short(flat[::stride]),
        "block": block,
        "rms": _short(np.array([np.sqrt(np.mean(part**2)) for part in blocks])),
    }


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]
