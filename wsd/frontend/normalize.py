"""Rewrite an exported graph into the forms that both TVM versions import to the same Relax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from wsd.errors import CompileError

_aten = torch.ops.aten
_PASS_THROUGH = (
    _aten.alias.default,
    _aten.dropout.default,
    _aten.contiguous.default,
    _aten.detach.default,
)

# What only reorders values, or gives them another shape.
_REORDERS = (
    _aten.view.default,
    _aten.reshape.default,
    _aten.transpose.int,
    _aten.permute.default,
    _aten.unsqueeze.default,
)

# A float mask hides a position with -inf or with the lowest finite number.
_HIDDEN_BELOW = -1e4


def normalize(program: ExportedProgram) -> ExportedProgram:
    """Rewrite an exported graph in place into the forms that TVM imports.

    * drops assertions, aliases, dropout and no-op dtype or device casts;
    * turns a constant causal attention mask into ``is_causal=True``, and refuses other masks that
      are no bias of the scores;
    * multiplies the queries of an attention with a scale of its own, which TVM's importers ignore;
    * turns a lookup of all position ids in order into the table itself;
    * turns the choice of one row into a slice, because TVM makes a lookup by a 64-bit index of it;
    * gives a layer norm without scale and shift ones and zeros, which TVM's importer asks for;
    * turns squares and cubes into products, because WGSL's ``pow`` takes no negative numbers;
    * turns an einsum that only reorders axes into that order;
    * turns a nearest-neighbour resize to a given size into a doubling whose last row or column
      is cut off where the size is odd;
    * removes nodes whose results are unused, such as CLIP's own pooled output.

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
            _replace_mask(node)
            _replace_scale(node)
        elif node.target is _aten.embedding.default:
            _replace_position_lookup(program, node)
        elif node.target is _aten.upsample_nearest2d.vec:
            _replace_resize(node)
        elif node.target is _aten.select.int:
            _replace_select(node)
        elif node.target is _aten.layer_norm.default:
            _complete_layer_norm(node)
        elif node.target is _aten.einsum.default:
            _replace_einsum(node)
        elif node.target is _aten.pow.Tensor_Scalar:
            _replace_power(node)
    # torch treats attention as impure because of its dropout, which is off in evaluation mode.
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    _drop_unread(program)
    program.graph_module.recompile()
    _refuse_unsupported(graph)
    return program


def _is_no_op_cast(node: Node) -> bool:
    """Tell whether a node is a cast to the dtype that its argument already has."""
    if node.target not in (_aten.to.dtype, _aten.to.device, _aten.to.dtype_layout):
        return False
    source = node.args[0]
    return isinstance(source, Node) and source.meta["val"].dtype == node.meta["val"].dtype


def _constant(value: Any, known: Mapping[str, torch.Tensor]) -> Any:
    """Evaluate an argument that depends only on known placeholders; else return None.

    Args:
        value: a node, a constant, or a list of both.
        known: placeholder name to value.
    """
    if isinstance(value, list | tuple):
        return _constants(value, known)
    if not isinstance(value, Node):
        return value
    if value.op != "call_function":
        return known.get(value.name)
    arguments = _constants(value.args, known)
    if arguments is None:
        return None
    return value.target(*arguments, **value.kwargs)  # type: ignore[operator]


def _constants(values: Sequence[Any], known: Mapping[str, torch.Tensor]) -> list[Any] | None:
    """Evaluate arguments as :func:`_constant` does; return None if one of them depends on more."""
    found = [_constant(value, known) for value in values]
    missing = any(a is None and b is not None for a, b in zip(found, values, strict=True))
    return None if missing else found


def _replace_mask(node: Node) -> None:
    """Replace a constant causal mask by ``is_causal=True``; leave a bias of the scores."""
    mask_argument = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    if mask_argument is None:
        return
    mask = _constant(mask_argument, {})
    if mask is None:
        if _is_bias(node, mask_argument.meta["val"]):  # type: ignore[union-attr]
            return
        raise CompileError(
            f"attention {node.name!r} has a mask that depends on the inputs",
            "only unmasked and causal attention are compiled, and float32 masks (1 or batch, 1 or "
            "heads, 1 or queries, keys): change the model's mask",
        )
    allowed = mask if mask.dtype == torch.bool else mask > _HIDDEN_BELOW
    square = allowed.reshape(-1, *allowed.shape[-2:])[0]
    if not torch.equal(allowed, torch.ones_like(allowed).tril()) or len(set(square.shape)) != 1:
        raise CompileError(
            f"attention {node.name!r} has a constant mask that is not causal",
            "only unmasked and causal attention are compiled: change the model's mask",
        )
    node.args = node.args[:3]
    node.kwargs = {
        **{key: value for key, value in node.kwargs.items() if key != "attn_mask"},
        "is_causal": True,
    }


