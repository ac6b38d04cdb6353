"""``wsd bench``: how long a bundle's stages and kernels take on this machine's WebGPU.

Each compiled function is called with random inputs. A stage's time is the median of several
calls by the wall clock, each recorded while the GPU computes the one before, as in the
denoising loop. The GPU time of a call is taken by the GPU's clock with all commands recorded
before; the rest of the stage's time is overhead of the host. Kernels are timed in a call of
their own, because their timestamps take time. Operations are those of GEMM and attention, two
for a multiply-add, as papers count them; bytes accessed are those of all buffers that a kernel
binds, each counted once. The page measures the roofline before. Each kernel comes with the name
of the variant that ran (:mod:`wsd.kernels.registry`), or ``generated``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.model_files import read_kernel_work
from wsd.bundle.verify import check_bundle
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.checkpoint.safetensors_file import list_safetensors
from wsd.evaluate.baselines import Measurement, compare_others, make_work, our_error
from wsd.evaluate.lora_times import LORA, LoraTimes, time_lora
from wsd.runtime.developer_build import check_developer_tvm
from wsd.runtime.driver import (
    LoadOptions,
    OpenHost,
    open_stage_renderer,
    prepare_stages,
)
from wsd.runtime.page_types import StageTimes, TuneReport, Usage, VariantChoice
from wsd.runtime.request import GenerationRequest
from wsd.runtime.text_encoder_choice import choose_encoders
from wsd.runtime.validation import check_ignored_rules, check_request
from wsd.spec.manifest import Manifest
from wsd.spec.roles import DENOISER, GUIDED_DENOISER
from wsd.util.progress import Progress

_KERNELS_SHOWN = 8
_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6))


@dataclass(frozen=True)
class Roofline:
    """The most that the GPU does in a second, as measured.

    Attributes:
        operations_per_second: float32 operations, two for a multiply-add, without subgroup
            matrices.
        bytes_per_second: bytes that a copy reads and writes.
    """

    operations_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class KernelTime:
    """One kernel in one call of a stage.

    Attributes:
        name: the kernel's name in the library.
        variant: name of the variant that ran in its place, or ``generated``.
        dispatches: compute passes of all its runs.
        milliseconds: GPU time of all its runs.
        operations: floating-point operations of all its runs; 0 where they are not counted.
        bytes_accessed: bytes that its runs read and write.
    """

    name: str
    variant: str
    dispatches: int
    milliseconds: float
    operations: int
    bytes_accessed: int = 0

    def rates(self, roofline: Roofline) -> str:
        """Return operations and bytes per second, and their shares of the roofline."""
        if not self.milliseconds:
            return ""
        seconds = self.milliseconds / 1000
        measured = (
            (self.operations / seconds, "FLOP/s", roofline.operations_per_second),
            (self.bytes_accessed / seconds, "B/s", roofline.bytes_per_second),
        )
        return ",".join(f" {_rate(*rate)}" for rate in measured if rate[0])


@dataclass(frozen=True)
class VariantShare:
    """All kernels in which one variant ran.

    Attributes:
        variant: its name, or ``generated``.
        kernels: how many different kernels.
        milliseconds: GPU time of their runs in one call of each stage.
        share: of the GPU time of all kernels, 0 to 1.
    """

    variant: str
    kernels: int
    milliseconds: float
    share: float


@dataclass(frozen=True)
class StageReport:
    """A stage as ``--json`` has it: a :class:`Stage`, and sums over its kernels."""

    name: str
    milliseconds: float
    record_milliseconds: float
    gpu_milliseconds: float | None
    kernels: tuple[KernelTime, ...]
    kernel_milliseconds: float
    operations: int
    dispatches: int
    overhead: float | None
    variants: tuple[VariantShare, ...]


@dataclass(frozen=True)
class BenchmarkReport:
    """What ``wsd bench --json`` writes: a :class:`Benchmark`, and sums over all kernels."""

    model: str
    dtype: str
    size: tuple[int, int]
    kernels: str
    adapter: dict[str, str]
    usage: Usage
    roofline: Roofline
    stages: tuple[StageReport, ...]
    baselines: tuple[Measurement, ...]
    lora: LoraTimes | None
    tuning: TuneReport | None
    variants: tuple[VariantShare, ...]


@dataclass(frozen=True)
class Stage:
    """One compiled function.

    Attributes:
        name: name of the function.
        milliseconds: wall time of one call among others.
        record_milliseconds: wall time of recording one call's commands.
        gpu_milliseconds: GPU time of one call; None where it cannot be measured.
        kernels: slowest first; none without timestamps.
    """

    name: str
    milliseconds: float
    record_milliseconds: float
    gpu_milliseconds: float | None
    kernels: tuple[KernelTime, ...]

    @property
    def overhead(self) -> float | None:
        """Return the share of a call's time in which the GPU waits for the host."""
        if self.gpu_milliseconds is None:
            return None
        return max(0.0, 1 - self.gpu_milliseconds / self.milliseconds)

    @property
    def kernel_milliseconds(self) -> float:
        """Return the GPU time of all kernels, timed one by one."""
        return sum(kernel.milliseconds for kernel in self.kernels)

    @property
    def operations(self) -> int:
        """Return the floating-point operations that are counted."""
        return sum(kernel.operations for kernel in self.kernels)

    @property
    def dispatches(self) -> int:
        """Return how many compute passes one call records."""
        return sum(kernel.dispatches for kernel in self.kernels)

    def report(self) -> StageReport:
        """Return the stage as ``--json`` has it."""
        return StageReport(
            name=self.name,
            milliseconds=self.milliseconds,
            record_milliseconds=self.record_milliseconds,
            gpu_milliseconds=self.gpu_milliseconds,
            kernels=self.kernels,
            kernel_milliseconds=self.kernel_milliseconds,
            operations=self.operations,
            dispatches=self.dispatches,
            overhead=self.overhead,
            variants=_shares(self.kernels),
        )


