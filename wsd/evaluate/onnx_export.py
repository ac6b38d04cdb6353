"""Export a denoiser to ONNX, so that other runtimes can be measured on the same work."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from contextlib import ExitStack
from pathlib import Path

import torch

from wsd.errors import ToolError

_NEEDED = ("onnx", "onnxscript")
_OPSET = 18
# Files that onnxruntime-web reads are each one buffer of JavaScript, which is of 4 GiB at most.
FILE_BYTES = 2**30


def _fused_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Attention as one operator, onnxruntime's ``MultiHeadAttention``, its fastest.

    It takes the place of ``torch.nn.functional.scaled_dot_product_attention``, for attention
    without a mask, which is what denoisers have. The operator wants heads beside each other in one
    axis; onnxruntime's optimizer drops the transposes here with the model's own, which undo them.

    Args:
        query: (n, heads, queries, width), and so is what is returned.
        key: (n, heads, keys, width).
        value: (n, heads, keys, width).
        attn_mask: must be None.
        dropout_p: must be 0.
        is_causal: must be false.
        scale: of the scores; 1 / sqrt(width) unless given.
        enable_gqa: must be false.
    """
    assert attn_mask is None
    assert not dropout_p
    assert not is_causal
    assert not enable_gqa
    count, heads, length, width = query.shape
    joined = [part.transpose(1, 2).flatten(2) for part in (query, key, value)]
    mixed = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        joined,
        {"num_heads": heads, "scale": width**-0.5 if scale is None else scale},
        dtype=query.dtype,
        shape=(count, length, heads * width),
        version=1,
    )
    return mixed.reshape(count, length, heads, width).transpose(1, 2)


def check_exporter() -> None:
    """Refuse to go on without the exporter's packages.

    Raises:
        ToolError: naming those that are missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing or not hasattr(torch.onnx, "ops"):
        raise ToolError(
            f"exporting to ONNX needs {', '.join(missing) or 'PyTorch 2.8 or later'}",
            "pip install -e '.[compare]'",
        )


def export_denoiser(
    module: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    path: Path,
    file_bytes: int = FILE_BYTES,
) -> list[Path]:
    """Write a UNet or transformer of diffusers as ONNX, and its weights in files beside it.

    Args:
        module: of the role ``denoiser`` (:mod:`wsd.spec.roles`), in the precision of the exported
            model.
        inputs: examples by name, in the order of the module's arguments.
        path: the file to write.
        file_bytes: of weights that a file may hold; one tensor may be larger.

    Returns:
        the files of weights, ``<name>.data.0`` and so on, whose names stand in the model.

    Raises:
        ToolError: if onnx, onnxscript or PyTorch's ONNX operators are missing.
    """
    check_exporter()
    # It warns about torchvision's operators, and torchvision is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    functional = torch.nn.functional
    before = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _fused_attention
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns about its own code
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                path,
                dynamo=True,
                opset_version=_OPSET,
                input_names=list(inputs),
                output_names=["noise"],
                external_data=True,
                verbose=False,
            )
    finally:
        functional.scaled_dot_product_attention = before
    return _split_weights(path, file_bytes)


def _split_weights(path: Path, file_bytes: int) -> list[Path]:
    """Share an exported model's one file of weights out among several, and remove it."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    outside = onnx.TensorProto.EXTERNAL
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_location == outside]
    whole = path.with_name(f"{path.name}.data")
    files: list[Path] = []
    with ExitStack() as stack, whole.open("rb") as source:
        written = file_bytes
        for tensor in tensors:
            place = {entry.key: entry.value for entry in tensor.external_data}
            length = int(place["length"])
            if written + length > file_bytes:
                files.append(path.with_name(f"{whole.name}.{len(files)}"))
                target = stack.enter_context(files[-1].open("wb"))
                written = 0
            source.seek(int(place["offset"]))
            target.write(source.read(length))
            new = {"location": files[-1].name, "offset": str(written), "length": str(length)}
            del tensor.external_data[:]
            tensor.external_data.extend(
                onnx.StringStringEntryProto(key=key, value=value) for key, value in new.items()
            )
            written += length
    onnx.save(model, path)
    whole.unlink()
    return files
