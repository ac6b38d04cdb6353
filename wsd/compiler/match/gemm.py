"""Match the TIR functions that are GEMMs (linear layers and convolutions).

They are read after fusion and before they are scheduled. Such a function has a few blocks: one
that pads the image (``pad_temp``), one that unpacks the weight (``unpacked``), the sum itself
(``linear`` or ``conv2d``), and what is computed of each result (the epilogue). The names are
those that :mod:`wsd.compiler.tir` gives.
"""

from __future__ import annotations

import math
from typing import Any

from wsd.compiler.match.epilogue import INDEX, NoMatch, ResultIndex, print_expression
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
from wsd.kernels.problem import Conv2d, GemmProblem, Weights
from wsd.spec.parameter import GROUP, PACKED_PER_WORD

_SUMS = ("linear", "conv2d")
_PADDED = "pad_temp"
# (upsample, stride) of the convolutions that the kernels compute.
_UPSAMPLE_AND_STRIDE = ((1, 1), (1, 2), (2, 1))


def match_gemm(function: Any) -> GemmProblem | None:
    """Return the GEMM problem that a TIR function computes, or None.

    Args:
        function: a PrimFunc after fusion, not yet scheduled. It is not changed.
    """
    schedule = Schedule(function)
    blocks = normalize_prim_func(schedule)
    if blocks is None:
        return None
    sums = [block.name for block in blocks if block.name in _SUMS]
    if len(sums) != 1:
        return None
    loads = [block for block in blocks if block.name.startswith((_PADDED, UNPACKED))]
    rest = dlight.base.try_inline(schedule, [block for block in blocks if block not in loads])
    if not rest or rest[0].name not in sums or len(rest) > 2:
        return None
    statements = {block.name: schedule.get(block.block_rv) for block in (*loads, *rest)}
    epilogue = statements[rest[1].name] if len(rest) == 2 else None
    try:
        return _read_problem(sums[0], statements, epilogue)
    except NoMatch:
        return None


def _read_problem(sum_name: str, statements: dict[str, Any], epilogue: Any) -> GemmProblem:
    """Return the problem of a sum's block.

    Args:
        sum_name: ``linear`` or ``conv2d``.
        statements: block name → block, of the sum and of what makes its operands.
        epilogue: the block after the sum, or None.

    Raises:
        NoMatch: if the kernels do not compute it.
    """
    gemm = statements[sum_name]
    if len(gemm.reads) != 2:
        # dlight drops a reduction axis of extent 1, and the block then reads its own result.
        raise NoMatch("a sum of one term is no GEMM")
    left, right = gemm.reads
    *outer, n = _shape(buffer_of(gemm.writes[0]))
    m = math.prod(outer)
    terms = math.prod(int(iterator.dom.extent) for iterator in gemm.iter_vars)
    k = terms // (m * n)
    [a] = _made_from(statements, buffer_of(left), _PADDED, n=1)
    w, weights, scales = _read_weight(statements, buffer_of(right), n * k)
    conv = None
    if sum_name == "conv2d":
        conv = _read_conv2d(statements, a, outer, _shape(buffer_of(right)))
    elif math.prod(_shape(a)) != m * k:
        raise NoMatch("A is not stored as M rows of K values")
    operands, text = _read_epilogue(buffer_of(gemm.writes[0]), epilogue, m, n)
    result = buffer_of((epilogue or gemm).writes[0])
    buffers = (name_of(result), name_of(a), name_of(w), *map(name_of, scales), *operands)
    return GemmProblem(m, n, k, weights, conv, buffers, text)


