"""A function's parameters as they are stored: packed into words, channels last.

Each is replaced by what the browser uploads, and what its first reader expects is
computed of that: unpacked, transposed. The legalizers
(:mod:`wsd.compiler.tir.legalize`) look through both, so that
neither is ever done to a whole weight at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax, te

from wsd.compiler.tir.dequantize import UNPACK, unpack_bytes, unpack_halves
from wsd.compiler.tvm_compat import IRModule, tensor_variable
from wsd.spec.parameter import CHANNELS_LAST, SCALE, Parameter


def store_parameters(
    module: IRModule, name: str, inputs: int, parameters: Sequence[Parameter]
) -> IRModule:
    """Replace parameters of a function, float32 in PyTorch's shapes, by stored ones.

    Args:
        module: what holds the function.
        name: of the function.
        inputs: how many of its arguments come before its parameters.
        parameters: what the others are.
    """
    function = module[name]
    arguments: list[Any] = list(function.params[:inputs])
    stored: dict[Any, tuple[Parameter, list[Any]]] = {}
    for variable, parameter in zip(function.params[inputs:], parameters, strict=True):
        if parameter.storage == "float32" and not parameter.channels_last:
            arguments.append(variable)
            continue
        buffers = _buffers(parameter)
        stored[variable] = (parameter, buffers)
        arguments += buffers
    if not stored:
        return module
    mutator = _Reader(module, stored)
    mutator.rewrite(name, function, arguments)
    return mutator.builder_.get()


def _buffers(parameter: Parameter) -> list[Any]:
    if parameter.storage == "float32":
        return [tensor_variable(parameter.name, parameter.stored_shape, "float32")]
    buffers = [tensor_variable(parameter.name, (parameter.words,), "uint32")]
    if parameter.storage == "int8":
        scales = tensor_variable(parameter.name + SCALE, parameter.shape[:1], "float32")
        buffers.append(scales)
    return buffers


@relax.expr_functor.mutator
class _Reader(relax.PyExprMutator):
    """Computes each stored parameter's values before its first use."""

    def __init__(self, module: IRModule, stored: dict[Any, tuple[Parameter, list[Any]]]) -> None:
        super().__init__(module)
        self._stored = stored
        self._values: dict[Any, Any] = {}

    def rewrite(self, name: str, function: Any, arguments: list[Any]) -> None:
        body = self.visit_expr(function.body)
        rewritten = relax.Function(arguments, body, None, function.is_pure, function.attrs)
        self.builder_.update_func(self.builder_.get().get_global_var(name), rewritten)

    def visit_var_(self, variable: Any) -> Any:
        if variable not in self._stored:
            return variable
        if variable not in self._values:
            self._values[variable] = self._read(*self._stored[variable])
        return self._values[variable]

    def _read(self, parameter: Parameter, buffers: list[Any]) -> Any:
        values = buffers[0]
        if parameter.storage != "float32":
            values = self.builder_.emit(self._unpack(parameter, buffers))
        if not parameter.channels_last:
            return values
        back = [CHANNELS_LAST.index(axis) for axis in range(len(CHANNELS_LAST))]
        return self.builder_.emit(relax.op.permute_dims(values, back))

    def _unpack(self, parameter: Parameter, buffers: list[Any]) -> Any:
        shape = list(parameter.stored_shape)

        def unpack_halves_(packed: te.Tensor) -> te.Tensor:
            return unpack_halves(packed, shape)

        def unpack_bytes_(packed: te.Tensor, scales: te.Tensor) -> te.Tensor:
            values = unpack_bytes(packed, shape)
            return te.compute(shape, lambda *at: values(*at) * scales(at[0]), name="scaled")

        kernel = unpack_halves_ if len(buffers) == 1 else unpack_bytes_
        return self.builder_.call_te(
            kernel, *buffers, primfunc_name_hint=UNPACK + kernel.__name__.split("_")[1]
        )
