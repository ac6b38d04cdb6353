"""Relax: import of exported programs, and what the two TVM versions spell differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax

from wsd.compiler.tvm_compat.version import is_reference_lane

# TVM's classes carry no types.
IRModule = Any


def tensor_variable(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Return a Relax variable that holds a tensor of a static shape."""
    # v0.21 also has a class TensorType, with another meaning.
    kind = relax.TensorStructInfo if is_reference_lane() else relax.TensorType
    return relax.Var(name, kind(shape, dtype))


def variables_of(expression: Any) -> list[Any]:
    """Return the variables that an expression reads."""
    found: list[Any] = []

    def visit(part: Any) -> None:
        if isinstance(part, relax.Var):
            found.append(part)

    relax.analysis.post_order_visit(expression, visit)
    return found


def shape_of(expression: Any) -> list[int]:
    """Return the static shape of a Relax tensor."""
    kind = expression.struct_info if is_reference_lane() else expression.ty
    return [int(extent) for extent in kind.shape]


def operator_name(expression: Any) -> str:
    """Return the operator that a Relax call calls, such as ``relax.add``; "" for anything else."""
    return str(getattr(getattr(expression, "op", None), "name", ""))


def permuted(expression: Any) -> tuple[Any, list[int]] | None:
    """Return the operand and the axes of a ``permute_dims``; None for any other expression.

    Axes are as numpy's ``transpose`` takes them.
    """
    if operator_name(expression) != "relax.permute_dims":
        return None
    (operand,) = expression.args
    axes = expression.attrs.axes
    if axes is None:
        return operand, list(range(len(shape_of(operand))))[::-1]
    return operand, [int(axis) for axis in axes]


def cropped(expression: Any) -> Any | None:
    """Return the operand of a ``strided_slice`` that keeps the first values of each axis.

    Which values it keeps is then told by its shape. None for any other expression.
    """
    if operator_name(expression) != "relax.strided_slice":
        return None
    operand, _, begin, _, *strides = expression.args
    starts, steps = (
        [int(getattr(value, "value", value)) for value in values.fields]
        for values in (begin, *strides)
    )
    return operand if not any(starts) and set(steps) == {1} else None


def zero_padded(expression: Any) -> tuple[Any, list[int]] | None:
    """Return the operand of a ``pad`` of an image (n, c, h, w) by zeros, and its four sides.

    The sides are top, left, bottom, right, as a convolution takes them. None for any other
    expression.
    """
    if operator_name(expression) != "relax.nn.pad":
        return None
    attrs = expression.attrs
    widths = [int(width) for width in attrs.pad_width]
    zeros = str(attrs.pad_mode) == "constant" and float(attrs.pad_value) == 0
    if not zeros or len(widths) != 8 or any(widths[:4]) or min(widths) < 0:
        return None
    top, bottom, left, right = widths[4:]
    return expression.args[0], [top, left, bottom, right]


def import_program(program: Any) -> IRModule:
    """Import a normalised ``ExportedProgram`` as a module with one function, ``main``.

    Its parameters become arguments after its inputs. Decompositions stay off, so that attention
    arrives as ``relax.nn.attention`` (with them, PyTorch 2.8 and later emit boolean reductions,
    and WebGPU cannot store booleans). v0.21 never decomposes and has no such argument.
    """
    from tvm.relax.frontend.torch import from_exported_program

    options: dict[str, Any] = {"keep_params_as_input": True, "unwrap_unit_return_tuple": True}
    if not is_reference_lane():
        options["run_ep_decomposition"] = False
    module = from_exported_program(program, **options)
    detached, _ = relax.frontend.detach_params(module)
    return detached


def kernel_functions(
    functions: dict[str, tuple[Callable[..., Any], list[tuple[str, tuple[int, ...], str]]]],
) -> IRModule:
    """Return a module with one Relax function for each kernel written in TE.

    Args:
        functions: function name → (TE function, its inputs as (name, shape, dtype)).
    """
    builder = relax.BlockBuilder()
    for name, (kernel, inputs) in functions.items():
        variables = [tensor_variable(*spec) for spec in inputs]
        with builder.function(name, variables):
            with builder.dataflow():
                value = builder.emit_te(kernel, *variables, primfunc_name_hint=kernel.__name__)
                result = builder.emit_output(value)
            builder.emit_func_output(result)
    return builder.get()


def add_function(module: IRModule, name: str, imported: IRModule) -> None:
    """Add the ``main`` function of an imported module under another name."""
    function = imported["main"].with_attr("global_symbol", name)
    module[tvm.ir.GlobalVar(name)] = function
