"""Which of TVM's functions are products, read from their TIR before it is scheduled.

After fusion a product is a few blocks: how the first operand is padded and the second
unpacked, the sum itself, and what is computed of each result.
"""

from __future__ import annotations

import math
from typing import Any

from wsd.compiler.match.epilogue import INDEX, Indices, NotWritable, write
from wsd.compiler.tir.dequantize import UNPACKED
from wsd.compiler.tvm_compat import (
    Schedule,
    analyzer,
    buffer_of,
    dlight,
    name_of,
    normalize_prim_func,
    tir,
)
from wsd.kernels.problem import Conv2d, GemmProblem


def match_gemm(function: Any) -> GemmProblem | None:
    """Return the product that a PrimFunc is, or None."""
    schedule = Schedule(function)
    blocks = normalize_prim_func(schedule)
    if blocks is None:
        return None
    names = [block.name for block in blocks]
    kinds = [name for name in names if name in ("linear", "conv2d")]
    if len(kinds) != 1:
        return None
    loads = [b for b in blocks if b.name.startswith(("pad_temp", UNPACKED))]
    rest = dlight.base.try_inline(schedule, [b for b in blocks if b not in loads])
    if not rest or rest[0].name not in kinds or len(rest) > 2:
        return None
    statements = {b.name: schedule.get(b.block_rv) for b in (*loads, *rest)}
    after = statements[rest[1].name] if len(rest) == 2 else None
    try:
        return _read(kinds[0], statements, after)
    except NotWritable:
        return None


def _read(kind: str, statements: dict[str, Any], after: Any) -> GemmProblem:
    product = statements[kind]
    left, right = product.reads
    *spatial, columns = _shape(buffer_of(product.writes[0]))
    rows = math.prod(spatial)
    terms = math.prod(int(iterator.dom.extent) for iterator in product.iter_vars)
    depth = terms // (rows * columns)
    source = _source(statements, buffer_of(left), "pad_temp")
    stored = _source(statements, buffer_of(right), UNPACKED)
    words = math.prod(_shape(stored))
    per_word = {columns * depth: "float32"} if str(stored.dtype) == "float32" else {
        -(-columns * depth // 2): "float16", -(-columns * depth // 4): "int8"
    }  # fmt: skip
    if words not in per_word:
        raise NotWritable("a weight of another size")
    conv = None
    if kind == "conv2d":
        conv = _conv(statements, source, spatial, _shape(buffer_of(right)))
    elif math.prod(_shape(source)) != rows * depth:
        raise NotWritable("rows that are not stored one after another")
    names, finish = _finish(buffer_of(product.writes[0]), after, rows, columns)
    result = buffer_of((after or product).writes[0])
    return GemmProblem(
        rows, columns, depth, per_word[words], conv,  # type: ignore[arg-type]
        (name_of(result), name_of(source), name_of(stored), *names), finish,
    )  # fmt: skip


def _source(statements: dict[str, Any], buffer: Any, stage: str) -> Any:
    """Return what a stage of this name reads, or the buffer itself if none made it."""
    for name, statement in statements.items():
        if name.startswith(stage) and buffer_of(statement.writes[0]).same_as(buffer):
            if len(statement.reads) != 1:
                raise NotWritable(f"{name} reads several buffers")
            return buffer_of(statement.reads[0])
    return buffer


def _conv(statements: dict[str, Any], source: Any, spatial: list[int], weight: list[int]) -> Conv2d:
    batch, out_height, out_width = spatial
    _, height, width, channels = _shape(source)
    _, kernel, across, _ = weight
    padding = 0
    for name, statement in statements.items():
        if name.startswith("pad_temp"):
            region = statement.reads[0].region
            variables = [iterator.var for iterator in statement.iter_vars]
            offsets = {-_at_zero(region[axis].min, variables) for axis in (1, 2)}
            if len(offsets) != 1:
                raise NotWritable("uneven padding")
            padding = offsets.pop()
    for times, stride in ((1, 1), (1, 2), (2, 1)):
        found = [(n * times + 2 * padding - kernel) // stride + 1 for n in (height, width)]
        if found == [out_height, out_width] and kernel == across:
            return Conv2d(
                batch, height, width, channels, out_height, out_width, kernel, stride, padding,
                times,
            )  # fmt: skip
    raise NotWritable("an oblong kernel or stride, or uneven padding")


def _shape(buffer: Any) -> list[int]:
    return [int(extent) for extent in buffer.shape]


def _at_zero(expression: Any, variables: list[Any]) -> int:
    """Evaluate an index where all variables are 0."""
    solver = analyzer()
    for variable in variables:
        solver.bind(variable, tir.const(0, INDEX))
    return int(solver.simplify(expression))


def _finish(product: Any, after: Any, rows: int, columns: int) -> tuple[list[str], str]:
    """Return the names of the buffers that the epilogue reads, and its text."""
    if after is None:
        return [], "value"
    store = after.body
    indices = Indices(rows, columns, _shape(store.buffer), list(store.indices))
    names: list[str] = []

    def load(node: Any) -> str:
        position = indices.position(_shape(buffer_of(node)), node.indices)
        if buffer_of(node).same_as(product):
            if not indices.is_result(position):
                raise NotWritable("another result is read")
            return "value"
        name = name_of(buffer_of(node))
        if name not in names:
            names.append(name)
        return f"e{names.index(name)}[{indices.text(position)}]"

    text = write(store.value, load)
    return names, text
