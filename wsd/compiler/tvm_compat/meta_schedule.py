"""MetaSchedule: write tuned schedules as TVM's database does, and apply such a database."""

from __future__ import annotations

import base64
import ctypes
import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tvm
from tvm import relax

from wsd.compiler.tvm_compat.build import target
from wsd.compiler.tvm_compat.relax import IRModule
from wsd.compiler.tvm_compat.tir import tir
from wsd.compiler.tvm_compat.version import first_module, is_reference_lane

_meta_schedule = first_module("tvm.s_tir.meta_schedule", "tvm.meta_schedule")

# Before a string, TVM writes its length.
_LENGTH_BYTES = 8


def normalized(function: Any) -> IRModule:
    """Return a TIR function as MetaSchedule looks it up: a module with one function, ``main``."""
    return tvm.get_global_func(f"{_meta_schedule.__name__}.normalize_mod")(function)


def describe_record(
    schedule: Any, workload: IRModule, line: int, seconds: float
) -> tuple[str, str]:
    """Return the lines of a database for a schedule that was found: workload and record.

    Args:
        schedule: began with ``workload``, and its trace has every step since.
        workload: of :func:`normalized`.
        line: number of the workload's line in its file, counted from 0.
        seconds: what a run of the kernel took.
    """
    database = _meta_schedule.database
    made = database.Workload(workload)
    arguments = _meta_schedule.arg_info.ArgInfo.from_prim_func(workload["main"])
    record = database.TuningRecord(schedule.trace, made, [seconds], target(), arguments)
    with _hashing_by_address():
        (digest, text), described = made.as_json(), record.as_json()
    first, second = (
        json.dumps(value, separators=(",", ":"))
        for value in ([str(digest), _without_blanks(str(text))], [line, described])
    )
    return first, second


def _without_blanks(text: str) -> str:
    """Return a workload's text in half as many bytes, which TVM reads as it reads its own.

    TVM writes the function as indented JSON after its length in eight bytes, all of it in base64.
    The indents are more than half of it.
    """
    written = json.loads(base64.b64decode(text)[_LENGTH_BYTES:])
    short = json.dumps(written, separators=(",", ":")).encode()
    return base64.b64encode(len(short).to_bytes(_LENGTH_BYTES, "little") + short).decode()


class LoadedDatabase:
    """A database of schedules, as TVM reads it."""

    def __init__(self, folder: Path) -> None:
        """Read a database.

        Args:
            folder: has both files of TVM's ``JSONDatabase``.

        Raises:
            Exception: of TVM, if one is missing or damaged.
        """
        self._database = _meta_schedule.database.JSONDatabase(
            work_dir=str(folder), allow_missing=False
        )

    def has(self, workload: IRModule) -> bool:
        """Tell whether a function, of :func:`normalized`, has a schedule in the database."""
        return bool(self._database.has_workload(workload))

    def apply(self, module: IRModule) -> IRModule:
        """Return a module in which every function that the database has is scheduled by it.

        It is ``MetaScheduleApplyDatabase``, under :func:`target`.
        """
        with target(), self._database:
            return relax.transform.MetaScheduleApplyDatabase()(module)


def is_scheduled(function: Any) -> bool:
    """Tell whether a TIR function has been scheduled."""
    attributes = function.attrs or {}
    return any(bool(attributes.get(f"{room}.is_scheduled", False)) for room in ("tir", "tirx"))


def thread_extents(function: Any) -> dict[str, int]:
    """Return thread axis, such as ``blockIdx.x``, → extent, of a scheduled TIR function.

    If it becomes several kernels, it is the extent of one of them.
    """
    found: dict[str, int] = {}

    def visit(loop: Any) -> None:
        if loop.thread_binding is not None:
            found[str(loop.thread_binding.thread_tag)] = int(loop.extent)

    if is_reference_lane():
        tir.stmt_functor.post_order_visit(
            function.body, lambda node: visit(node) if isinstance(node, tir.For) else None
        )
    else:
        importlib.import_module("tvm_ffi").structural_walk(
            function.body, [(tir.For, visit)], order="post"
        )
    return found


class _Name(ctypes.Structure):
    """TVMFFIByteArray of TVM's C interface."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Column(ctypes.Structure):
    """TVMFFITypeAttrColumn: an attribute of every type, two words for each."""

    _fields_ = (
        ("data", ctypes.POINTER(ctypes.c_uint64)),
        ("size", ctypes.c_int32),
        ("begin", ctypes.c_int32),
    )


@contextmanager
def _hashing_by_address() -> Iterator[None]:
    """Let objects be written as JSON in a block, which apache-tvm 0.27 crashes at otherwise.

    apache-tvm 0.27.0 was built for apache-tvm-ffi 0.1.14, where the functions that hash and
    compare a ``PrimType`` return a number. From 0.1.15 on, which it also allows, they are called
    as functions that return a ``TVMFFIAny``, and the writer of JSON, which keeps what it has
    written in a hash table, crashes. Without these functions objects are told apart by their
    addresses, which is enough for the writer.
    """
    if is_reference_lane():
        yield
        return
    libinfo, core = (importlib.import_module(f"tvm_ffi.{name}") for name in ("libinfo", "core"))
    find = ctypes.CDLL(libinfo.find_libtvm_ffi()).TVMFFIGetTypeAttrColumn
    find.restype, find.argtypes = ctypes.POINTER(_Column), [ctypes.POINTER(_Name)]
    index = core._object_type_key_to_index("ir.PrimType")
    kept = []
    for name in (b"__any_hash__", b"__any_equal__"):
        found = find(ctypes.byref(_Name(name, len(name))))
        if not found or not 0 <= index - found.contents.begin < found.contents.size:
            continue
        words, at = found.contents.data, 2 * (index - found.contents.begin)
        kept.append((words, at, words[at], words[at + 1]))
        words[at] = words[at + 1] = 0  # the type index of None
    try:
        yield
    finally:
        for words, at, kind, value in kept:
            words[at], words[at + 1] = kind, value
