"""``python -m wsd.evaluate.sensitivity``: measure what each layer costs a small model at 4 bits.

One weight at a time is rounded to int4, and all others stay as they are. A model then draws a few
prompts in a few steps, and in each step the denoiser gets the latents of the run with the weights
as they are: so errors do not grow from step to step, and the layers of text encoders are measured
like those of the denoiser. What is measured is the relative error of the denoiser's outputs.

The figures go to ``wsd/models/w4a16/layers.json``, one for each kind of layer: the names of layers
without their numbers.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from wsd.bundle.quantize import round_values
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import relative_error
from wsd.frontend.entry_points import make_entry_point
from wsd.frontend.export import trace_component
from wsd.models.family import Component, Family
from wsd.models.registry import find_family
from wsd.models.sensitive_layers import PATH, LayerKind
from wsd.runtime.request import GenerationRequest
from wsd.spec.parameter import choose_storage
from wsd.spec.roles import DENOISER
from wsd.util.files import write_atomically
from wsd.util.progress import Quiet
from wsd.util.terminal import say

# What is drawn: prompts, seeds and steps of a run.
REQUESTS = (
    GenerationRequest("a large red circle left of a small blue square", seed=3, steps=4),
    GenerationRequest("a green star on a white background", seed=5, steps=4),
)


def measure(
    checkpoint: Checkpoint, requests: Sequence[GenerationRequest] = REQUESTS
) -> dict[str, dict[str, LayerKind]]:
    """Return class of a component → kind of a layer → what it costs at 4 bits.

    Args:
        checkpoint: a small model's weights.
        requests: what is drawn.
    """
    pipeline = load_pipeline(checkpoint)
    family = checkpoint.family
    # Before the denoiser is watched, because exporting calls it.
    layers = {c.id: _layers(family, c, getattr(pipeline, c.id)) for c in family.components}
    [denoiser] = [c.id for c in family.components if c.role == DENOISER]
    replay = _Replay(getattr(pipeline, denoiser))
    exact = _outputs(checkpoint, pipeline, replay, requests)
    replay.starts_over = True
    found: dict[str, dict[str, LayerKind]] = {}
    for component in family.components:
        weights = dict(getattr(pipeline, component.id).named_parameters())
        costs: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for name in layers[component.id]:
            with _rounded(weights[name]):
                error = relative_error(_outputs(checkpoint, pipeline, replay, requests), exact)
            costs[re.sub(r"\d+", "*", name)].append((weights[name].numel(), error))
        if costs:
            found[component.class_name] = found.get(component.class_name, {}) | {
                kind: LayerKind(
                    layers=len(each),
                    values=sum(values for values, _ in each),
                    error=float(f"{max(error for _, error in each):.2g}"),
                )
                for kind, each in sorted(costs.items())
            }
    replay.remove()
    return found


def _layers(family: Family, component: Component, module: torch.nn.Module) -> list[str]:
    """Return the names of the weights that could be int4."""
    entry = make_entry_point(family, component, module, family.sizes[0])
    return [
        parameter.name
        for parameter in trace_component(component, entry, "w8a16").parameters
        if parameter.storage == "int8"
        and choose_storage("w4a16", component.role, "gemm", parameter.shape) == "int4"
    ]


class _Replay:
    """Records what a denoiser gets and gives, and later gives it the latents of the first run."""

    def __init__(self, denoiser: torch.nn.Module) -> None:
        self._latents: list[torch.Tensor] = []
        self._at = 0
        self.starts_over = False
        self.outputs: list[torch.Tensor] = []
        self._hooks = [
            denoiser.register_forward_pre_hook(self._before, with_kwargs=True),
            denoiser.register_forward_hook(self._after),
        ]

    def _before(self, _module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        latents = args[0] if args else given["hidden_states"]
        if not self.starts_over:
            self._latents.append(latents.clone())
            return None
        latents = self._latents[self._at % len(self._latents)]
        self._at += 1
        if args:
            return (latents, *args[1:]), given
        return args, {**given, "hidden_states": latents}

    def _after(self, _module: Any, _args: Any, result: Any) -> None:
        output = result[0] if isinstance(result, tuple) else result.sample
        self.outputs.append(output.detach().clone())

    def remove(self) -> None:
        """Leave the denoiser as it was."""
        for hook in self._hooks:
            hook.remove()


def _outputs(
    checkpoint: Checkpoint, pipeline: Any, replay: _Replay, requests: Sequence[GenerationRequest]
) -> np.ndarray:
    """Draw, and return all that the denoiser gave, flat."""
    replay.outputs.clear()
    for request in requests:
        draw_reference(checkpoint, pipeline, request, Quiet())
    return torch.cat([output.flatten() for output in replay.outputs]).numpy()


@contextmanager
def _rounded(weight: torch.nn.Parameter) -> Iterator[None]:
    """Let a weight have the values that int4 stores of it, for a while."""
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(round_values(kept, "int4"))
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def main(names: Sequence[str]) -> None:
    """Measure families that come with weights, and write their figures beside the others'."""
    for name in names:
        family = find_family(name)
        if family.weights is None:
            raise UsageError(f"{name} comes without weights", "name a model that WSD ships")
        measured = measure(open_checkpoint(family.weights, family))
        table = json.loads(PATH.read_text(encoding="utf-8"))
        table["measured"][name] = {
            class_name: {kind: cost._asdict() for kind, cost in kinds.items()}
            for class_name, kinds in measured.items()
        }
        write_atomically(PATH, _text(table).encode())
        say(f"{name}: {sum(len(kinds) for kinds in measured.values())} kinds of layers")


def _text(table: dict[str, Any]) -> str:
    """Return the JSON with one rule, and one kind of layer, in each line."""
    text = json.dumps(table, indent=1, sort_keys=True)
    return re.sub(r"\{[^{}]*\}", lambda found: " ".join(found[0].split()), text) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
