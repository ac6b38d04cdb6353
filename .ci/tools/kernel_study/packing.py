"""Launches that change how an operand is stored, before a GEMM or an attention reads it."""

from __future__ import annotations

from tools.kernel_study.candidate import Launch, flat_grid
from tools.kernel_study.template import render
from wsd.kernels.variant import VECTOR


def convert_to_f16(source: str, target: str, values: int, factor: float) -> Launch:
    """Return the launch that rounds float32 values to float16.

    Args:
        source: name of the buffer that is read.
        target: name of the buffer that is written.
        values: how many there are.
        factor: what they are multiplied by before.
    """
    vectors = values // VECTOR
    shader = render("convert_f16.wgsl.j2", vectors=vectors, factor=factor)
    return Launch(shader, flat_grid(vectors), (target, source), "convert")


def pack_matrix(
    source: str,
    target: str,
    shape: tuple[int, int],
    *,
    padded_rows: int | None = None,
    is_f16: bool = False,
    factor: float = 1,
    once: bool = False,
) -> Launch:
    """Return the launch that packs a matrix into matrices of 16 x 16.

    Args:
        source: name of the buffer that is read.
        target: name of the buffer that is written, in float16.
        shape: rows and columns of the source.
        padded_rows: rows of the target; None for those of the source.
        is_f16: whether the source is float16; float32 otherwise.
        factor: what float32 values are multiplied by before they are rounded.
        once: whether it is a weight, which is packed when it is loaded.
    """
    rows, columns = shape
    padded_rows = padded_rows or rows
    shader = render(
        "pack_matrices.wgsl.j2",
        rows=rows,
        columns=columns,
        padded_rows=padded_rows,
        is_f16=is_f16,
        factor=factor,
    )
    grid = flat_grid(padded_rows * columns // VECTOR)
    return Launch(shader, grid, (target, source), f"pack {source}", once)
