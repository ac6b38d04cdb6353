"""Run the training loop; a step can be a CUDA graph, since launches take most of the time."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from wsd.util.progress import Progress

_EMA_DECAY = 0.9995
_GRADIENT_NORM = 1.0
_EAGER_STEPS = 3  # run before the graph is recorded, so that CUDA libraries are initialised
# The loss is told so often in a stage, or every 1000 steps.
_TOLD_TIMES, _TOLD_EVERY = 10, 1000

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        steps: number of optimiser steps.
        batch: pictures a step.
        learning_rate: AdamW's, at its highest.
        warmup: number of steps in which the learning rate rises to that.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 300


def learning_rate(step: int, plan: Plan) -> float:
    """Return the learning rate: a linear warm-up, and a cosine decay to 0."""
    warmup = min(1.0, (step + 1) / plan.warmup)
    return plan.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / plan.steps))


class _Average:
    """Exponential moving average of a module's weights."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._sources: list[torch.Tensor] = list(module.parameters())
        self._averages: list[torch.Tensor] = list(self.module.parameters())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average; its decay is smaller in the first steps."""
        decay = min(_EMA_DECAY, (step + 1) / (step + 10))
        torch._foreach_lerp_(self._averages, self._sources, 1 - decay)


class _Step:
    """One optimiser step, replayed from a CUDA graph if it is asked for and there is a GPU."""

    def __init__(
        self, module: torch.nn.Module, loss: Callable[..., torch.Tensor], rate: float,
        device: str, graph: bool,
    ) -> None:  # fmt: skip
        on_gpu = device == "cuda"
        self._module, self._is_graph = module, graph and on_gpu
        self._loss = torch.compile(loss) if self._is_graph else loss
        self._rate = torch.tensor(rate, device=device)
        self._optimizer = torch.optim.AdamW(
            module.parameters(), lr=self._rate, betas=(0.9, 0.99), weight_decay=0.01,
            fused=on_gpu, capturable=on_gpu,
        )  # fmt: skip
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Inputs = {}
        self._value = torch.zeros((), device=device)
        self._done = 0

    def __call__(self, inputs: Inputs, rate: float) -> torch.Tensor:
        """Take one step and return the loss, which the next step overwrites."""
        self._rate.fill_(rate)
        if not self._is_graph:
            self._run(inputs)
        elif self._done < _EAGER_STEPS:
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._run(inputs)
            torch.cuda.current_stream().wait_stream(side)
        else:
            self._replay(inputs)
        self._done += 1
        return self._value

    def _replay(self, inputs: Inputs) -> None:
        if self._graph is None:
            self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
            self._optimizer.zero_grad(set_to_none=True)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._run(self._inputs)
        for name, tensor in inputs.items():
            self._inputs[name].copy_(tensor)
        self._graph.replay()

    def _run(self, inputs: Inputs) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(**inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), _GRADIENT_NORM)
        self._optimizer.step()
        self._value.copy_(loss.detach())


def fit(
    module: torch.nn.Module, loss: Callable[..., torch.Tensor], inputs: Iterator[Inputs],
    plan: Plan, stage: str, device: str, progress: Progress, graph: bool = True,
) -> Any:  # fmt: skip
    """Train a module with AdamW (Loshchilov and Hutter 2019).

    Args:
        module: what to train; its weights change.
        loss: of tensors named as in ``inputs``, whose shapes never change.
        inputs: one dictionary of tensors on the device a step.
        plan: steps and learning rate.
        stage: the progress bar's name.
        device: ``cuda`` or ``cpu``.
        progress: called after each step.
        graph: on a GPU, compile the loss and record a step as a CUDA graph. That takes about a
            minute, which long trainings save many times over.

    Returns:
        a copy with averaged weights, in evaluation mode.
    """
    average = _Average(module)
    step_once = _Step(module, loss, plan.learning_rate, device, graph)
    told = min(_TOLD_EVERY, max(1, plan.steps // _TOLD_TIMES))
    started = time.monotonic()
    with progress.stage(stage, total=plan.steps) as advance:
        for step in range(plan.steps):
            value = step_once(next(inputs), learning_rate(step, plan))
            average.update(step)
            if step % told == 0 or step == plan.steps - 1:
                seconds = time.monotonic() - started
                print(f"{stage} step {step}: loss {value.item():.4f}, {seconds:.0f} s", flush=True)
            advance(1)
    return average.module
