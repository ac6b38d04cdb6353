"""``wsd bench``: how long a bundle's stages and kernels take on this machine's WebGPU.

Each compiled function is called with random inputs. A stage's time is taken by the clock
over several calls; kernels are timed in a call of their own by the GPU's clock, because
that takes time itself. Operations are those of products and attention, as a published
count has them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsd.checkpoint import Checkpoint
from wsd.drawing import Drawing
from wsd.manifest import find_manifest, read_manifest
from wsd.parts import GUIDED_ROLE
from wsd.peer import Contestant, compare_onnxruntime, compare_torch, make_work, our_error
from wsd.progress import Progress
from wsd.render import LoadOptions, OpenHost, check_drawing, open_renderer

_BENCH = "([options]) => attempt(() => pipe.remote.bench(options))"
_KERNELS_SHOWN = 8


@dataclass(frozen=True)
class KernelTime:
    """One kernel in one call of a stage.

    Attributes:
        name: of the kernel.
        dispatches: how often it runs.
        milliseconds: of all its runs, by the GPU's clock.
        operations: floating-point operations of all its runs; 0 where not counted.
    """

    name: str
    dispatches: int
    milliseconds: float
    operations: int


@dataclass(frozen=True)
class Stage:
    """One compiled function.

    Attributes:
        name: of the function.
        milliseconds: of one call, by the clock.
        host: of those, until its last command was recorded.
        kernels: slowest first; none without timestamps.
    """

    name: str
    milliseconds: float
    host: float
    kernels: tuple[KernelTime, ...]

    @property
    def gpu(self) -> float:
        """Return the milliseconds of all kernels."""
        return sum(kernel.milliseconds for kernel in self.kernels)

    @property
    def operations(self) -> int:
        """Return the floating-point operations that are counted."""
        return sum(kernel.operations for kernel in self.kernels)

    @property
    def dispatches(self) -> int:
        """Return how many kernels one call runs."""
        return sum(kernel.dispatches for kernel in self.kernels)


@dataclass(frozen=True)
class Benchmark:
    """What was measured, and on what."""

    model: str
    dtype: str
    size: tuple[int, int]
    kernels: str
    adapter: dict[str, str]
    usage: dict[str, int]
    stages: tuple[Stage, ...]
    contestants: tuple[Contestant, ...] = ()

    def report(self) -> dict[str, Any]:
        """Return the object that ``--json`` writes."""
        return {**asdict(self), "stages": [self._stage(stage) for stage in self.stages]}

    @staticmethod
    def _stage(stage: Stage) -> dict[str, Any]:
        sums = {name: getattr(stage, name) for name in ("gpu", "operations", "dispatches")}
        return {**asdict(stage), **sums}


def bench(
    bundle: Path,
    model: str | None,
    size: tuple[int, int] | None,
    repeats: int,
    options: LoadOptions,
    open_host: OpenHost,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Benchmark:
    """Measure a bundle's model at one size.

    Args:
        bundle: a bundle's folder.
        model: which of its models; the first unless given.
        size: (width, height) in pixels; the model's own unless given.
        repeats: calls that are timed.
        options: how the model is loaded.
        open_host: opens a page, as of :func:`wsd.render.open_renderer`.
        progress: told what is done.
        checkpoint: what the model was built from, for others to be measured beside it.

    Raises:
        BundleError: if the folder is not a bundle.
        UsageError: for a model or size that it does not hold.
        RenderError, ToolError: if it cannot be run.
    """
    path = find_manifest(bundle, model)
    manifest = read_manifest(path)
    check_drawing(manifest, Drawing(prompt="", size=size))
    chosen = size or tuple(manifest["defaults"]["size"])
    table = _operations(manifest, path.parent)
    work = None if checkpoint is None else make_work(checkpoint, (chosen[0], chosen[1]))
    with open_renderer(bundle, progress, options, open_host, model) as renderer:
        asked = {"size": list(chosen), "repeats": repeats}
        stages = [_stage(stage, table) for stage in renderer.call(_BENCH, [asked])]
        usage = renderer.usage()
        error = None if work is None else our_error(renderer, work, (chosen[0], chosen[1]))
    contestants: list[Contestant | None] = []
    if work is not None and error is not None:
        guided = next(s for s in stages if s.name.startswith(GUIDED_ROLE))
        dtype = manifest["model"]["dtype"]
        contestants.append(Contestant("WSD", dtype, guided.milliseconds, error))
        contestants.append(compare_torch(work, repeats))
        contestants.append(compare_onnxruntime(work, repeats, open_host, progress))
    return Benchmark(
        model=manifest["model"]["name"],
        dtype=manifest["model"]["dtype"],
        size=(chosen[0], chosen[1]),
        kernels=options.kernels or "auto",
        adapter=renderer.adapter,
        usage=usage,
        stages=tuple(stages),
        contestants=tuple(found for found in contestants if found is not None),
    )


def _operations(manifest: dict[str, Any], folder: Path) -> dict[str, int]:
    """Return kernel → operations of one run, where they are known."""
    if "kernels" not in manifest:
        return {}
    table = json.loads((folder / manifest["kernels"]["file"]).read_text())
    return {name: found[0]["operations"] for name, found in table["kernels"].items()}


def _stage(stage: dict[str, Any], operations: dict[str, int]) -> Stage:
    kernels = [
        KernelTime(
            found["kernel"],
            found["dispatches"],
            found["milliseconds"],
            found["calls"] * operations.get(found["kernel"], 0),
        )
        for found in stage["kernels"]
    ]
    slowest = sorted(kernels, key=lambda kernel: -kernel.milliseconds)
    return Stage(stage["stage"], stage["milliseconds"], stage["host"], tuple(slowest))


def describe(found: Benchmark, most: int = _KERNELS_SHOWN) -> Sequence[str]:
    """Return the report's lines."""
    adapter = " ".join(text for text in found.adapter.values() if text)
    width, height = found.size
    lines = [f"{found.model} {found.dtype} {width}x{height}, kernels {found.kernels}, {adapter}"]
    for stage in found.stages:
        rate = stage.operations / stage.milliseconds / 1e9 if stage.milliseconds else 0.0
        lines.append(
            f"{stage.name:24} {stage.milliseconds:9.2f} ms, recorded in {stage.host:.2f}; "
            f"{stage.dispatches} kernels {stage.gpu:.2f} ms; {rate:.1f} TFLOP/s"
        )
        lines += [
            f"  {kernel.milliseconds:9.3f} ms {kernel.dispatches:4} x {kernel.name}"
            + (
                f" {kernel.operations / kernel.milliseconds / 1e9:.1f} TFLOP/s"
                if kernel.operations and kernel.milliseconds
                else ""
            )
            for kernel in stage.kernels[:most]
        ]
    if found.contestants:
        ours = found.contestants[0]
        lines.append("one guided step's UNet:")
        lines += [
            f"{entry.name:24} {entry.milliseconds:9.2f} ms, {entry.dtype}, "
            f"relative error {entry.error:.1e}, "
            f"{entry.milliseconds / ours.milliseconds:.2f} times WSD's time"
            for entry in found.contestants
        ]
    return lines
