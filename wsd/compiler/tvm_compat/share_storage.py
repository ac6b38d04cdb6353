"""Let tensors share storage better than TVM plans it.

TVM plans in the order in which a function allocates: a tensor takes a storage that is free then,
even one of twice its size, which is missing afterwards. Here the largest tensor is placed first,
each in the storage whose tensors are nearest to it in time (Pisarchyk and Lee 2020, "Efficient
Memory Management for Deep Neural Net Inference", "greedy by size").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from tvm import relax

from wsd.compiler.tvm_compat.relax import IRModule, operator_name, variables_of
from wsd.compiler.tvm_compat.tir import node_kind

_STORAGE, _TENSOR = "relax.memory.alloc_storage", "relax.memory.alloc_tensor"
# The name by which instruments of passes know the pass.
SHARE_STORAGE = "share_storage"


@dataclass
class _Tensor:
    """A tensor in a storage, and the first and the last binding at which it is there."""

    variable: Any
    bytes: int
    kind: tuple[str, ...]
    first: int
    last: int


@dataclass
class _Storage:
    """A storage, and the tensors that are in it one after another."""

    bytes: int
    call: Any
    kind: tuple[str, ...]
    tensors: list[_Tensor] = field(default_factory=list)

    def gap(self, tensor: _Tensor) -> int | None:
        """Return how near in time another tensor comes; None if both are there at once."""
        gaps = [
            tensor.first - other.last if other.last < tensor.first else other.first - tensor.last
            for other in self.tensors
        ]
        return None if min(gaps) <= 0 else min(gaps)


@tvm.transform.module_pass(opt_level=0, name=SHARE_STORAGE)
class ShareStorage:
    """Plans the functions anew whose tensors take less memory then; leaves the others as planned.

    It comes after ``StaticPlanBlockMemory``.
    """

    def transform_module(self, module: IRModule, _context: Any) -> IRModule:
        """Return the module with better plans."""
        for variable, function in module.functions_items():
            if not isinstance(function, relax.Function):
                continue
            planned = _plan(function)
            if planned is None:
                continue
            mutator = _Placed(module, planned)
            mutator.builder_.update_func(variable, mutator.visit_expr(function))
            module = mutator.builder_.get()
        return module


def _plan(function: Any) -> list[_Storage] | None:
    """Return storages for a function's tensors; None if they take no less memory.

    None too for what is not read here: branches, extents that are not known, and several tensors
    of one storage at a time.
    """
    bindings = [binding for block in function.body.blocks for binding in block.bindings]
    calls = {b.var: b.value for b in bindings if operator_name(b.value) == _STORAGE}
    if not _is_known(function, bindings):
        return None
    tensors: dict[Any, _Tensor] = {}
    # Variable → the tensors in storages that it is, or is a view of, or holds.
    held: dict[Any, list[_Tensor]] = {}
    for position, binding in enumerate(bindings):
        call = binding.value
        if operator_name(call) == _TENSOR:
            storage = calls[call.args[0]]
            shape = [int(extent) for extent in call.args[2]]
            bytes_ = math.prod(shape) * np.dtype(str(call.args[3].value)).itemsize
            kind = tuple(str(argument) for argument in storage.args[1:])
            tensor = _Tensor(binding.var, bytes_, kind, position, position)
            tensors[binding.var] = tensor
            held[binding.var] = [tensor]
            continue
        read = [tensor for variable in variables_of(call) for tensor in held.get(variable, ())]
        for tensor in read:
            tensor.last = position
        if read:
            held[binding.var] = read
    before = sum(_bytes(call) for call in calls.values())
    storages = _place(list(tensors.values()), list(calls.values()))
    return storages if sum(storage.bytes for storage in storages) < before else None


def _is_known(function: Any, bindings: list[Any]) -> bool:
    """Tell whether all allocations are outside of branches, of constant size, at offset 0."""
    allocations = [b.value for b in bindings if operator_name(b.value) in (_STORAGE, _TENSOR)]
    found: list[Any] = []

    def visit(part: Any) -> None:
        if operator_name(part) in (_STORAGE, _TENSOR):
            found.append(part)

    relax.analysis.post_order_visit(function, visit)
    if len(found) != len(allocations):
        return False
    for call in allocations:
        is_tensor = operator_name(call) == _TENSOR
        extents = call.args[2 if is_tensor else 0]
        if not all(node_kind(extent) == "IntImm" for extent in extents):
            return False
        if is_tensor and int(call.args[1].value) != 0:
            return False
    return True


def _bytes(call: Any) -> int:
    return math.prod(int(extent) for extent in call.args[0])


def _place(tensors: list[_Tensor], calls: list[Any]) -> list[_Storage]:
    """Place tensors in storages, the largest first."""
    templates = {tuple(str(argument) for argument in call.args[1:]): call for call in calls}
    storages: list[_Storage] = []
    for tensor in sorted(tensors, key=lambda t: (-t.bytes, t.first)):
        found = [
            (gap, storage)
            for storage in storages
            if storage.kind == tensor.kind and (gap := storage.gap(tensor)) is not None
        ]
        if found:
            _, nearest = min(found, key=lambda one: one[0])
        else:
            nearest = _Storage(tensor.bytes, templates[tensor.kind], tensor.kind)
            storages.append(nearest)
        nearest.tensors.append(tensor)
    return storages


@relax.expr_functor.mutator
class _Placed(relax.PyExprMutator):
    """Gives a function's tensors their new storages."""

    def __init__(self, module: IRModule, storages: list[_Storage]) -> None:
        super().__init__(module)
        self._storage_of = {
            tensor.variable: storage for storage in storages for tensor in storage.tensors
        }
        self._allocated: dict[int, Any] = {}
        self._bound: Any = None

    def visit_var_binding_(self, binding: Any) -> None:
        if operator_name(binding.value) == _STORAGE:
            return
        self._bound = binding.var
        super().visit_var_binding_(binding)

    def visit_call_(self, call: Any) -> Any:
        if operator_name(call) != _TENSOR:
            return super().visit_call_(call)
        storage = self._storage_of[self._bound]
        if id(storage) not in self._allocated:
            made = storage.call
            size = relax.ShapeExpr([storage.bytes])
            allocation = relax.Call(made.op, [size, *made.args[1:]], made.attrs)
            self._allocated[id(storage)] = self.builder_.emit(allocation)
        return relax.Call(call.op, [self._allocated[id(storage)], *call.args[1:]], call.attrs)
