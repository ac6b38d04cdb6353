"""``wsd bench``: how long a bundle's stages and kernels take on this machine's WebGPU.

Each compiled function is called with random inputs. A stage's time is taken by the clock
over several calls, each recorded while the GPU computes the one before, as the denoising
loop does. What the GPU alone takes for a call is taken by its own clock, with all commands
recorded before; the rest is the host's overhead. Kernels are timed in a call of their own,
because that takes time itself. Operations are those of products and attention, as a
published count has them; bytes are those of everything that a kernel is given, read or
written once. What the GPU does at most is measured before, in the same page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.checkpoint.reader import Checkpoint
from wsd.evaluate.baselines import Measurement, compare_others, make_work, our_error
from wsd.runtime.driver import LoadOptions, OpenHost, check_drawing, open_renderer
from wsd.runtime.request import GenerationRequest
from wsd.spec.roles import GUIDED_DENOISER
from wsd.util.progress import Progress

_BENCH = "([options]) => attempt(() => pipe.remote.bench(options))"
_KERNELS_SHOWN = 8
_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6))


@dataclass(frozen=True)
class Ceilings:
    """What the GPU does at most, as measured.

    Attributes:
        operations_per_second: float32 multiplications and additions, without matrix units.
        bytes_per_second: read and written by a copy.
    """

    operations_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class KernelTime:
    """One kernel in one call of a stage.

    Attributes:
        name: of the kernel.
        dispatches: how often it runs.
        milliseconds: of all its runs, by the GPU's clock.
        operations: floating-point operations of all its runs; 0 where not counted.
        moved: bytes that its runs read and write.
    """

    name: str
    dispatches: int
    milliseconds: float
    operations: int
    moved: int = 0

    def rates(self, ceilings: Ceilings) -> str:
        """Return operations and bytes a second, and shares of what the GPU does at most."""
        if not self.milliseconds:
            return ""
        seconds = self.milliseconds / 1000
        told = (
            (self.operations / seconds, "FLOP/s", ceilings.operations_per_second),
            (self.moved / seconds, "B/s", ceilings.bytes_per_second),
        )
        return ",".join(f" {_rate(*rate)}" for rate in told if rate[0])


@dataclass(frozen=True)
class Stage:
    """One compiled function.

    Attributes:
        name: of the function.
        milliseconds: of one call among others, by the clock.
        host: milliseconds of recording one call's commands.
        busy: milliseconds of the GPU alone, by its clock; None where that is not known.
        kernels: slowest first; none without timestamps.
    """

    name: str
    milliseconds: float
    host: float
    busy: float | None
    kernels: tuple[KernelTime, ...]

    @property
    def overhead(self) -> float | None:
        """Return the share of a call's time in which the GPU waits for the host."""
        return None if self.busy is None else max(0.0, 1 - self.busy / self.milliseconds)

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
    ceilings: Ceilings
    stages: tuple[Stage, ...]
    contestants: tuple[Measurement, ...] = ()

    def report(self) -> dict[str, Any]:
        """Return the object that ``--json`` writes."""
        return {**asdict(self), "stages": [self._stage(stage) for stage in self.stages]}

    @staticmethod
    def _stage(stage: Stage) -> dict[str, Any]:
        told = ("gpu", "operations", "dispatches", "overhead")
        sums = {name: getattr(stage, name) for name in told}
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
        open_host: opens a page, as of :func:`wsd.runtime.driver.open_renderer`.
        progress: told what is done.
        checkpoint: what the model was built from, for others to be measured beside it.

    Raises:
        BundleError: if the folder is not a bundle.
        UsageError: for a model or size that it does not hold.
        RenderError, ToolError: if it cannot be run.
    """
    path = find_manifest(bundle, model)
    manifest = read_manifest(path)
    check_drawing(manifest, GenerationRequest(prompt="", size=size))
    width, height = size or manifest["defaults"]["size"]
    chosen = (width, height)
    known = _read_known(manifest, path.parent)
    work = None if checkpoint is None else make_work(checkpoint, chosen)
    with open_renderer(bundle, progress, options, open_host, model) as renderer:
        asked = {"size": list(chosen), "repeats": repeats}
        measured = renderer.call(_BENCH, [asked])
        stages = [_stage(stage, known) for stage in measured["stages"]]
        usage = renderer.usage()
        contestants = []
        if work is not None:
            guided = next(s for s in stages if s.name.startswith(GUIDED_DENOISER))
            error = our_error(renderer, work, chosen)
            dtype = manifest["model"]["dtype"]
            contestants.append(Measurement("WSD", dtype, guided.milliseconds, error))
    # Once our own model has left the GPU.
    if work is not None:
        contestants += compare_others(work, repeats, open_host, progress)
    return Benchmark(
        model=manifest["model"]["name"],
        dtype=manifest["model"]["dtype"],
        size=chosen,
        kernels=options.kernels or "auto",
        adapter=renderer.adapter,
        usage=usage,
        ceilings=Ceilings(
            measured["ceilings"]["operationsPerSecond"], measured["ceilings"]["bytesPerSecond"]
        ),
        stages=tuple(stages),
        contestants=tuple(contestants),
    )


@dataclass(frozen=True)
class _Known:
    """What is known of kernels' work: kernel → operations, and bytes, of one run."""

    operations: Mapping[str, int]
    moved: Mapping[str, int]