@dataclass(frozen=True)
class Benchmark:
    """What was measured, and on what.

    Attributes:
        model: name of the family.
        dtype: how the bundle stores weights.
        size: (width, height) of the picture in pixels.
        kernels: the option ``kernels`` that the model was loaded with.
        adapter: vendor, architecture and description of the GPU, as WebGPU gives them.
        usage: what the page's runtime held afterwards.
        roofline: the most that the GPU does in a second.
        stages: the compiled functions, in the order in which a picture needs them.
        baselines: WSD itself, then what was measured beside it; none without ``--compare``.
        lora: what a LoRA took; None without ``--load-lora``.
        tuning: what tuning found after all that; None without ``--tune``.
    """

    model: str
    dtype: str
    size: tuple[int, int]
    kernels: str
    adapter: dict[str, str]
    usage: Usage
    roofline: Roofline
    stages: tuple[Stage, ...]
    baselines: tuple[Measurement, ...] = ()
    lora: LoraTimes | None = None
    tuning: TuneReport | None = None

    def variants(self) -> tuple[VariantShare, ...]:
        """Return the share of GPU time of each variant, the largest first."""
        return _shares([kernel for stage in self.stages for kernel in stage.kernels])

    def report(self) -> BenchmarkReport:
        """Return what ``--json`` writes."""
        return BenchmarkReport(
            model=self.model,
            dtype=self.dtype,
            size=self.size,
            kernels=self.kernels,
            adapter=self.adapter,
            usage=self.usage,
            roofline=self.roofline,
            stages=tuple(stage.report() for stage in self.stages),
            baselines=self.baselines,
            lora=self.lora,
            tuning=self.tuning,
            variants=self.variants(),
        )