def _read_weight(
    statements: dict[str, Any], buffer: Any, values: int
) -> tuple[Any, Weights, list[Any]]:
    """Return what a weight of so many values is read from: its buffer, how, and int4's scales."""
    made_from = _made_from(statements, buffer, UNPACKED, n=2)
    if len(made_from) == 1:
        [words] = made_from
        return words, _read_weights(words, values), []
    # int4's words are eight times as many as the words of its scales.
    scales, words = sorted(made_from, key=lambda each: math.prod(_shape(each)))
    sizes = [math.prod(_shape(each)) for each in (words, scales)]
    if sizes != [values // PACKED_PER_WORD["int4"], -(-values // (2 * GROUP))]:
        raise NoMatch(f"a weight of {values} values in {sizes} words")
    return words, "int4", [scales]


def _read_weights(buffer: Any, values: int) -> Weights:
    """Return how a weight of so many values is stored, by its dtype and its number of words."""
    words = math.prod(_shape(buffer))
    if str(buffer.dtype) == "float32":
        found: Weights | None = "float32" if words == values else None
    else:
        packings: dict[int, Weights] = {-(-values // 2): "float16", -(-values // 4): "int8"}
        found = packings.get(words)
    if found is None:
        raise NoMatch(f"a weight of {values} values in {words} words")
    return found


def _made_from(statements: dict[str, Any], buffer: Any, stage: str, n: int) -> list[Any]:
    """Return the at most n buffers from which a stage makes this one; itself if no stage does."""
    for name, statement in statements.items():
        if name.startswith(stage) and buffer_of(statement.writes[0]).same_as(buffer):
            if len(statement.reads) > n:
                raise NoMatch(f"{name} reads several buffers")
            return [buffer_of(read) for read in statement.reads]
    return [buffer]


def _read_conv2d(
    statements: dict[str, Any], image: Any, outer: list[int], weight: list[int]
) -> Conv2d:
    """Return a convolution's shape.

    Args:
        statements: block name → block.
        image: the buffer (batch, height, width, channels) before the padding.
        outer: (batch, height, width) of the result.
        weight: the weight's shape, (out, ky, kx, channels).
    """
    batch, *out = outer
    _, height, width, channels = _shape(image)
    _, kernel, kernel_width, _ = weight
    padding, repeats, more = _read_padding(statements, (height, width))
    for upsample, stride in _UPSAMPLE_AND_STRIDE:
        # Of zeros after the last row or column, a kernel reads as many as its results need.
        found = [
            (extent * upsample + 2 * padding + extra - kernel) // stride + 1
            for extent, extra in zip((height, width), more, strict=True)
        ]
        # The last row and column of an upsampled image may be cut off.
        allowed = {0, 1} if upsample > 1 and repeats else {0}
        if {f - o for f, o in zip(found, out, strict=True)} <= allowed and kernel == kernel_width:
            return Conv2d(
                batch=batch,
                height=height,
                width=width,
                channels=channels,
                out_height=out[0],
                out_width=out[1],
                kernel=kernel,
                stride=stride,
                padding=padding,
                upsample=upsample,
            )
    raise NoMatch("a window that is not square, or another stride")


def _read_padding(
    statements: dict[str, Any], extents: tuple[int, int]
) -> tuple[int, bool, tuple[int, int]]:
    """Return how an image is padded.

    Args:
        statements: block name → block.
        extents: rows and columns of the image before it is padded.

    Returns:
        (zeros before the first row and column, which is 0 if nothing pads the image; whether the
        second row and column repeat the first, as those of an upsampled image do; how many more
        zeros follow the last row, and the last column, than precede the first, which is 0 for an
        upsampled image).
    """
    for name, statement in statements.items():
        if name.startswith(_PADDED):
            region = statement.reads[0].region
            variables = [iterator.var for iterator in statement.iter_vars]
            starts = [region[axis].min for axis in (1, 2)]
            offsets = {-_value_at(0, start, variables) for start in starts}
            if len(offsets) != 1:
                raise NoMatch("rows and columns are padded differently")
            padding = offsets.pop()
            seconds = [_value_at(padding + 1, start, variables) for start in starts]
            if seconds == [0, 0]:
                return padding, True, (0, 0)
            padded = _shape(buffer_of(statement.writes[0]))[1:3]
            down, across = (p - e - 2 * padding for p, e in zip(padded, extents, strict=True))
            return padding, False, (down, across)
    return 0, False, (0, 0)


def _shape(buffer: Any) -> list[int]:
    return [int(extent) for extent in buffer.shape]


def _value_at(position: int, expression: Any, variables: list[Any]) -> int:
    """Evaluate an index where all variables have one value."""
    solver = analyzer()
    for variable in variables:
        solver.bind(variable, tir.const(position, INDEX))
    return int(solver.simplify(expression))


def _read_epilogue(sums: Any, epilogue: Any, m: int, n: int) -> tuple[list[str], str]:
    """Return the names of the buffers that an epilogue reads, and its WGSL.

    Args:
        sums: the buffer of the sums, which the epilogue calls ``value``.
        epilogue: the block after the sum, or None.
        m: extent of M.
        n: extent of N.
    """
    if epilogue is None:
        return [], "value"
    store = epilogue.body
    index = ResultIndex(m, n, _shape(store.buffer), list(store.indices))
    names: list[str] = []

    def print_load(load: Any) -> str:
        position = index.position(_shape(buffer_of(load)), load.indices)
        if buffer_of(load).same_as(sums):
            if not index.is_result(position):
                raise NoMatch("the epilogue reads the sum of another result")
            return "value"
        name = name_of(buffer_of(load))
        if name not in names:
            names.append(name)
        return f"e{names.index(name)}[{index.print_position(position)}]"

    text = print_expression(store.value, print_load)
    return names, text
