"""torch module → normalised export graph, one per component.

``torch.export`` records more than a browser can run: run-time assertions, masks
built from booleans, 64-bit position ids, an end-of-text search that nobody
reads. :func:`normalize` rewrites those forms into ones that both TVM versions
import to the same Relax, and refuses what it does not know rather than letting
it reach a shader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from wsd.errors import CompileError
from wsd.frontend.entry_points import EntryPointModule
from wsd.frontend.normalize import normalize
from wsd.models.registry import Component
from wsd.spec.parameter import CHANNELS_LAST, Parameter, Use, choose_storage

_aten = torch.ops.aten


@dataclass(frozen=True)
class Trace:
    """One component, exported and normalised.

    Attributes:
        part: what was exported.
        component: the zoo's component whose parameters it reads.
        program: the normalised program; inputs precede parameters.
        parameters: those that it reads, in the order of the arguments.
    """

    part: EntryPointModule
    component: str
    program: ExportedProgram
    parameters: tuple[Parameter, ...]


def trace_component(component: Component, part: EntryPointModule, dtype: str = "f32") -> Trace:
    """Export a component at one picture size and normalise its graph.

    Args:
        component: whose weights the part reads; their values are not recorded,
            only names and shapes.
        part: the component as it is to be compiled (:func:`wsd.frontend.entry_points.make_entry_point`).
        dtype: one of :data:`wsd.spec.precision.DTYPES`.

    Raises:
        CompileError: if the graph holds something that WebGPU cannot run.
    """
    examples = tuple(
        torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in part.inputs
    )
    with torch.no_grad():
        # Not strict, as torch does by itself since 2.9: the strict way reads Python's bytecode
        # and knows no locks, which transformers takes where it collects hidden states.
        program = normalize(torch.export.export(part.module.eval(), examples, strict=False))
    return Trace(
        part=part,
        component=component.name,
        program=program,
        parameters=_parameters(program, component.role, dtype),
    )


def _parameters(program: ExportedProgram, role: str, dtype: str) -> tuple[Parameter, ...]:
    """Return every parameter in the order of the arguments."""
    signature = program.graph_signature
    if signature.inputs_to_buffers:
        raise CompileError(
            f"the graph reads buffers: {', '.join(signature.inputs_to_buffers.values())}",
            "fold them into constants in wsd/frontend/export.py, as is done for position ids",
        )
    nodes = {node.name: node for node in program.graph.nodes}

    def parameter(argument: str, name: str) -> Parameter:
        shape, use = tuple(program.state_dict[name].shape), _use(nodes[argument])
        last = use == "product" and len(shape) == len(CHANNELS_LAST)
        return Parameter(_strip_wrapper(name), shape, choose_storage(dtype, role, use), last)

    return tuple(parameter(*names) for names in signature.inputs_to_parameters.items())


def _use(parameter: Node) -> Use:
    """Tell what a parameter is to the graph."""
    positions: dict[Any, tuple[int, Use]] = {
        _aten.linear.default: (1, "product"),
        _aten.conv2d.default: (1, "product"),
        _aten.embedding.default: (0, "lookup"),
    }
    uses: set[Use] = set()
    for user in parameter.users:
        position, use = positions.get(user.target, (0, "other"))
        uses.add(use if user.args[position] is parameter else "other")
    return uses.pop() if len(uses) == 1 else "other"


def _strip_wrapper(name: str) -> str:
    """Undo the one level that the wrappers of ``wsd/models/stable_diffusion/wrappers.py`` add."""
    return name.removeprefix("model.")
