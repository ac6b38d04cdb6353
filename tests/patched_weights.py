"""Weights on a GPU that a page has patched, beside those that Python merges LoRAs into."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsd.bundle.quantize import encode, round_values
from wsd.checkpoint.adapters.adapter import open_adapter
from wsd.checkpoint.adapters.arithmetic import merge
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.compiler.library import Library
from wsd.spec.parameter import GROUP, shapes


def check_weights(
    call: Callable[..., Any],
    checkpoint: Checkpoint,
    library: Library,
    applied: Sequence[tuple[Path, float]],
    *,
    is_exact: bool,
) -> None:
    """Compare the weights on the GPU with the stored ones that Python merges LoRAs into.

    Args:
        call: calls a function in the page, as :func:`lora_pages.opened` gives it.
        checkpoint: the weights of the bundle.
        library: says how they are stored.
        applied: file and scale of each LoRA, in order.
        is_exact: whether float weights are compared to the bit.
    """
    adapters = [(open_adapter(path, checkpoint.family), scale) for path, scale in applied]
    changed = 0
    for component in checkpoint.family.components:
        if component.id == "vae":
            continue
        read = call("readParameters", component.id)
        parameters = library.parameters[component.id]
        tensors = checkpoint.source.tensors(component, shapes(parameters))
        for parameter, tensor in zip(parameters, tensors, strict=True):
            stored = round_values(tensor, parameter.storage)
            changes = [
                adapter.layers[component.id][parameter.name].build(scale)
                for adapter, scale in adapters
                if scale != 0 and parameter.name in adapter.layers.get(component.id, {})
            ]
            changed += bool(changes)
            expected = encode(parameter, merge(stored, changes) if changes else tensor)
            found = [base64.b64decode(read[buffer.name]) for buffer in expected]
            _compare(expected, found, is_exact=is_exact or not changes)
    assert (changed > 0) == any(scale != 0 for _, scale in applied)


def _compare(buffers: Sequence[Any], found: Sequence[bytes], *, is_exact: bool) -> None:
    """Compare what a parameter became: to the bit, or to the last digits of its storage."""
    storage = buffers[0].storage
    if storage == "int8":
        values, scales = np.frombuffer(found[0], np.int8), np.frombuffer(found[1], np.float32)
        wanted = np.frombuffer(buffers[0].data, np.int8)
        # WebGPU lets a division err in its last digits, which may decide how a half is rounded.
        np.testing.assert_allclose(scales, np.frombuffer(buffers[1].data, np.float32), rtol=1e-5)
        steps = np.abs(values.astype(int) - wanted.astype(int))
        assert steps.max() <= 1, buffers[0].name
        assert np.count_nonzero(steps) <= 0.01 * steps.size + 1, buffers[0].name
    elif storage == "int4":
        _compare_groups(buffers, found)
    elif is_exact:
        assert found[0] == buffers[0].data, buffers[0].name
    else:
        kind = {"float32": np.float32, "float16": np.float16}[storage]
        values, wanted = np.frombuffer(found[0], kind), np.frombuffer(buffers[0].data, kind)
        digits = {"float32": 1e-5, "float16": 2e-3}[storage]
        np.testing.assert_allclose(values, wanted, rtol=digits, atol=1e-6)


def _compare_groups(buffers: Sequence[Any], found: Sequence[bytes]) -> None:
    """Compare int4 weights: nearly all groups to the bit, and no group's values by over a step.

    Two scales of a group may give nearly the same squared error, and rounding decides between them.
    """
    wanted, values = (_unpack_groups(*data) for data in ([b.data for b in buffers], found))
    wrong = np.abs(values - wanted)
    equal = np.count_nonzero(wrong.max(axis=1) == 0)
    assert equal >= 0.97 * len(wrong) - 2, (buffers[0].name, equal, len(wrong))
    steps = np.abs(wanted).max(axis=1) / 7 + 1e-9
    assert (wrong.max(axis=1) <= 1.3 * steps).all(), buffers[0].name


def _unpack_groups(words: bytes, scales: bytes) -> np.ndarray:
    """Return the values of int4 weights, (groups, GROUP) float64."""
    octets = np.frombuffer(words, np.uint8)
    fields = np.stack([octets & 0xF, octets >> 4], axis=1).reshape(-1, GROUP).astype(int)
    factors = np.frombuffer(scales, np.float16)[: len(fields)].astype(float)
    return (fields - 16 * (fields > 7)) * factors[:, None]