def _is_bias(node: Node, mask: torch.Tensor) -> bool:
    """Tell whether a mask is added to the scores of an attention, as both TVM versions add it."""
    query, key = (argument.meta["val"] for argument in node.args[:2])  # type: ignore[union-attr]
    scores = (*query.shape[:-1], key.shape[-2])
    return (
        mask.dtype == torch.float32
        and mask.ndim == len(scores) == 4
        and mask.shape[-1] == scores[-1]
        and all(extent in (1, whole) for extent, whole in zip(mask.shape, scores, strict=True))
    )


def _replace_scale(node: Node) -> None:
    """Multiply the queries in place of the scores, where the scale is not 1 / sqrt(head_dim).

    That is all that TVM's importers know: they ignore the operator's scale. The factor stands
    where the queries are made, before they are reordered for the attention, so that it becomes a
    part of the epilogue of the matrix product that makes them.
    """
    scale = node.kwargs.get("scale")
    query: Any = node.args[0]
    usual = query.meta["val"].shape[-1] ** -0.5
    if scale is None or math.isclose(scale, usual):  # type: ignore[arg-type]
        return
    user, source = node, query
    # Queries that are the keys too stay what they are.
    is_alone = node.args[:3].count(query) == 1
    while is_alone and source.target in _REORDERS and len(source.users) == 1:
        user, source = source, source.args[0]
    with node.graph.inserting_before(user):
        scaled = node.graph.call_function(_aten.mul.Tensor, (source, scale / usual))
    scaled.meta["val"] = source.meta["val"]
    user.args = (scaled, *user.args[1:])
    node.kwargs = {key: value for key, value in node.kwargs.items() if key != "scale"}


def _replace_position_lookup(program: ExportedProgram, node: Node) -> None:
    """Replace ``embedding(table, arange(rows))`` by the table with a batch dimension."""
    table, indices = node.args[0], node.args[1]
    stored = {**program.state_dict, **program.constants}
    buffers = program.graph_signature.inputs_to_buffers
    # torch 2.7 records a slice of the whole buffer, which later versions leave out.
    ids = _constant(indices, {node: stored[name] for node, name in buffers.items()})
    if ids is None:
        return
    rows = table.meta["val"].shape[0]  # type: ignore[union-attr]
    if not torch.equal(ids.flatten(), torch.arange(rows)):
        raise CompileError(
            f"embedding {node.name!r} looks up {list(ids.shape)} fixed ids in {rows} rows",
            "only position ids 0, 1, 2 … over the whole table are compiled: shorten the table",
        )
    with node.graph.inserting_before(node):
        whole = node.graph.call_function(_aten.unsqueeze.default, (table, 0))
    whole.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(whole)
    node.graph.erase_node(node)


def _replace_select(node: Node) -> None:
    """Replace ``select(x, axis, index)`` by a slice of one, and a view without the axis."""
    source, axis, index = node.args
    value = node.meta["val"]
    extent = source.meta["val"].shape[axis]  # type: ignore[union-attr]
    start = index % extent
    graph = node.graph
    with graph.inserting_before(node):
        cut = graph.call_function(_aten.slice.Tensor, (source, axis, start, start + 1))
        cut.meta["val"] = value.unsqueeze(axis)
        chosen = graph.call_function(_aten.view.default, (cut, list(value.shape)))
        chosen.meta["val"] = value
    node.replace_all_uses_with(chosen)
    graph.erase_node(node)


