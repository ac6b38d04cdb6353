"""``wsd bench --compare``: measure baselines on the same work, adapter and machine.

The work is the denoiser, a UNet or a transformer, of one guided step: both predictions of one
latent, or the only one of a UNet that takes the guidance scale as an input. onnxruntime-web runs
the module that the bundle was compiled from, with attention as one operator, in float16 where the
adapter has it. PyTorch runs the same module in float16 if it finds a GPU, in three ways: eager,
which may wait for its launches more than for the GPU; as a CUDA graph, which is launched at once;
and compiled by ``torch.compile``, as a CUDA graph too. Each prediction is compared with float32
and the checkpoint's own weights, so that the error of rounding them counts.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wsd.bundle.npm import install_packages, source_folder
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.errors import RenderError
from wsd.evaluate.metrics import relative_error
from wsd.evaluate.onnx_export import check_exporter, export_denoiser
from wsd.frontend.entry_points import make_entry_point
from wsd.runtime.automation import Automation
from wsd.runtime.driver import OpenHost, StageRenderer
from wsd.runtime.page_types import (
    AdapterDescription,
    Feed,
    OnnxFiles,
    OnnxMeasurement,
    OnnxModel,
    read_answer,
)
from wsd.runtime.server import served_files
from wsd.spec.roles import DENOISER
from wsd.util.progress import Progress
from wsd.util.terminal import say

_TIMESTEP = 500.0
_RUNTIME = "ort.webgpu.bundle.min.mjs"
_WASM = "ort-wasm-simd-threaded.asyncify.wasm"
_MODEL = "model.onnx"
_PAGE = "<!doctype html><title>onnxruntime-web</title>"


@dataclass(frozen=True)
class Measurement:
    """What one program took for a guided step's denoiser, and how well it predicted.

    Attributes:
        name: of the program.
        dtype: of the operands of its sums, as far as the program reports it.
        milliseconds: of one step.
        error: relative, of all predictions, against PyTorch in float32.
    """

    name: str
    dtype: str
    milliseconds: float
    error: float


@dataclass(frozen=True)
class Work:
    """A denoiser in float32, what it is given, and what it predicts.

    Attributes:
        module: as it is compiled, on the device where the reference runs.
        inputs: by the manifest's names, for all predictions of a guided step, float32.
        noise: (predictions, channels, height, width).
    """

    module: torch.nn.Module
    inputs: dict[str, torch.Tensor]
    noise: np.ndarray

    def one(self, index: int) -> dict[str, np.ndarray]:
        """Return the inputs of one of the predictions.

        Args:
            index: of the prediction, from 0.

        Returns:
            name → float32 array whose first axis is 1.
        """
        return {
            name: tensor[index : index + 1].cpu().numpy() for name, tensor in self.inputs.items()
        }


def make_work(checkpoint: Checkpoint, size: tuple[int, int], predictions: int) -> Work:
    """Load a checkpoint's denoiser, draw its inputs, and predict with it in float32.

    Args:
        checkpoint: holds the denoiser.
        size: (width, height) of the picture in pixels.
        predictions: of a guided step: 2, or 1 for a UNet that guides itself.
    """
    family = checkpoint.family
    component = family.component(DENOISER)
    made = make_entry_point(family, component, checkpoint.load(component), size)
    draw = torch.Generator().manual_seed(0)
    inputs = {
        spec.name: torch.randn((predictions, *spec.shape[1:]), generator=draw)
        for spec in made.inputs
    }
    inputs["latents"][:] = inputs["latents"][:1].clone()
    inputs["timestep"].fill_(_TIMESTEP)
    for name, values in family.architecture.constant_inputs(family, size).items():
        inputs[name][:] = torch.tensor(values)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    module = made.module.to(device)
    return Work(module, inputs, _predict(module, inputs).float().cpu().numpy())


def _predict(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        noise: torch.Tensor = module(*inputs.values())
    return noise


def check_packages() -> None:
    """Refuse to go on without what :func:`compare_others` needs, before anything slow.

    Raises:
        ToolError: if the exporter's packages are missing, or WSD was not installed from its
            repository, which has the lock file of onnxruntime-web.
    """
    check_exporter()
    source_folder("web/compare")


def compare_others(
    work: Work, repeats: int, open_host: OpenHost, progress: Progress
) -> Iterator[Measurement]:
    """Yield what others take: PyTorch, if it finds a GPU, and onnxruntime-web.

    Args:
        work: what each of them computes.
        repeats: calls that are timed.
        open_host: opens the page in which onnxruntime-web runs.
        progress: shows what is being measured.

    Raises:
        ToolError: if onnxruntime-web or the exporter's packages cannot be had.
        RenderError: if one cannot run the model.
    """
    if torch.cuda.is_available():
        yield from _torch(work, repeats, progress)
    yield _onnxruntime(work, repeats, open_host, progress)


def our_error(renderer: StageRenderer, work: Work, size: tuple[int, int]) -> float:
    """Return the relative error of all predictions of a bundle's denoiser.

    Args:
        renderer: the loaded bundle.
        work: the denoiser's inputs, and what it predicts in float32.
        size: (width, height) of the picture in pixels.
    """
    count = len(work.noise)
    found = [renderer.predict_noise(work.one(index), size) for index in range(count)]
    return relative_error(np.stack(found), work.noise.reshape(count, -1))


def _onnxruntime(work: Work, repeats: int, open_host: OpenHost, progress: Progress) -> Measurement:
    """Measure onnxruntime-web."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        _open_page(Path(scratch), open_host) as (page, files),
        progress.stage("onnxruntime-web", total=2) as advance,
    ):
        found = page.call("describeAdapter")
        adapter = None if found is None else read_answer(AdapterDescription, found)
        dtype = torch.float16 if adapter and adapter["f16"] else torch.float32
        # On the CPU, because the exporter creates its constants there.
        inputs = {name: tensor.to("cpu", dtype) for name, tensor in work.inputs.items()}
        weights = export_denoiser(work.module.to("cpu", dtype), inputs, Path(scratch) / _MODEL)
        advance(1)
        feeds = [_feed(name, tensor) for name, tensor in inputs.items()]
        names = [file.name for file in weights]
        answer = _measure(page, OnnxModel(**files, weights=names, feeds=feeds, repeats=repeats))
        advance(1)
    kind = np.float16 if answer["dtype"] == "float16" else np.float32
    noise = answer["bytes"].view(kind).astype(np.float32)
    error = relative_error(noise, work.noise)
    return Measurement("onnxruntime-web", answer["dtype"], answer["milliseconds"], error)


