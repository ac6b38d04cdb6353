"""Refuse a module in which an operator is left that has no TIR.

In: a module after legalization.
Out: the same module, whose Relax functions call nothing but TIR functions.
"""

from __future__ import annotations

from typing import Any

from tvm import relax

from wsd.compiler.tvm_compat import IRModule, operator_name, version
from wsd.errors import CompileError

_CALL_TIR = "relax.call_tir"


def check_legalized(module: IRModule) -> IRModule:
    """Return the module unchanged.

    Raises:
        CompileError: if a Relax function calls an operator; it names both.
    """
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function) and (left := _operators(function)):
            raise CompileError(
                f"{variable.name_hint}: TVM {version()} cannot lower {', '.join(sorted(left))}",
                "add a legalizer for the operator to wsd/compiler/tir/legalize, or rewrite it in "
                "wsd/frontend/normalize.py",
            )
    return module


def _operators(function: Any) -> set[str]:
    found: set[str] = set()
    relax.analysis.post_order_visit(function.body, lambda node: found.add(operator_name(node)))
    return found - {"", _CALL_TIR}