def _read_known(manifest: dict[str, Any], folder: Path) -> _Known:
    if "kernels" not in manifest:
        return _Known({}, {})
    table = json.loads((folder / manifest["kernels"]["file"]).read_text())
    operations = {name: found[0]["operations"] for name, found in table["kernels"].items()}
    return _Known(operations, table["bytes"])


def _stage(stage: dict[str, Any], known: _Known) -> Stage:
    kernels = [
        KernelTime(
            name := found["kernel"],
            found["dispatches"],
            found["milliseconds"],
            found["calls"] * known.operations.get(name, 0),
            found["calls"] * known.moved.get(name, 0),
        )
        for found in stage["kernels"]
    ]
    slowest = tuple(sorted(kernels, key=lambda kernel: -kernel.milliseconds))
    return Stage(stage["stage"], stage["milliseconds"], stage["host"], stage["busy"], slowest)


def _rate(rate: float, unit: str, most: float | None = None) -> str:
    """Return a rate, and which share it is of the most that there can be."""
    prefix, size = next(((p, n) for p, n in _PREFIXES if rate >= n), _PREFIXES[-1])
    return f"{rate / size:.1f} {prefix}{unit}" + ("" if most is None else f" ({rate / most:.0%})")


def describe(found: Benchmark, most: int = _KERNELS_SHOWN) -> Sequence[str]:
    """Return the report's lines."""
    adapter = " ".join(text for text in found.adapter.values() if text)
    width, height = found.size
    most_operations = found.ceilings.operations_per_second
    lines = [
        f"{found.model} {found.dtype} {width}x{height}, kernels {found.kernels}, {adapter}",
        f"at most {_rate(most_operations, 'FLOP/s')} of float32 without matrix units, "
        f"{_rate(found.ceilings.bytes_per_second, 'B/s')} copied",
    ]
    for stage in found.stages:
        rate = stage.operations / stage.milliseconds * 1e3
        alone = (
            "" if stage.busy is None or stage.overhead is None
            else f", the GPU alone {stage.busy:.2f}, overhead {stage.overhead:.1%}"
        )  # fmt: skip
        lines.append(
            f"{stage.name:24} {stage.milliseconds:9.2f} ms{alone}, recorded in {stage.host:.2f}; "
            f"{stage.dispatches} kernels {stage.gpu:.2f} ms; "
            f"{_rate(rate, 'FLOP/s', most_operations)}"
        )
        lines += [
            f"  {kernel.milliseconds:9.3f} ms {kernel.dispatches:4} x {kernel.name}"
            f"{kernel.rates(found.ceilings)}"
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