def _measure(page: Automation, given: OnnxModel) -> OnnxMeasurement:
    """Return what ``web/src/driver/onnxruntime_web.ts`` measures.

    Raises:
        RenderError: if the model cannot be run.
    """
    try:
        return read_answer(OnnxMeasurement, page.call("measureOnnxRuntime", given))
    except RenderError as error:
        raise RenderError(
            f"onnxruntime-web: {error.message}",
            "it may need more memory than a tab has: measure without --compare",
        ) from error


@contextmanager
def _open_page(folder: Path, open_host: OpenHost) -> Iterator[tuple[Automation, OnnxFiles]]:
    """Yield a page whose server serves a folder, and the addresses of the files in it.

    Args:
        folder: gets onnxruntime-web; the model is written there afterwards.
        open_host: opens the page.
    """
    sources = source_folder("web/compare")
    install_packages(sources)
    dist = sources / "node_modules" / "onnxruntime-web" / "dist"
    for file in (dist / _RUNTIME, dist / _WASM):
        shutil.copy(file, folder)
    (folder / "blank.html").write_text(_PAGE, encoding="utf-8")
    with served_files(folder) as address, open_host(address + "blank.html") as opened:
        page = Automation(opened)
        # In Node.js, onnxruntime-web looks for Node.js's modules beside its own file.
        runtime = (dist / _RUNTIME).as_uri() if page.call("isNode") else address + _RUNTIME
        yield (
            page,
            {
                "runtime": runtime,
                "wasm": address + _WASM,
                "model": address + _MODEL,
            },
        )


def _feed(name: str, tensor: torch.Tensor) -> Feed:
    array = tensor.cpu().numpy()
    data = np.frombuffer(array.tobytes(), np.uint8)
    return {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "bytes": data}


def _torch(work: Work, repeats: int, progress: Progress) -> Iterator[Measurement]:
    """Measure PyTorch in float16 on the GPU that it finds, in each of the ways that it has."""
    # A copy: rounding weights to float16 cannot be taken back.
    module = copy.deepcopy(work.module).half()
    inputs = {name: tensor.half() for name, tensor in work.inputs.items()}
    ways = {
        "PyTorch, eager": _prepare_eager,
        "PyTorch, CUDA graph": _prepare_graph,
        "PyTorch, compiled": _prepare_compiled,
    }
    with progress.stage("PyTorch", total=len(ways)) as advance:
        for name, prepare in ways.items():
            try:
                yield _measure_torch(name, prepare(module, inputs), work, repeats)
            except RuntimeError as error:
                # torch.compile needs a C compiler, which machines with a GPU may lack.
                say(f"not measured: {name}: {str(error).splitlines()[0]}", error=True)
            advance(1)


def _measure_torch(
    name: str, predict: Callable[[], torch.Tensor], work: Work, repeats: int
) -> Measurement:
    noise = predict().clone()
    predict()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        predict()
    torch.cuda.synchronize()
    milliseconds = (time.perf_counter() - started) * 1000 / repeats
    if not torch.isfinite(noise).all():
        raise RenderError(
            "PyTorch predicts infinite or NaN values in float16",
            "these weights overflow in float16: measure without --compare",
        )
    error = relative_error(noise.float().cpu().numpy(), work.noise)
    return Measurement(name, "float16", milliseconds, error)


def _prepare_eager(
    module: torch.nn.Module, inputs: dict[str, torch.Tensor]
) -> Callable[[], torch.Tensor]:
    return lambda: _predict(module, inputs)


def _prepare_graph(
    module: torch.nn.Module, inputs: dict[str, torch.Tensor]
) -> Callable[[], torch.Tensor]:
    """Capture the module as a CUDA graph, as PyTorch's notes on CUDA semantics have it."""
    aside: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            _predict(module, inputs)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        noise = _predict(module, inputs)

    def replay() -> torch.Tensor:
        graph.replay()
        return noise

    return replay


def _prepare_compiled(
    module: torch.nn.Module, inputs: dict[str, torch.Tensor]
) -> Callable[[], torch.Tensor]:
    # In place: the copy is not used otherwise any more.
    module.compile(mode="reduce-overhead")
    return lambda: _predict(module, inputs)