def bench(
    bundle: Path,
    model: str | None,
    size: tuple[int, int] | None,
    repeats: int,
    options: LoadOptions,
    open_host: OpenHost,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    lora: Path | None = None,
    tuning_seconds: float | None = None,
    on_found: Callable[[Benchmark], None] = lambda _: None,
) -> Benchmark:
    """Measure a bundle's model at one size.

    Args:
        bundle: a bundle's folder.
        model: which of its models; the first unless given.
        size: (width, height) in pixels; the model's own unless given.
        repeats: calls that are timed.
        options: how the model is loaded.
        open_host: opens a page, as of :func:`wsd.runtime.driver.open_stage_renderer`.
        progress: shows what is being measured.
        checkpoint: what the model was built from, for others to be measured beside it.
        lora: a LoRA's file, which is loaded, scaled and unloaded.
        tuning_seconds: how long kernels are tuned at the end; they are not unless given.
        on_found: called with what is known so far, once the bundle is measured and after each
            other program: those may take minutes, and may fail.

    Raises:
        BundleError: if the folder is not a bundle, or one of its files is not what was built.
        UsageError: for a model, size or selection rule that it does not hold.
        CheckpointError: if the LoRA's file cannot be read.
        RenderError, ToolError: if it cannot be run.
    """
    path = find_manifest(bundle, model)
    manifest = choose_encoders(read_manifest(path), options.text_encoder_3)
    check_ignored_rules(manifest, options.ignored_rules)
    check_request(manifest, GenerationRequest(prompt="", size=size))
    check_developer_tvm(bundle, manifest)
    if lora is not None:
        list_safetensors(lora)
    check_bundle(bundle)
    prepare_stages(bundle, manifest, open_host)
    chosen = size or manifest.defaults.size
    kernel_work = _read_kernel_work(manifest, path.parent)
    # A UNet that takes the guidance scale as an input has no function for two predictions.
    (denoiser,) = manifest.entries(GUIDED_DENOISER, chosen) or manifest.entries(DENOISER, chosen)
    predictions = 2 if denoiser.role == GUIDED_DENOISER else 1
    work = None if checkpoint is None else make_work(checkpoint, chosen, predictions)
    given = {} if lora is None else {LORA: lora}
    with open_stage_renderer(bundle, progress, options, open_host, model, given) as renderer:
        measured = renderer.run_benchmark(chosen, repeats)
        stages = [_stage(stage, kernel_work) for stage in measured["stages"]]
        usage = renderer.usage()
        baselines = []
        if work is not None:
            guided = next(stage for stage in stages if stage.name == denoiser.name)
            error = our_error(renderer, work, chosen)
            dtype = manifest.model.dtype
            baselines.append(Measurement("WSD", dtype, guided.milliseconds, error))
        # Last, because a LoRA changes weights; what it takes back is not measured again.
        lora_times = None if lora is None else time_lora(renderer, lora.stat().st_size)
        # It changes what runs, so that everything else was timed before.
        tuning = None if tuning_seconds is None else renderer.tune(tuning_seconds)
    found = Benchmark(
        model=manifest.model.name,
        dtype=manifest.model.dtype,
        size=chosen,
        kernels=options.kernels or "auto",
        adapter=renderer.adapter,
        usage=usage,
        roofline=Roofline(
            measured["roofline"]["operationsPerSecond"], measured["roofline"]["bytesPerSecond"]
        ),
        stages=tuple(stages),
        baselines=tuple(baselines),
        lora=lora_times,
        tuning=tuning,
    )
    on_found(found)
    # Once our own model has left the GPU.
    for other in () if work is None else compare_others(work, repeats, open_host, progress):
        found = replace(found, baselines=(*found.baselines, other))
        on_found(found)
    return found


@dataclass(frozen=True)
class _KernelWork:
    """Work of one run: kernel → floating-point operations, and bytes accessed."""

    operations: Mapping[str, int]
    bytes_accessed: Mapping[str, int]


def _read_kernel_work(manifest: Manifest, folder: Path) -> _KernelWork:
    if manifest.kernels is None:
        return _KernelWork({}, {})
    found = read_kernel_work(folder / manifest.kernels.file)
    return _KernelWork(found["operations"], found["bytes"])


def _stage(stage: StageTimes, work: _KernelWork) -> Stage:
    kernels = [
        KernelTime(
            name := found["kernel"],
            found["variant"],
            found["dispatches"],
            found["milliseconds"],
            found["calls"] * work.operations.get(name, 0),
            found["calls"] * work.bytes_accessed.get(name, 0),
        )
        for found in stage["kernels"]
    ]
    slowest = tuple(sorted(kernels, key=lambda kernel: -kernel.milliseconds))
    return Stage(
        stage["stage"],
        stage["milliseconds"],
        stage["recordMilliseconds"],
        stage["gpuMilliseconds"],
        slowest,
    )


