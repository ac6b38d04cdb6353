"""Single kernels on a GPU, through Dawn in Node.js: for tests and for tuning."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wsd.kernels.variant import Variant
from wsd.runtime.dawn_node import NodeProcess, open_program

_SCRATCH = "scratch"


class KernelHost:
    """A process that runs variants one at a time.

    Attributes:
        adapter: what it runs on: vendor, features, limits, matrix units.
    """

    def __init__(self, process: NodeProcess, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.adapter = next(process.answers())

    def supports(self, variant: Variant) -> bool:
        """Tell whether the adapter can run a variant."""
        limits = self.adapter["limits"]
        least, most = variant.subgroup_size or (0, math.inf)
        smallest, largest = self.adapter["subgroups"]
        units = [tuple(found[2:]) for found in self.adapter["matrices"] if found[1] == "f32"]
        return (
            set(variant.features) <= set(self.adapter["features"])
            and variant.threads <= limits["maxComputeInvocationsPerWorkgroup"]
            and variant.shared_bytes <= limits["maxComputeWorkgroupStorageSize"]
            and (variant.subgroup_matrix is None or variant.subgroup_matrix in units)
            and least <= smallest <= largest <= most
        )

    def hold(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Keep inputs on the GPU for the runs that follow, instead of those held before."""
        buffers = {name: str(self._write(name, values)) for name, values in inputs.items()}
        self._ask({"hold": buffers})

    def _write(self, name: str, values: np.ndarray) -> Path:
        path = self._folder / f"{name}.bin"
        values.tofile(path)
        return path

    def run(
        self, variant: Variant, inputs: Mapping[str, np.ndarray], size: int, repeat: int = 1
    ) -> tuple[np.ndarray, float | None]:
        """Run a variant.

        Args:
            variant: whose first buffer, of its last launch, is the result.
            inputs: by the names of its buffers, those that are held left out.
            size: values of the result, float32.
            repeat: how often it is run to be timed.

        Returns:
            (the result (size,), milliseconds of one run by the GPU's clock if it has one).

        Raises:
            RenderError: if it does not compile or run.
        """
        result = variant.launches[-1].buffers[0]
        assert result is not None
        buffers: dict[str, str | int] = {result: 4 * size}
        if variant.scratch_bytes:
            buffers[_SCRATCH] = variant.scratch_bytes
        for name, values in inputs.items():
            buffers[name] = str(self._write(name, values))
        out = self._folder / "out.bin"
        launches = [
            {
                "code": launch.head + launch.body,
                "grid": launch.grid,
                "buffers": [name or _SCRATCH for name in launch.buffers],
            }
            for launch in variant.launches
        ]
        request = {"buffers": buffers, "launches": launches, "read": {result: str(out)}}
        answer = self._ask({**request, "repeat": repeat})
        return np.fromfile(out, np.float32)[:size], answer["ms"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._process.send(request)
        return next(self._process.answers())


@contextmanager
def open_kernel_host() -> Iterator[KernelHost]:
    """Yield a host on the adapter that ``WSD_WEBGPU_ADAPTER`` names.

    Raises:
        ToolError: if Node.js or Dawn cannot be had.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_program("kernels.mjs") as process,
    ):
        yield KernelHost(process, Path(scratch))
