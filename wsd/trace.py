"""torch module → normalised export graph, one per component.

``torch.export`` records more than a browser can run: run-time assertions, masks
built from booleans, 64-bit position ids, an end-of-text search that nobody
reads. :func:`normalize` rewrites those forms into ones that both TVM versions
import to the same Relax, and refuses what it does not know rather than letting
it reach a shader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from wsd.errors import CompileError
from wsd.parts import Part
from wsd.storage import CHANNELS_LAST, Parameter, Use, choose_storage
from wsd.zoo import Component

_aten = torch.ops.aten
_PASS_THROUGH = (
    _aten.alias.default,
    _aten.dropout.default,
    _aten.contiguous.default,
    _aten.detach.default,
)
# A float mask hides a position with -inf or with the lowest finite number.
_HIDDEN_BELOW = -1e4


@dataclass(frozen=True)
class Trace:
    """One component, exported and normalised.

    Attributes:
        part: what was exported.
        component: the zoo's component whose parameters it reads.
        program: the normalised program; inputs precede parameters.
        parameters: those that it reads, in the order of the arguments.
    """

    part: Part
    component: str
    program: ExportedProgram
    parameters: tuple[Parameter, ...]


def trace_component(component: Component, part: Part, dtype: str = "f32") -> Trace:
    """Export a component at one picture size and normalise its graph.

    Args:
        component: whose weights the part reads; their values are not recorded,
            only names and shapes.
        part: the component as it is to be compiled (:func:`wsd.parts.make_part`).
        dtype: one of :data:`wsd.precision.DTYPES`.

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
            "fold them into constants in wsd/trace.py, as is done for position ids",
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
    """Undo the one level that the wrappers of ``wsd/parts.py`` add."""
    return name.removeprefix("model.")


def normalize(program: ExportedProgram) -> ExportedProgram:
    """Rewrite an exported graph in place into the forms that TVM imports.

    * drops assertions, aliases, dropout and no-op dtype or device casts;
    * turns a constant causal attention mask into ``is_causal=True``;
    * turns a lookup of all position ids in order into the table itself;
    * removes what nothing reads (CLIP's pooled output among it).

    Returns:
        the same program.
    """
    graph = program.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is _aten._assert_tensor_metadata.default:
            graph.erase_node(node)
        elif node.target in _PASS_THROUGH or _is_no_op_cast(node):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target is _aten.scaled_dot_product_attention.default:
            _make_causal(node)
        elif node.target is _aten.embedding.default:
            _replace_position_lookup(program, node)
    # Attention could drop at random, so torch takes it for impure; here it never does.
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    _drop_unread(program)
    program.graph_module.recompile()
    _refuse_unsupported(graph)
    return program


def _is_no_op_cast(node: Node) -> bool:
    """Tell whether a ``to`` keeps the dtype that its argument has."""
    if node.target not in (_aten.to.dtype, _aten.to.device, _aten.to.dtype_layout):
        return False
    source = node.args[0]
    return isinstance(source, Node) and source.meta["val"].dtype == node.meta["val"].dtype


def _constant(value: Any, known: Mapping[str, torch.Tensor]) -> Any:
    """Evaluate an argument that depends on no placeholder but known ones; else ``None``."""
    if not isinstance(value, Node):
        return value
    if value.op != "call_function":
        return known.get(value.name)
    arguments = [_constant(argument, known) for argument in value.args]
    if any(a is None and b is not None for a, b in zip(arguments, value.args, strict=True)):
        return None
    return value.target(*arguments, **value.kwargs)  # type: ignore[operator]


def _make_causal(node: Node) -> None:
    """Replace a constant causal mask by ``is_causal=True``."""
    mask_argument = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    if mask_argument is None:
        return
    mask = _constant(mask_argument, {})
    if mask is None:
        raise CompileError(
            f"attention {node.name!r} has a mask that depends on the inputs",
            "only unmasked and causal attention are compiled",
        )
    allowed = mask if mask.dtype == torch.bool else mask > _HIDDEN_BELOW
    square = allowed.reshape(-1, *allowed.shape[-2:])[0]
    if not torch.equal(allowed, torch.ones_like(allowed).tril()) or len(set(square.shape)) != 1:
        raise CompileError(
            f"attention {node.name!r} has a constant mask that is not causal",
            "only unmasked and causal attention are compiled",
        )
    node.args = node.args[:3]
    node.kwargs = {
        **{key: value for key, value in node.kwargs.items() if key != "attn_mask"},
        "is_causal": True,
    }


def _replace_position_lookup(program: ExportedProgram, node: Node) -> None:
    """Replace ``embedding(table, arange(rows))`` by the table with a batch dimension."""
    table, indices = node.args[0], node.args[1]
    stored = {**program.state_dict, **program.constants}
    buffers = program.graph_signature.inputs_to_buffers
    # Torch 2.7 takes a slice of all of them, which later versions leave out.
    ids = _constant(indices, {node: stored[name] for node, name in buffers.items()})
    if ids is None:
        return
    rows = table.meta["val"].shape[0]  # type: ignore[union-attr]
    if not torch.equal(ids.flatten(), torch.arange(rows)):
        raise CompileError(
            f"embedding {node.name!r} looks up {list(ids.shape)} fixed ids in {rows} rows",
            "only position ids 0, 1, 2 … over the whole table are compiled",
        )
    with node.graph.inserting_before(node):
        whole = node.graph.call_function(_aten.unsqueeze.default, (table, 0))
    whole.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(whole)
    node.graph.erase_node(node)


def _drop_unread(program: ExportedProgram) -> None:
    """Remove buffers and parameters that nothing reads from graph, signature and constants.

    v0.21's importer looks every buffer up in the state dict, where buffers that
    are not saved (CLIP's position ids) do not exist. Parameters go unread when an
    encoder's last layer does, as in SDXL: nobody should download them.
    """
    signature = program.graph_signature
    buffers = signature.inputs_to_buffers
    stored = {**buffers, **signature.inputs_to_parameters}
    unread = {node for node in program.graph.nodes if node.name in stored and not len(node.users)}
    names = {node.name for node in unread}
    for name in names & buffers.keys():
        program.constants.pop(buffers[name], None)
    signature.input_specs[:] = [s for s in signature.input_specs if s.arg.name not in names]
    for node in unread:
        program.graph.erase_node(node)


def _refuse_unsupported(graph: Graph) -> None:
    """Refuse dtypes that a shader cannot hold."""
    for node in graph.nodes:
        value = node.meta.get("val")
        if not len(node.users) or not isinstance(value, torch.Tensor):
            continue
        if value.dtype not in (torch.float32, torch.int32):
            raise CompileError(
                f"node {node.name!r} ({node.target}) has dtype {value.dtype}",
                "WebGPU shaders hold float32 and int32: rewrite the node in wsd/trace.py",
            )
