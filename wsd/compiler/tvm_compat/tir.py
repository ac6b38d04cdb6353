"""TIR: modules, names and node classes that the two TVM versions call differently."""

from __future__ import annotations

from typing import Any

from wsd.compiler.tvm_compat.version import first_module, is_reference_lane

tir = first_module("tvm.tirx", "tvm.tir")
dlight = first_module("tvm.s_tir.dlight", "tvm.dlight")
Schedule: Any = first_module("tvm.s_tir", "tvm.tir").Schedule
ScheduleError: Any = first_module("tvm.s_tir", "tvm.tir").ScheduleError
_analysis: Any = first_module("tvm.s_tir.analysis", "tvm.tir.analysis")
estimate_operations = _analysis.estimate_tir_flops
normalize_prim_func: Any = dlight.analysis.normalize_prim_func

# Values of the attribute ``op_pattern`` (``OpPatternKind`` in TVM's C++), which tells FuseOps
# what may be fused with a function.
_INJECTIVE = 2
_OUT_ELEMENTWISE_FUSABLE = 4
_OPAQUE = 8


def gemm_attributes() -> dict[str, Any]:
    """Return the attributes of a TIR function that elementwise functions may be fused after."""
    return {"op_pattern": _OUT_ELEMENTWISE_FUSABLE}


def injective_attributes() -> dict[str, Any]:
    """Return the attributes of a TIR function that reads one value for each that it writes.

    It may be fused with others like it, and with elementwise ones, but not after a GEMM.
    """
    return {"op_pattern": _INJECTIVE}


def opaque_attributes() -> dict[str, Any]:
    """Return the attributes of a TIR function that nothing may be fused with."""
    return {"op_pattern": _OPAQUE}


def block_named(schedule: Any, name: str) -> Any:
    """Return a block of a schedule by its name."""
    find = getattr(schedule, "get_sblock", None) or schedule.get_block
    return find(name)


def analyzer() -> Any:
    """Return an arithmetic simplifier that knows no bounds yet."""
    return first_module("tvm.sym.analyzer", "tvm.arith").Analyzer()


def buffer_of(node: Any) -> Any:
    """Return the buffer that a load reads from, or that a buffer region lies in."""
    return node.buffer if is_reference_lane() else node.source


def buffers_of(function: Any) -> list[Any]:
    """Return a TIR function's parameters as buffers, which have a shape and a dtype."""
    if is_reference_lane():
        return [function.buffer_map[parameter] for parameter in function.params]
    return list(function.params)


def name_of(buffer: Any) -> str:
    """Return the name that a shader gives to a TIR function's parameter.

    :func:`wsd.compiler.tvm_compat.build.storage_buffers` reads the same names from WGSL.
    """
    return str((buffer.data if is_reference_lane() else buffer).name)


def node_kind(expression: Any) -> str:
    """Return the class name of a TIR expression, such as ``Add``, ``Var`` or ``IntImm``.

    A load from a buffer is ``BufferLoad`` in both TVM versions.
    """
    kind = type(expression).__name__
    return "BufferLoad" if kind == "TensorLoad" else kind


def intrinsic_name(expression: Any) -> str:
    """Return the intrinsic that a TIR call calls, such as ``exp``; "" for anything else.

    Its dialect is left out: ``tir.exp`` and ``tirx.exp`` are the same.
    """
    if node_kind(expression) != "Call":
        return ""
    return str(getattr(expression.op, "name", "")).rpartition(".")[2]
