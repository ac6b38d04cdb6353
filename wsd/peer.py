"""``wsd bench --compare``: others on the same work, on the same adapter, in the same run.

The work is one guided step's UNet: both predictions of one latent. onnxruntime-web gets the
module that the bundle was compiled from, its attention as one operator, in half precision
where the adapter has it; PyTorch gets the same module in half precision, if it finds a GPU.
What each predicts is compared with float32 and the checkpoint's own weights, so that
rounding counts too.
"""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsd.accuracy import relative_error
from wsd.checkpoint import Checkpoint
from wsd.errors import RenderError
from wsd.npm import install_packages, source_folder
from wsd.onnx_export import export_unet
from wsd.progress import Progress
from wsd.render import OpenHost, Renderer
from wsd.serve import served_files

_TIMESTEP = 500.0
_RUNTIME = "ort.webgpu.bundle.min.mjs"
_WASM = "ort-wasm-simd-threaded.asyncify.wasm"
_MODEL = "model.onnx"
_PAGE = "<!doctype html><title>peer</title>"
_PROGRAM = "peer.mjs"
_CALL = """async ([program, name, given]) => {
  try {
    const found = await (globalThis.importModule?.(program) ?? import(program));
    return { value: await found[name](...given) };
  } catch (error) { return { failure: String(error?.message ?? error) }; }
}"""
_IN_NODE = "() => globalThis.process?.versions?.node !== undefined"


@dataclass(frozen=True)
class Contestant:
    """What one program took for a guided step's UNet, and how well it predicted.

    Attributes:
        name: of the program.
        dtype: of its sums' operands, as far as it is told.
        milliseconds: of one step.
        error: relative, of both predictions, against PyTorch in float32.
    """

    name: str
    dtype: str
    milliseconds: float
    error: float


@dataclass(frozen=True)
class Work:
    """A UNet in float32, what it is given, and what it predicts.

    Attributes:
        unet: of diffusers, on the device where the reference runs.
        inputs: by the manifest's names, two predictions' worth, float32.
        noise: (2, channels, height, width).
    """

    unet: Any
    inputs: dict[str, torch.Tensor]
    noise: np.ndarray

    def one(self, index: int) -> dict[str, np.ndarray]:
        """Return the inputs of one of the two predictions."""
        return {
            name: (tensor if tensor.shape[0] == 1 else tensor[index : index + 1]).cpu().numpy()
            for name, tensor in self.inputs.items()
        }