def _complete_layer_norm(node: Node) -> None:
    """Give a layer norm without scale and shift ones and zeros of the normalised shape.

    They are made anew for each norm, so that each is fused into the kernel that reads it.
    """
    source, shape, weight, bias, *rest = (*node.args, None, None)[: max(len(node.args), 4)]
    makers = ((weight, _aten.ones.default), (bias, _aten.zeros.default))
    filled = []
    for given, maker in makers:
        made = given
        if made is None:
            with node.graph.inserting_before(node):
                made = node.graph.call_function(maker, (shape,))
            made.meta["val"] = node.meta["val"].new_empty(shape)
        filled.append(made)
    node.args = (source, shape, *filled, *rest)


def _replace_power(node: Node) -> None:
    """Replace a square or a cube by products."""
    source, exponent = node.args
    if exponent not in (2, 3):
        raise CompileError(
            f"power {node.name!r} has the exponent {exponent}",
            "only squares and cubes are compiled: rewrite the model's power",
        )
    made = source
    for _ in range(int(exponent) - 1):  # type: ignore[arg-type]
        with node.graph.inserting_before(node):
            made = node.graph.call_function(_aten.mul.Tensor, (made, source))
        made.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(made)  # type: ignore[arg-type]
    node.graph.erase_node(node)


def _replace_einsum(node: Node) -> None:
    """Replace an einsum of one tensor that sums nothing by a permutation."""
    equation, operands = node.args[0], node.args[1]
    before, _, after = str(equation).replace(" ", "").partition("->")
    if not isinstance(operands, list) or len(operands) != 1 or sorted(before) != sorted(after):
        raise CompileError(
            f"einsum {node.name!r} computes {equation!r}",
            "only a reordering of one tensor's axes is compiled: rewrite the model's einsum",
        )
    with node.graph.inserting_before(node):
        order = [before.index(axis) for axis in after]
        moved = node.graph.call_function(_aten.permute.default, (operands[0], order))
    moved.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(moved)
    node.graph.erase_node(node)


def _replace_resize(node: Node) -> None:
    """Replace a nearest-neighbour resize to a given size by a doubling and slices.

    diffusers resizes to the size of a skip connection where a level of the UNet was halved
    unevenly, from ceil(n / 2) to n. PyTorch computes the source of a pixel in float32, TVM's
    versions compute it by other rules; a doubling and a slice mean the same to all of them.
    A resize by a factor stays as it is.
    """
    source, size = node.args[0], node.args[1]
    if size is None:
        return
    shape = source.meta["val"].shape  # type: ignore[union-attr]
    extents: list[int] = list(size)  # type: ignore[arg-type]
    for before, after in zip(shape[2:], extents, strict=True):
        if not torch.equal(_nearest_sources(int(before), after), torch.arange(after) // 2):
            raise CompileError(
                f"resize {node.name!r} maps an axis of {before} pixels to {after} pixels",
                "only n pixels to 2 n or 2 n - 1 pixels are compiled: change the model's resize",
            )
    graph, value = node.graph, node.meta["val"]
    shape = [*shape[:2], *(2 * extent for extent in shape[2:])]
    with graph.inserting_before(node):
        made = graph.call_function(_aten.upsample_nearest2d.vec, (source, None, [2.0, 2.0]))
        made.meta["val"] = value.new_empty(shape)
        for axis, extent in enumerate(extents, start=2):
            if shape[axis] != extent:
                shape[axis] = extent
                made = graph.call_function(_aten.slice.Tensor, (made, axis, 0, extent))
                made.meta["val"] = value.new_empty(shape)
    node.replace_all_uses_with(made)
    graph.erase_node(node)


def _nearest_sources(before: int, after: int) -> torch.Tensor:
    """Return which of ``before`` pixels each of ``after`` pixels is, as PyTorch resizes."""
    # float64, because float32 counts exactly only up to 2^24.
    pixels = torch.arange(before, dtype=torch.float64).reshape(1, 1, -1)
    resized = torch.nn.functional.interpolate(pixels, size=after, mode="nearest")
    return resized.flatten().to(torch.int64)


def _drop_unread(program: ExportedProgram) -> None:
    """Remove unused buffers and parameters from graph, signature and constants.

    The importer of TVM v0.21 looks every buffer up in the state dict, where buffers that
    are not saved (CLIP's position ids) do not exist. Parameters are unused where the last layer
    of an encoder is, as in SDXL; a visitor should not download them.
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
                "shaders hold float32 and int32: rewrite the node in wsd/frontend/normalize.py",
            )
