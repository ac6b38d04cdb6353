"""Runs single kernel variants on a GPU, through Dawn in Node.js: for tests and for tuning."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsd.errors import RenderError
from wsd.kernels.variant import FEATURES, MAX_WORKGROUPS, Variant, adapter_class
from wsd.runtime.dawn_node import NodeProcess, open_program
from wsd.runtime.webgpu_adapter import check_adapter, is_software

_SCRATCH = "scratch"  # a number follows
_UNIFORM = "uniform"  # and its value
# The uniform buffer that a generated kernel binds after its storage buffers: the workgroups along
# x, which the shader compares with, because tvmjs spreads more than 65535 of them over z.
_POD_ARGUMENTS = "pod_arguments"
_UNIFORM_BYTES = 16


@dataclass(frozen=True)
class KernelAdapter:
    """A WebGPU adapter, as far as it decides which variants it can run.

    Attributes:
        vendor: as ``GPUAdapterInfo`` names it; so are the next two.
        architecture: of the GPU.
        description: of the GPU and its driver.
        features: WebGPU features of its device.
        threads: most threads of a workgroup.
        shared_bytes: most shared memory of a workgroup.
        subgroup_size: smallest and largest subgroup.
        subgroup_matrices: (M, N, K) of its subgroup matrix operations with f16 operands and
            f32 results.
    """

    vendor: str
    architecture: str
    description: str
    features: frozenset[str]
    threads: int
    shared_bytes: int
    subgroup_size: tuple[int, int]
    subgroup_matrices: frozenset[tuple[int, int, int]]

    @property
    def is_software(self) -> bool:
        """Tell whether it computes on the processor; generated kernels run there by default."""
        return is_software(asdict(self))

    def supports(self, variant: Variant) -> bool:
        """Tell whether the adapter can run a variant, by the rules of :mod:`wsd.spec.selection`."""
        smallest, largest = variant.subgroup_size or (0, math.inf)
        return (
            self.features.issuperset(variant.features)
            and {adapter_class(self.vendor, self.architecture)}.issuperset(variant.adapter_classes)
            and variant.threads <= self.threads
            and variant.shared_bytes <= self.shared_bytes
            and (
                variant.subgroup_matrix is None or variant.subgroup_matrix in self.subgroup_matrices
            )
            and smallest <= self.subgroup_size[0]
            and self.subgroup_size[1] <= largest
        )


@dataclass(frozen=True)
class GeneratedKernel:
    """A kernel that TVM generated, as far as running it takes.

    Attributes:
        name: of the shader's entry point.
        code: WGSL.
        grid: workgroups along x and y.
        buffers: names of its storage buffers, in the order of the bindings.
        written: those that it writes → number of values, and their dtype.
    """

    name: str
    code: str
    grid: tuple[int, int]
    buffers: tuple[str, ...]
    written: Mapping[str, tuple[int, np.dtype[Any]]]


def read_adapter(answer: Mapping[str, Any]) -> KernelAdapter:
    """Return the adapter that ``web/node/kernels.mjs`` describes in its first answer."""
    smallest, largest = answer["subgroups"]
    return KernelAdapter(
        vendor=answer["vendor"],
        architecture=answer["architecture"],
        description=answer["description"],
        features=frozenset(answer["features"]),
        threads=answer["limits"]["maxComputeInvocationsPerWorkgroup"],
        shared_bytes=answer["limits"]["maxComputeWorkgroupStorageSize"],
        # An adapter without subgroups gives no sizes.
        subgroup_size=(smallest or 0, largest or 0),
        subgroup_matrices=frozenset(
            (m, n, k)
            for operands, results, m, n, k in answer["matrices"]
            if (operands, results) == ("f16", "f32")
        ),
    )


class KernelHost:
    """A process that runs variants one at a time.

    Attributes:
        adapter: the adapter that it runs them on.
    """

    def __init__(self, start: Callable[[], NodeProcess], folder: Path) -> None:
        """Start a process, and read the adapter that it opens.

        Args:
            start: starts ``web/node``'s program of kernels.
            folder: gets a file for each buffer.

        Raises:
            RenderError: if the process has no adapter.
        """
        self._start = start
        self._folder = folder
        self._held: dict[str, str] = {}
        self._process = start()
        self.adapter = read_adapter(next(self._process.answers()))

    def supports(self, variant: Variant) -> bool:
        """Tell whether the adapter can run a variant."""
        return self.adapter.supports(variant)

    def hold(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Upload inputs for the runs that follow; inputs that were held before are freed.

        Args:
            inputs: buffer name → values.
        """
        self._held = {name: str(self._write(name, values)) for name, values in inputs.items()}
        self._ask({"hold": self._held})

    def _write(self, name: str, values: np.ndarray) -> Path:
        path = self._folder / f"{name}.bin"
        values.tofile(path)
        return path

    def run(
        self, variant: Variant, inputs: Mapping[str, np.ndarray], size: int, repeat: int = 1
    ) -> tuple[np.ndarray, float | None]:
        """Run a variant.

        Args:
            variant: the first buffer of its last launch is the result.
            inputs: buffer name → values, of the buffers that are not held.
            size: number of values of the result.
            repeat: how often the variant runs while it is timed.

        Returns:
            (result, (size,) float32; GPU time of one run in milliseconds, None on an adapter
            without timestamps).

        Raises:
            RenderError: if a launch does not compile or does not run.
        """
        result = variant.launches[-1].buffers[0]
        assert isinstance(result, str)
        buffers: dict[str, str | int] = {result: 4 * size}
        for number, count in enumerate(variant.scratch_bytes):
            buffers[f"{_SCRATCH}{number}"] = count
        for value in {launch.uniform for launch in variant.launches} - {None}:
            words = np.full(_UNIFORM_BYTES // 4, value, np.uint32)
            buffers[f"{_UNIFORM}{value}"] = str(self._write(f"{_UNIFORM}{value}", words))
        for name, values in inputs.items():
            buffers[name] = str(self._write(name, values))
        out = self._folder / "out.bin"
        launches = [
            {
                "code": launch.head + launch.body,
                "grid": launch.grid,
                "buffers": [
                    *(f"{_SCRATCH}{b}" if isinstance(b, int) else b for b in launch.buffers),
                    *([] if launch.uniform is None else [f"{_UNIFORM}{launch.uniform}"]),
                ],
            }
            for launch in variant.launches
        ]
        request = {"buffers": buffers, "launches": launches, "read": {result: str(out)}}
        answer = self._ask({**request, "repeat": repeat})
        return np.fromfile(out, np.float32)[:size], answer["ms"]

    def run_generated(
        self, kernel: GeneratedKernel, repeat: int = 1, seconds: float | None = None
    ) -> tuple[dict[str, np.ndarray], float | None]:
        """Run a kernel that TVM generated, as tvmjs does; what it reads is held.

        Args:
            kernel: the kernel.
            repeat: how often it runs while it is timed; more than 1 for several rounds, of which
                the fastest counts.
            seconds: that compiling and running it may take; None for any time.

        Returns:
            (buffer that it writes → its values, GPU time of one run in milliseconds, None on an
            adapter without timestamps).

        Raises:
            RenderError: if it does not compile or run.
            TimeoutError: if it takes longer; the process is ended, and another one holds the same.
            ChildProcessError: if the process ends, or its GPU is lost; likewise.
        """
        paths = {name: self._folder / f"out_{name}.bin" for name in kernel.written}
        x, y = kernel.grid
        along, turns = x, 1
        while along > MAX_WORKGROUPS:
            along, turns = -(-along // 2), 2 * turns
        # All four words are the same: the shader reads the first.
        pod = np.full(_UNIFORM_BYTES // 4, x, np.uint32)
        request = {
            "buffers": {
                **{name: count * dtype.itemsize for name, (count, dtype) in kernel.written.items()},
                _POD_ARGUMENTS: str(self._write(_POD_ARGUMENTS, pod)),
            },
            "launches": [
                {
                    "code": kernel.code,
                    "entry": kernel.name,
                    "grid": (along, y, turns),
                    "buffers": [*kernel.buffers, _POD_ARGUMENTS],
                }
            ],
            "read": {name: str(path) for name, path in paths.items()},
        }
        answer = self._ask({**request, "repeat": repeat}, seconds)
        results = {
            name: np.fromfile(paths[name], dtype)[:count]
            for name, (count, dtype) in kernel.written.items()
        }
        return results, answer["ms"]

    def _ask(self, request: dict[str, Any], seconds: float | None = None) -> dict[str, Any]:
        self._process.send(request)
        try:
            if seconds is None:
                return next(self._process.answers())
            return self._process.answer_within(seconds)
        except TimeoutError:
            self._restart()
            raise
        except RenderError as error:
            if not self._process.has_ended:
                raise
            self._restart()
            raise ChildProcessError(str(error)) from error

    def _restart(self) -> None:
        self._process = self._start()
        next(self._process.answers())
        self._process.send({"hold": self._held})
        next(self._process.answers())


@contextmanager
def open_kernel_host() -> Iterator[KernelHost]:
    """Yield a host on the adapter that ``WSD_WEBGPU_ADAPTER`` names.

    Raises:
        ToolError: if Node.js is missing or Dawn cannot be installed, or if Dawn shall take the
            GPU and cannot.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        host = KernelHost(
            lambda: stack.enter_context(open_program("kernels.mjs", *FEATURES)), Path(scratch)
        )
        check_adapter(asdict(host.adapter))
        yield host