def make_work(checkpoint: Checkpoint, size: tuple[int, int]) -> Work:
    """Load a checkpoint's UNet, draw its inputs, and predict with it in float32."""
    family = checkpoint.family
    component = family.component("unet")
    config = component.config
    device = "cuda" if torch.cuda.is_available() else "cpu"
    width, height = size
    factor = family.vae_scale_factor
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(
        (1, config["in_channels"], height // factor, width // factor), generator=draw
    )
    texts = family.text_encoders()
    tokens = texts[0].config["max_position_embeddings"]
    inputs = {
        "latents": torch.cat([latents, latents]),
        "timestep": torch.tensor([_TIMESTEP]),
        "text_embeddings": torch.randn((2, tokens, config["cross_attention_dim"]), generator=draw),
    }
    if config.get("addition_embed_type") == "text_time":
        pooled = texts[-1].config["projection_dim"]
        inputs["pooled_text"] = torch.randn((2, pooled), generator=draw)
        inputs["time_ids"] = torch.tensor([[height, width, 0, 0, height, width]] * 2).float()
    inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
    unet = checkpoint.load(component).to(device)
    return Work(unet, inputs, _predict(unet, inputs).float().cpu().numpy())


def _predict(unet: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    latents, timestep, text, *rest = inputs.values()
    added = {"text_embeds": rest[0], "time_ids": rest[1]} if rest else None
    with torch.no_grad():
        noise: torch.Tensor = unet(latents, timestep, text, added_cond_kwargs=added).sample
    return noise


def our_error(renderer: Renderer, work: Work, size: tuple[int, int]) -> float:
    """Return the relative error of a bundle's UNet."""
    found = [renderer.predict_noise(work.one(index), size) for index in (0, 1)]
    return relative_error(np.stack(found), work.noise.reshape(2, -1))


def compare_onnxruntime(
    work: Work, repeats: int, open_host: OpenHost, progress: Progress
) -> Contestant:
    """Measure onnxruntime-web.

    Raises:
        ToolError: if it or the exporter's packages cannot be had.
        RenderError: if it cannot run the model.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        _open_peer(Path(scratch), open_host) as peer,
        progress.stage("onnxruntime-web", total=2) as advance,
    ):
        dtype = torch.float16 if peer.call("supportsHalves") else torch.float32
        # Constants that the exporter makes are on the processor.
        inputs = {name: tensor.to("cpu", dtype) for name, tensor in work.inputs.items()}
        # Not by diffusers' own method, which warns of models that want float32 in places.
        unet = torch.nn.Module.to(work.unet, "cpu", dtype)
        export_unet(unet, inputs, Path(scratch) / _MODEL)
        advance(1)
        feeds = [_feed(name, tensor) for name, tensor in inputs.items()]
        answer = peer.call("measure", {**peer.files, "feeds": feeds, "repeats": repeats})
        advance(1)
    kind = np.float16 if answer["dtype"] == "float16" else np.float32
    noise = np.frombuffer(base64.b64decode(answer["noise"]), kind).astype(np.float32)
    error = relative_error(noise, work.noise)
    return Contestant("onnxruntime-web", answer["dtype"], answer["milliseconds"], error)


@dataclass(frozen=True)
class _Peer:
    """A page, the address of its program, and those of the files that it takes."""

    page: Any
    program: str
    files: dict[str, Any]

    def call(self, name: str, *given: Any) -> Any:
        """Call one of the program's functions."""
        answer = self.page.evaluate(_CALL, [self.program, name, list(given)])
        if failure := answer.get("failure"):
            hint = "it may need more memory than a tab has: measure without --compare"
            raise RenderError(f"onnxruntime-web: {failure}", hint)
        return answer["value"]


@contextmanager
def _open_peer(folder: Path, open_host: OpenHost) -> Iterator[_Peer]:
    """Yield a page whose server has a folder, where the model will be."""
    sources = source_folder("web/compare")
    install_packages(sources)
    dist = sources / "node_modules" / "onnxruntime-web" / "dist"
    for file in (sources / _PROGRAM, dist / _RUNTIME, dist / _WASM):
        shutil.copy(file, folder)
    (folder / "blank.html").write_text(_PAGE)
    with served_files(folder) as address, open_host(address + "blank.html") as page:
        # Node.js takes programs from files: they look for Node.js's own modules beside them.
        in_node = bool(page.evaluate(_IN_NODE, []))
        programs = (sources / _PROGRAM).as_uri(), (dist / _RUNTIME).as_uri()
        program, runtime = programs if in_node else (address + _PROGRAM, address + _RUNTIME)
        weights = {"name": f"{_MODEL}.data", "url": f"{address}{_MODEL}.data"}
        files = {"runtime": runtime, "wasm": address + _WASM, "model": address + _MODEL}
        yield _Peer(page, program, {**files, "weights": weights})


def _feed(name: str, tensor: torch.Tensor) -> dict[str, Any]:
    array = tensor.cpu().numpy()
    return {
        "name": name,
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "values": base64.b64encode(array.tobytes()).decode(),
    }


def compare_torch(work: Work, repeats: int) -> Contestant | None:
    """Measure PyTorch as it is, in half precision on its GPU; None without one."""
    if not torch.cuda.is_available():
        return None
    unet = work.unet.half()
    inputs = {name: tensor.half() for name, tensor in work.inputs.items()}
    noise = _predict(unet, inputs)
    _predict(unet, inputs)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        _predict(unet, inputs)
    torch.cuda.synchronize()
    milliseconds = (time.perf_counter() - started) * 1000 / repeats
    if not torch.isfinite(noise).all():
        raise RenderError("PyTorch predicts no numbers in half precision", "check the weights")
    error = relative_error(noise.float().cpu().numpy(), work.noise)
    return Contestant("PyTorch, eager", "float16", milliseconds, error)
