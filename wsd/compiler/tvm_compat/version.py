"""The version of the installed TVM, known here, and modules whose names depend on it."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

# WSD passes no tensors from PyTorch to TVM. Without this, apache-tvm would compile a DLPack
# bridge for PyTorch before 2.10, which takes seconds and needs a C++ compiler. The variable
# turns it off in one place, the replaced function in the other.
os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")
if importlib.util.find_spec("tvm_ffi") is not None:
    _bridge: Any = importlib.import_module("tvm_ffi._optional_torch_c_dlpack")
    _bridge.load_torch_c_dlpack_extension = lambda: None

import tvm

from wsd.errors import ToolError


def version() -> str:
    """Return TVM's version, such as ``0.27.0.post1``."""
    return str(tvm.__version__)


def is_reference_lane() -> bool:
    """Tell whether this is TVM v0.21, the version that the container pins."""
    return version().startswith("0.21.")


def first_module(*names: str) -> Any:
    """Import the first of some modules that this TVM has.

    Raises:
        ToolError: if it has none of them.
    """
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ToolError(
        f"TVM {version()} has none of {', '.join(names)}",
        "install apache-tvm 0.27, or build v0.21.0 from source",
    )
