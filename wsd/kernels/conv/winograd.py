"""Convolutions of 3x3 by Winograd's F(2x2, 3x3): 16 products for 4 results instead of 36.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1. Results are
made in tiles of 2x2 pixels. One launch transforms the weights into u; for each chunk of tiles one
launch transforms the image into v, one multiplies (16 GEMMs of one size, by the kernels of
:mod:`wsd.kernels.gemm`), and one transforms the products into results. The WGSL of the transforms
is in ``templates/conv/winograd_*.wgsl.j2``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from wsd.kernels.gemm.f16 import F16Tile, f16_gemm
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile, subgroup_matrix_gemm
from wsd.kernels.gemm.tiled import GemmTile, tiled_gemm
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.template import render_head_and_body
from wsd.kernels.variant import MAX_WORKGROUPS, VECTOR, Launch, Variant

T = TypeVar("T", GemmTile, F16Tile, SubgroupMatrixTile)

# Edge of a tile of results, in pixels.
_EDGE = 2
# Values of a transformed tile, and of the transformed window of a pair of channels.
_PRODUCTS = 16
# Tiles of a chunk are a multiple of this where there are several chunks: of rows of a GEMM's tile.
_ROWS = 128
_THREADS = 256
# Numbers of the scratch buffers: transformed weights, transformed image, products.
_U, _V, _SUMS = 0, 1, 2
# Most bytes of u, and of v and of the products of one chunk. Together they stay below the 192 MiB
# that a page may spend, and each below 128 MiB, the default of maxStorageBufferBindingSize. The
# second also keeps a chunk within the cache of a large GPU.
MAX_U_BYTES = 100 << 20
MAX_CHUNK_BYTES = 44 << 20


@dataclass(frozen=True)
class _Form:
    """How the products are multiplied.

    Attributes:
        is_f16: whether u and v are float16; else they are float32.
        v_divisor: what v is divided by, so that large activations stay finite in float16: a value
            of v is a sum of four of them.
        int8_divisor: what u is divided by if the weights are int8, whole numbers up to 127.
    """

    is_f16: bool
    v_divisor: int = 1
    int8_divisor: int = 1

    def u_divisor(self, problem: GemmProblem) -> int:
        """Return what u of a convolution is divided by."""
        return self.int8_divisor if problem.weights == "int8" else 1

    @property
    def bytes(self) -> int:
        """Return the size of a value of u and of v."""
        return 2 if self.is_f16 else 4


_F32 = _Form(is_f16=False)
# The divisors are those of templates/gemm/f16.wgsl.j2 and gemm/subgroup_matrix.wgsl.j2: only the
# former adds in float16. int8 weights become multiples of 1/4 below 288, exact in float16.
_F16 = _Form(is_f16=True, v_divisor=16, int8_divisor=128)
_MATRIX = _Form(is_f16=True, v_divisor=64)


def is_winograd_conv(problem: GemmProblem) -> bool:
    """Tell whether a problem is a convolution of 3x3 with stride 1 and padding 1."""
    conv = problem.conv
    return conv is not None and (conv.kernel, conv.stride, conv.padding) == (3, 1, 1)


def fits_winograd(problem: GemmProblem, tile: GemmTile | SubgroupMatrixTile) -> bool:
    """Tell whether a problem is such a convolution, and a tile fits its products.

    The tile's k divides the channels, and the transformed weights are at most 100 MiB.
    """
    if not is_winograd_conv(problem) or tile.split_k != 1:
        return False
    form = _F32 if type(tile) is GemmTile else _F16
    u_bytes = _PRODUCTS * form.bytes * problem.n * problem.k_contiguous
    return problem.k_contiguous % tile.k == 0 and u_bytes <= MAX_U_BYTES


def winograd_tiles(problem: GemmProblem) -> int:
    """Return the tiles of 2x2 results of a convolution; those of odd sizes are cut off."""
    conv = _conv(problem)
    return conv.batch * _ceil(conv.out_height, _EDGE) * _ceil(conv.out_width, _EDGE)


def winograd_products(problem: GemmProblem, is_f16: bool) -> GemmProblem:
    """Return the products of one chunk of tiles of a convolution.

    Args:
        problem: the convolution.
        is_f16: whether they are multiplied in float16, from operands that are stored so.
    """
    channels = _conv(problem).channels
    tile_bytes = _PRODUCTS * max((2 if is_f16 else 4) * channels, 4 * problem.n)
    chunk = _chunk(winograd_tiles(problem), MAX_CHUNK_BYTES // tile_bytes)
    dtype: Literal["float32", "float16"] = "float16" if is_f16 else "float32"
    return GemmProblem(chunk, problem.n, channels, dtype, products=_PRODUCTS, a_dtype=dtype)


def _chunk(tiles: int, most: int) -> int:
    """Return the tiles of a chunk: of those that leave the last chunk fullest, the largest."""
    if tiles <= max(most, _ROWS):
        return tiles
    largest = max(most // _ROWS, 1)
    counts = [rows * _ROWS for rows in range(largest, largest // 2, -1)]
    return min(counts, key=lambda count: _ceil(tiles, count) * count)


def winograd_f32(problem: GemmProblem, tile: GemmTile) -> Variant:
    """Return the variant of a convolution that multiplies in float32, for any adapter."""
    return _winograd(problem, tile, _F32, tiled_gemm)


def winograd_f16(problem: GemmProblem, tile: F16Tile) -> Variant:
    """Return the variant of a convolution that multiplies in float16."""
    return _winograd(problem, tile, _F16, f16_gemm)


def winograd_subgroup_matrix(problem: GemmProblem, tile: SubgroupMatrixTile) -> Variant:
    """Return the variant of a convolution that multiplies on matrix units."""
    return _winograd(problem, tile, _MATRIX, subgroup_matrix_gemm)


def _winograd(
    problem: GemmProblem, tile: T, form: _Form, gemm: Callable[[GemmProblem, T], Variant]
) -> Variant:
    conv = _conv(problem)
    products = winograd_products(problem, form.is_f16)
    multiply = gemm(products, tile)
    [launch] = multiply.launches
    launch = replace(launch, buffers=(_SUMS, _V, _U))
    result, image, *weights = problem.buffers[: 1 + len(problem.operands)]
    tiles = winograd_tiles(problem)
    values = {
        "problem": problem,
        "conv": conv,
        "is_f16": form.is_f16,
        "v_divisor": form.v_divisor,
        "u_divisor": form.u_divisor(problem),
        "chunk": products.m,
        "tiles": tiles,
        "tiles_y": _ceil(conv.out_height, _EDGE),
        "tiles_x": _ceil(conv.out_width, _EDGE),
        "threads": _THREADS,
    }
    vectors = conv.channels // VECTOR
    launches = [_transform("weights", values, problem.n * vectors, (_U, *weights))]
    to_v = _transform("image", values, products.m * vectors, (_V, image))
    to_results = _transform(
        "results", values, products.m * problem.n, (result, _SUMS, *problem.epilogue_operands)
    )
    for first in range(0, tiles, products.m):
        launches += [replace(to_v, uniform=first), launch, replace(to_results, uniform=first)]
    return replace(
        multiply,
        launches=tuple(launches),
        threads=max(multiply.threads, _THREADS),
        scratch_bytes=(
            _PRODUCTS * form.bytes * problem.n * conv.channels,
            _PRODUCTS * form.bytes * products.m * conv.channels,
            _PRODUCTS * 4 * products.m * problem.n,
        ),
        operations=problem.operations,
    )


def _transform(
    name: str, values: Mapping[str, object], threads: int, buffers: tuple[str | int, ...]
) -> Launch:
    """Return the launch of a transform that has so many threads."""
    head, body = render_head_and_body(f"conv/winograd_{name}.wgsl.j2", **values)
    workgroups = _ceil(threads, _THREADS)
    rows = _ceil(workgroups, MAX_WORKGROUPS)
    return Launch(head, body, (_ceil(workgroups, rows), rows, 1), buffers)


def _conv(problem: GemmProblem) -> Conv2d:
    assert problem.conv is not None
    return problem.conv


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
