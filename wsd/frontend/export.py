"""Export an entry point with ``torch.export`` and list the parameters that its graph reads.

``torch.export`` records more than a browser can run: run-time assertions, masks
built from booleans, 64-bit position ids, a search for the end of the text whose result is
unused. :func:`wsd.frontend.normalize.normalize` rewrites those forms into ones that both TVM
versions import to the same Relax, and refuses forms that it does not know, so that none of them
reaches a shader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from wsd.errors import CompileError
from wsd.frontend.normalize import normalize
from wsd.models.architecture import EntryPointModule
from wsd.models.family import Component
from wsd.models.sensitive_layers import is_sensitive
from wsd.spec.parameter import CHANNELS_LAST, Parameter, Use, choose_storage

_aten = torch.ops.aten


@dataclass(frozen=True)
class Trace:
    """One entry point, exported and normalised.

    Attributes:
        entry_point: what was exported.
        component: id of the component whose parameters it reads, or of a part of one
            (:class:`wsd.models.family.Part`).
        program: the normalised program.
        parameters: those that it reads, in the order of the arguments.
    """

    entry_point: EntryPointModule
    component: str
    program: ExportedProgram
    parameters: tuple[Parameter, ...]


def trace_component(
    component: Component, entry_point: EntryPointModule, dtype: str = "f32"
) -> Trace:
    """Export an entry point and normalise its graph.

    Args:
        component: the component whose weights it reads; only their names and shapes are recorded.
        entry_point: the entry point (:func:`wsd.frontend.entry_points.make_entry_points`).
        dtype: one of :data:`wsd.spec.precision.DTYPES`.

    Raises:
        CompileError: if the graph holds something that WebGPU cannot run.
    """
    examples = tuple(
        torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in entry_point.inputs
    )
    with torch.no_grad():
        # strict=False, the default since torch 2.9: strict mode interprets Python's bytecode and
        # fails at the lock that transformers takes where it collects hidden states.
        program = normalize(torch.export.export(entry_point.module.eval(), examples, strict=False))
    return Trace(
        entry_point=entry_point,
        component=entry_point.part or component.id,
        program=program,
        parameters=_parameters(program, component, dtype),
    )


def _parameters(
    program: ExportedProgram, component: Component, dtype: str
) -> tuple[Parameter, ...]:
    """Return every parameter that the program reads, in the order of the arguments."""
    signature = program.graph_signature
    if signature.inputs_to_buffers:
        raise CompileError(
            f"the graph reads buffers: {', '.join(signature.inputs_to_buffers.values())}",
            "fold them into constants in wsd/frontend/normalize.py, as is done for position ids",
        )
    nodes = {node.name: node for node in program.graph.nodes}
    up_blocks = len(component.config.get("up_block_types", ()))

    def parameter(argument: str, name: str) -> Parameter:
        shape, use = tuple(program.state_dict[name].shape), _use(nodes[argument])
        last = use == "gemm" and len(shape) == len(CHANNELS_LAST)
        own_name = _strip_wrapper(name)
        storage = choose_storage(
            dtype, component.role, use, shape,
            is_sensitive=is_sensitive(component.class_name, own_name, up_blocks),
        )  # fmt: skip
        return Parameter(own_name, shape, storage, last)

    return tuple(parameter(*names) for names in signature.inputs_to_parameters.items())


def _use(parameter: Node) -> Use:
    """Return how the graph uses a parameter; "other" if its users differ."""
    positions: dict[Any, tuple[int, Use]] = {
        _aten.linear.default: (1, "gemm"),
        _aten.conv2d.default: (1, "gemm"),
        _aten.embedding.default: (0, "embedding"),
    }
    uses: set[Use] = set()
    for user in parameter.users:
        position, use = positions.get(user.target, (0, "other"))
        uses.add(use if user.args[position] is parameter else "other")
    return uses.pop() if len(uses) == 1 else "other"


def _strip_wrapper(name: str) -> str:
    """Remove the level that a wrapper adds (:class:`wsd.models.architecture.EntryPointModule`)."""
    return name.removeprefix("model.")