def _shares(kernels: Sequence[KernelTime]) -> tuple[VariantShare, ...]:
    """Return the share of GPU time of each variant, the largest first."""
    total = sum(kernel.milliseconds for kernel in kernels)
    shares = []
    for variant in {kernel.variant for kernel in kernels}:
        own = [kernel for kernel in kernels if kernel.variant == variant]
        milliseconds = sum(kernel.milliseconds for kernel in own)
        names = {kernel.name for kernel in own}
        share = milliseconds / total if total else 0.0
        shares.append(VariantShare(variant, len(names), milliseconds, share))
    return tuple(sorted(shares, key=lambda share: (-share.milliseconds, share.variant)))


def _rate(rate: float, unit: str, most: float | None = None) -> str:
    """Return a rate, and which share it is of the most that there can be."""
    prefix, size = next(((p, n) for p, n in _PREFIXES if rate >= n), _PREFIXES[-1])
    return f"{rate / size:.1f} {prefix}{unit}" + ("" if most is None else f" ({rate / most:.0%})")


def describe(found: Benchmark, most: int = _KERNELS_SHOWN) -> Sequence[str]:
    """Return the report's lines."""
    adapter = " ".join(text for text in found.adapter.values() if text)
    width, height = found.size
    most_operations = found.roofline.operations_per_second
    lines = [
        f"{found.model} {found.dtype} {width}x{height}, kernels {found.kernels}, {adapter}",
        f"at most {_rate(most_operations, 'FLOP/s')} of float32 without subgroup matrices, "
        f"{_rate(found.roofline.bytes_per_second, 'B/s')} copied",
    ]
    for stage in found.stages:
        rate = stage.operations / stage.milliseconds * 1e3
        alone = (
            "" if stage.gpu_milliseconds is None or stage.overhead is None
            else f", the GPU alone {stage.gpu_milliseconds:.2f}, overhead {stage.overhead:.1%}"
        )  # fmt: skip
        lines.append(
            f"{stage.name:24} {stage.milliseconds:9.2f} ms{alone}, recorded in "
            f"{stage.record_milliseconds:.2f}; "
            f"{stage.dispatches} kernels {stage.kernel_milliseconds:.2f} ms; "
            f"{_rate(rate, 'FLOP/s', most_operations)}"
        )
        lines += [
            f"  {kernel.milliseconds:9.3f} ms {kernel.dispatches:4} x {kernel.name} "
            f"[{kernel.variant}]{kernel.rates(found.roofline)}"
            for kernel in stage.kernels[:most]
        ]
    if shares := found.variants():
        lines.append("GPU time by kernel variant:")
        lines += [
            f"  {entry.share:6.1%} {entry.milliseconds:9.3f} ms {entry.variant}, "
            f"{entry.kernels} kernels"
            for entry in shares
        ]
    if found.lora is not None:
        lines.append(found.lora.describe())
    if found.tuning is not None:
        lines += _describe_tuning(found.tuning)
    if found.baselines:
        ours = found.baselines[0]
        lines.append("one guided step's denoiser:")
        lines += [
            f"{entry.name:24} {entry.milliseconds:9.2f} ms, {entry.dtype}, "
            f"relative error {entry.error:.1e}, "
            f"{entry.milliseconds / ours.milliseconds:.2f} times WSD's time"
            for entry in found.baselines
        ]
    return lines


def _describe_tuning(found: TuneReport) -> Sequence[str]:
    """Return the lines of the report that say what tuning found."""
    rest = "" if found["complete"] else "; the time was up before all were timed"
    return [
        f"tuned in {found['seconds']:.1f} s: other variants in {found['changed']} of "
        f"{found['kernels']} kernels, a picture {found['gain']:.2f} times as fast{rest}",
        *(
            f"  {each['before']:9.2f} ms to {each['after']:9.2f} {each['name']}, "
            f"{each['changed']} of {each['kernels']} kernels"
            for each in found["functions"]
        ),
        *(
            f"  {kernels:4} kernels {name}"
            for name, kernels in Counter(map(_name_choice, found["choices"].values())).most_common()
        ),
    ]


def _name_choice(choice: VariantChoice) -> str:
    """Return a variant's name with its tile, if it has one."""
    tile = choice.get("tile")
    return choice["variant"] if tile is None else f"{choice['variant']}, {tile}"
