"""Tell errors of TVM apart from errors of WSD's own code, which TVM calls back."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wsd.compiler.tvm_compat.version import version
from wsd.errors import CompileError, WsdError
from wsd.util.files import PACKAGE

_TVM_FOLDERS = tuple(
    Path(folder).resolve()
    for name in ("tvm", "tvm_ffi")
    if (spec := importlib.util.find_spec(name)) is not None
    for folder in spec.submodule_search_locations or ()
)
# Endings of the C++ files that TVM names in its tracebacks.
_CPP = {".cc", ".cpp", ".h"}


@contextmanager
def calling_tvm(task: str) -> Iterator[None]:
    """Report what TVM refuses as a CompileError; other errors pass through unchanged.

    Legalizers and schedule rules of ours run inside TVM's passes. The innermost frame of the
    traceback tells whose error it is; TVM keeps our frames where an exception crosses its C++.

    Args:
        task: what TVM is asked to do, such as ``pass fuse_ops``.

    Raises:
        CompileError: if TVM's code raised the error.
    """
    try:
        yield
    except WsdError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not _raised_by_tvm(frames):
            error.add_note(f"raised in {task}")
            raise
        said = str(error).strip().splitlines() or [""]
        raise CompileError(
            f"TVM {version()} failed in {task}, called from {_last_own_frame(frames)}: "
            f"{type(error).__name__}: {said[-1]}",
            "an operator or a shape is not supported; to see the IR before it, run "
            "wsd compile --dump-ir DIR; to see the traceback, set WSD_DEBUG=1",
        ) from error


def _raised_by_tvm(frames: Sequence[traceback.FrameSummary]) -> bool:
    """Tell whether the innermost frame that says whose it is belongs to TVM.

    Frames of TVM's C++ and Cython, which have no ``.py`` file, are known by their endings or by
    TVM's name in the path. Other frames of compiled code, such as numpy's, belong to the Python
    code that called them.
    """
    for frame in reversed(frames):
        path = Path(frame.filename)
        if path.suffix == ".py":
            return any(path.is_relative_to(folder) for folder in _TVM_FOLDERS)
        if path.suffix in _CPP or "tvm" in frame.filename:
            return True
    return False


def _last_own_frame(frames: Sequence[traceback.FrameSummary]) -> str:
    """Return the function and the line of WSD that called TVM."""
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    if not own:
        return "outside WSD"
    path = Path(own[-1].filename).relative_to(PACKAGE.parent)
    return f"{own[-1].name} ({path}:{own[-1].lineno})"
