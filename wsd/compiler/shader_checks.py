"""Refuse generated shaders that a browser could not run, or that would waste its memory."""

from __future__ import annotations

from collections.abc import Mapping

from wsd.compiler.tir.dequantize import UNPACK
from wsd.compiler.tvm_compat import storage_buffers
from wsd.errors import CompileError

# WebGPU guarantees 8 storage buffers in a compute stage. All current adapters have 10, and
# tvmjs asks for 10.
MAX_STORAGE_BUFFERS = 10


def check_nothing_unpacked(shaders: Mapping[str, str]) -> None:
    """Refuse a kernel that writes an unpacked weight to memory: packing would save none.

    Raises:
        CompileError: if there is one.
    """
    if unpacking := [name for name in shaders if UNPACK in name]:
        raise CompileError(
            f"kernel {unpacking[0]} unpacks a weight into memory",
            "let the legalizer of the operator that reads the weight call packed_operand of "
            "wsd/compiler/tir/dequantize.py",
        )


def count_storage_buffers(shaders: Mapping[str, str]) -> int:
    """Return the most storage buffers that one kernel binds.

    Raises:
        CompileError: if WebGPU allows fewer.
    """
    counts = {name: len(storage_buffers(code)) for name, code in shaders.items()}
    name, most = max(counts.items(), key=lambda item: item[1])
    if most > MAX_STORAGE_BUFFERS:
        raise CompileError(
            f"kernel {name} binds {most} storage buffers, WebGPU allows {MAX_STORAGE_BUFFERS}",
            "fusion joined too many operators: limit fuse_ops in wsd/compiler/pipeline.py",
        )
    return most
