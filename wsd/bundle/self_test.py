"""``wsd expect``: self-test fixtures, what PyTorch computes for each stage of a model.

The browser makes the inputs from seeds (``web/src/pipeline/torch_rng.ts``), so that the file holds
only samples of the results. Fixtures are an input of ``wsd build``, as the weights are: they are
computed once and kept beside the weights, and building needs neither PyTorch's forward pass nor its
memory. :mod:`wsd.spec.self_test` defines the file.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from wsd.checkpoint.checkpoint import Checkpoint
from wsd.checkpoint.tokenizer import open_tokenizer
from wsd.compiler.library import Library
from wsd.errors import CheckpointError, UsageError
from wsd.frontend.entry_points import make_entry_points
from wsd.models.architecture import EntryPointModule
from wsd.models.registry import Component
from wsd.spec.roles import (
    CHUNKED_DENOISER,
    GUIDED_CHUNKED_DENOISER,
    GUIDED_SHALLOW_DENOISER,
    LAYERED_TEXT_ENCODER,
    ROLES,
    SHALLOW_DENOISER,
)
from wsd.spec.self_test import (
    FILE_NAME,
    ExpectedOutput,
    ExpectedStage,
    Fixtures,
    GivenInput,
    SeededInput,
    SelfTest,
)
from wsd.spec.tensor import Size
from wsd.util.files import write_atomically
from wsd.util.hashing import canonical_json
from wsd.util.progress import Progress
from wsd.util.typed_json import read_typed

# Timestep of the denoiser's call, of 1000.
_TIMESTEP = 500.0
# Of each result, 512 strided samples are kept, and the RMS of 64 blocks, so that a fault between
# samples is still seen.
_SAMPLES = 512
_BLOCKS = 64
# Functions of long prompts, of clip skip and of a deep cache run the kernels of the others.
_SELDOM = (
    LAYERED_TEXT_ENCODER,
    CHUNKED_DENOISER,
    GUIDED_CHUNKED_DENOISER,
    SHALLOW_DENOISER,
    GUIDED_SHALLOW_DENOISER,
)
# Significant digits of what is kept: more would only store float32's rounding errors.
_DIGITS = 6
_HINT = "make it anew with: wsd expect"
_LOG = logging.getLogger(__name__)
# What follows the role in the name of an entry point for one picture size.
_FIXTURES = TypeAdapter(Fixtures)
_SIZE = re.compile(r"_\d+x\d+$")

# Name of an input to its values, for inputs that are not noise.
_Values = Mapping[str, Sequence[float]]


def write_fixtures(
    checkpoint: Checkpoint, size: Size, prompt: str, out: Path, progress: Progress
) -> Path:
    """Run each component on fixed inputs with PyTorch in float32, and write what it computes.

    One component is in memory at a time.

    Args:
        checkpoint: the model's weights.
        size: (width, height) of the pictures in pixels.
        prompt: text that the text encoders read.
        out: the file to write.
        progress: shows what has been done.

    Returns:
        ``out``.

    Raises:
        CheckpointError: if the weights cannot be read.
        UsageError: if a result is not finite.
    """
    family = checkpoint.family
    stages: list[ExpectedStage] = []
    with progress.stage("reference", total=len(family.components)) as advance:
        for component in family.components:
            values = _make_values(checkpoint, component, size, prompt)
            model = checkpoint.load(component)
            modules = make_entry_points(family, component, model, [size])
            stages += [_run(module, values) for module in modules if module.role not in _SELDOM]
            advance(1)
    fixtures = Fixtures(
        model=family.name,
        prompt=prompt,
        weights={c.id: tuple(checkpoint.weight_digests(c)) for c in family.components},
        stages=tuple(stages),
    )
    write_atomically(out, canonical_json(fixtures.model_dump(mode="json")))
    return out


def find_fixtures(checkpoint: Checkpoint, given: Path | None) -> Path | None:
    """Return the fixtures that are given, else those beside the checkpoint, else None.

    Those beside a checkpoint whose weights were changed since are left out, and that is said.

    Raises:
        CheckpointError: if the file beside the checkpoint is unreadable.
    """
    own = checkpoint.source.extra_file(FILE_NAME) if given is None else None
    if own is None:
        return given
    if (component := _find_other_weights(_read_fixtures(own), checkpoint)) is not None:
        _LOG.warning(
            "%s is of other weights of %s, so the bundle has no self-test: wsd expect writes one",
            own, component,
        )  # fmt: skip
        return None
    return own


def select_stages(path: Path, checkpoint: Checkpoint, library: Library) -> SelfTest | None:
    """Return a bundle's self-test: the stages of some fixtures that its library has.

    Args:
        path: what :func:`write_fixtures` wrote.
        checkpoint: the bundle's weights.
        library: its compiled functions.

    Returns:
        the self-test, or None if the library has none of the stages.

    Raises:
        CheckpointError: if the file is unreadable, of other weights, or names a stage that no model
            has, as files from before the roles were renamed do.
    """
    fixtures = _read_fixtures(path)
    if (component := _find_other_weights(fixtures, checkpoint)) is not None:
        raise CheckpointError(f"{path} is of other weights of {component}", _HINT)
    family = checkpoint.family
    # Text encoders, and those that were left out since.
    encoders = {encoder.id for encoder in family.text_encoders()}
    encoders |= fixtures.weights.keys() - {component.id for component in family.components}
    known = {*ROLES, *encoders}
    for stage in fixtures.stages:
        if _SIZE.sub("", stage.entry_point) not in known:
            raise CheckpointError(
                f"{path} has values of {stage.entry_point}, which no model of this WSD has", _HINT
            )
    compiled = {entry.name for entry in library.entry_points}
    stages = tuple(stage for stage in fixtures.stages if stage.entry_point in compiled)
    return SelfTest(stages=stages) if stages else None


def _read_fixtures(path: Path) -> Fixtures:
    return read_typed(path, _FIXTURES, CheckpointError, _HINT)


def _find_other_weights(fixtures: Fixtures, checkpoint: Checkpoint) -> str | None:
    """Return the first component whose weights are not those of the fixtures; None if all are.

    Fixtures may be from before a safety checker was added, which draws nothing.
    """
    drawing = checkpoint.family.drawing_components
    for component in checkpoint.family.components:
        if component.id not in fixtures.weights and component not in drawing:
            continue
        if fixtures.weights.get(component.id) != tuple(checkpoint.weight_digests(component)):
            return component.id
    return None


def _make_values(
    checkpoint: Checkpoint, component: Component, size: Size, prompt: str
) -> dict[str, Sequence[float]]:
    """Return the inputs that are not noise, by name."""
    family = checkpoint.family
    constant = family.architecture.constant_inputs(family, size)
    values: dict[str, Sequence[float]] = {"timestep": [_TIMESTEP], **constant}
    for entry in family.tokenizers:
        if entry.component == component.id:
            tokenizer = open_tokenizer(checkpoint.family, checkpoint.source, entry)
            values["input_ids"], values["end_of_text"] = _tokenize(tokenizer, prompt)
    return values


def _tokenize(tokenizer: Any, prompt: str) -> tuple[list[int], list[float]]:
    """Return padded token ids, and a mask that is 1 at the end token of the text."""
    ids = tokenizer(prompt, padding="max_length", truncation=True).input_ids
    end = ids.index(tokenizer.eos_token_id)
    return ids, [float(index == end) for index in range(len(ids))]


def _run(module: EntryPointModule, values: _Values) -> ExpectedStage:
    """Call an entry point on values and, where there are none, on noise seeded by position."""
    inputs: dict[str, SeededInput | GivenInput] = {}
    tensors = []
    for seed, spec in enumerate(module.inputs):
        if spec.name in values:
            inputs[spec.name] = GivenInput(values=tuple(values[spec.name]))
            tensor = torch.tensor(values[spec.name], dtype=getattr(torch, spec.dtype))
            tensors.append(tensor.reshape(spec.shape))
        else:
            inputs[spec.name] = SeededInput(seed=seed)
            generator = torch.Generator().manual_seed(seed)
            tensors.append(torch.randn(spec.shape, generator=generator))
    with torch.no_grad():
        results = module.module(*tensors)
    found = results if isinstance(results, tuple) else (results,)
    outputs = {
        spec.name: _sample(f"{module.name}: {spec.name}", result.numpy())
        for spec, result in zip(module.outputs, found, strict=True)
    }
    return ExpectedStage(entry_point=module.name, inputs=inputs, outputs=outputs)


def _sample(name: str, result: np.ndarray) -> ExpectedOutput:
    """Return what is kept of a result.

    Raises:
        UsageError: if a value is not finite.
    """
    flat = result.ravel().astype(np.float64)
    if not np.isfinite(flat).all():
        raise UsageError(
            f"PyTorch computes infinite or NaN values for {name} with these weights",
            "take another checkpoint, or convert its weights to float32 first",
        )
    stride = max(1, math.ceil(flat.size / _SAMPLES))
    block = math.ceil(flat.size / _BLOCKS)
    blocks = [flat[start : start + block] for start in range(0, flat.size, block)]
    return ExpectedOutput(
        stride=stride,
        samples=_shorten(flat[::stride]),
        block=block,
        rms=_shorten(np.array([np.sqrt(np.mean(values**2)) for values in blocks])),
    )


def _shorten(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
