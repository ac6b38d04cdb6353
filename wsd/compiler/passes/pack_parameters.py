"""Let functions take their parameters as the browser uploads them: packed, channels last.

In: functions whose parameters are float32 tensors in PyTorch's shapes.
Out: functions that take each parameter as it is stored (:mod:`wsd.spec.parameter`): float16, int8
and int4 as uint32 words, these two with their scales as one more argument, convolutions' weights
with channels last. At its first use a parameter is unpacked (``call_tir`` of ``unpack_*``) and
transposed to PyTorch's shape. The legalizers (:mod:`wsd.compiler.tir.legalize`) match both and
read the stored weight instead, so that neither runs for a whole weight in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm import relax, te

from wsd.compiler.tir.dequantize import UNPACK, unpack_float16, unpack_int4, unpack_int8
from wsd.compiler.tvm_compat import IRModule, tensor_variable
from wsd.spec.parameter import CHANNELS_LAST, SCALE, Parameter


@dataclass(frozen=True)
class Signature:
    """The arguments of a Relax function that has parameters.

    Attributes:
        inputs: number of arguments before the parameters.
        parameters: the other arguments, in order.
        component: the parameters of its component, in order, of which the function reads some;
            the function gets them all as arguments. None if it reads them all.
        whole_bytes: the most bytes of an image that it computes whole, and not in strips
            (:mod:`wsd.compiler.passes.strips`); None for no limit.
    """

    inputs: int
    parameters: tuple[Parameter, ...]
    component: tuple[Parameter, ...] | None = None
    whole_bytes: int | None = None


def pack_parameters(module: IRModule, signatures: Mapping[str, Signature]) -> IRModule:
    """Return the module with stored parameters in place of float32 ones.

    Args:
        module: holds the functions.
        signatures: Relax function → what its arguments are.
    """
    for name, signature in signatures.items():
        module = _pack(module, name, signature)
    return module


def _pack(module: IRModule, name: str, signature: Signature) -> IRModule:
    function = module[name]
    arguments: list[Any] = list(function.params[: signature.inputs])
    stored: dict[Any, tuple[Parameter, list[Any]]] = {}
    variables = function.params[signature.inputs :]
    read = dict(zip((p.name for p in signature.parameters), variables, strict=True))
    for parameter in signature.component or signature.parameters:
        variable = read.get(parameter.name)
        if variable is None:
            # All functions of a component take its parameters as one tuple.
            arguments += _buffers(parameter)
            continue
        if parameter.storage == "float32" and not parameter.channels_last:
            arguments.append(variable)
            continue
        buffers = _buffers(parameter)
        stored[variable] = (parameter, buffers)
        arguments += buffers
    if not stored and len(arguments) == len(function.params):
        return module
    mutator = _Reader(module, stored)
    mutator.rewrite(name, function, arguments)
    return mutator.builder_.get()


def _buffers(parameter: Parameter) -> list[Any]:
    """Return the Relax variables that a stored parameter is passed as."""
    if parameter.storage == "float32":
        return [tensor_variable(parameter.name, parameter.stored_shape, "float32")]
    buffers = [tensor_variable(parameter.name, (parameter.words,), "uint32")]
    if parameter.storage == "int8":
        scales = tensor_variable(parameter.name + SCALE, parameter.shape[:1], "float32")
        buffers.append(scales)
    if parameter.storage == "int4":
        words = parameter.buffers()[1].bytes // 4
        buffers.append(tensor_variable(parameter.name + SCALE, (words,), "uint32"))
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

        def float16(packed: te.Tensor) -> te.Tensor:
            return unpack_float16(packed, shape)

        def int8(packed: te.Tensor, scales: te.Tensor) -> te.Tensor:
            values = unpack_int8(packed, shape)
            return te.compute(shape, lambda *at: values(*at) * scales(at[0]), name="scaled")

        def int4(packed: te.Tensor, scales: te.Tensor) -> te.Tensor:
            return unpack_int4(packed, scales, shape)

        kernel = {"float16": float16, "int8": int8, "int4": int4}[parameter.storage]
        return self.builder_.call_te(kernel, *buffers, primfunc_name_hint=UNPACK + kernel.__name__)
