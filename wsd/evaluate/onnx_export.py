"""Export a UNet to ONNX, so that other runtimes can be measured on the same work."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from wsd.errors import ToolError

_NEEDED = ("onnx", "onnxscript")
_OPSET = 18


class _FusedAttention:
    """Attention as one operator, onnxruntime's ``MultiHeadAttention``, its fastest.

    This is an attention processor of diffusers (``Attention.set_processor``), for attention without
    a mask.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        assert attention_mask is None
        assert temb is None
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.to_q(hidden_states)
        mixed = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query, attn.to_k(context), attn.to_v(context)),
            {"num_heads": attn.heads, "scale": float(attn.scale)},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
        out: torch.Tensor = attn.to_out[0](mixed)
        return out


def export_unet(module: torch.nn.Module, inputs: dict[str, torch.Tensor], path: Path) -> None:
    """Write a UNet of diffusers as ONNX, and its weights beside it as ``<name>.data``.

    Args:
        module: a :class:`wsd.models.stable_diffusion.wrappers.Denoiser`, in the
            precision of the exported model.
        inputs: examples by name, in the order of the module's arguments.
        path: the file to write.

    Raises:
        ToolError: if onnx, onnxscript or PyTorch's ONNX operators are missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing or not hasattr(torch.onnx, "ops"):
        raise ToolError(
            f"exporting to ONNX needs {', '.join(missing) or 'PyTorch 2.8 or later'}",
            "pip install -e '.[compare]'",
        )
    # It warns about torchvision's operators, and torchvision is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    unet: Any = module.model
    before = dict(unet.attn_processors)
    unet.set_attn_processor(_FusedAttention())
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
        unet.set_attn_processor(before)
