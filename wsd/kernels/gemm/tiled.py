"""Products as tiles in shared memory, on any WebGPU adapter.

Linear layers and convolutions are both C[m, n] = Σ A[m, k] W[n, k]; a convolution's A
is gathered from the image, channels last, and what a step takes of k lies within one
tap, so that addresses are computed once a tap and nothing is divided in the loop
("implicit GEMM", Chetlur et al. 2014, "cuDNN: Efficient primitives for deep learning").

A tile of A and one of W lie in shared memory as they lie in storage, k innermost, four
values a vector, one vector of padding a row, so that threads that read different rows
meet no bank twice. The next step's loads are in flight while this one's are multiplied.
All sums are float32.

Where a product has too few tiles to fill a GPU, k is cut into parts
(:mod:`wsd.kernels.gemm.split_k`).

Roofline: with 8 x 4 results a thread, 12 vectors of shared memory feed 128 multiply-adds,
and a tile of 64 x 64 does 32 for each value that it loads: bound by arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wsd.kernels.gemm.loads import Loads
from wsd.kernels.gemm.split_k import divides, first_step, product_variant, store
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import VECTOR, Variant


@dataclass(frozen=True)
class Tile:
    """What one workgroup makes.

    Attributes:
        rows: of the tile.
        columns: of the tile.
        depth: values of k a step.
        thread_rows: results a thread makes along m.
        thread_columns: and along n.
        parts: into how many k is cut.
    """

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int
    parts: int = 1

    @property
    def across(self) -> int:
        """Return the threads along n."""
        return self.columns // self.thread_columns

    @property
    def down(self) -> int:
        """Return the threads along m."""
        return self.rows // self.thread_rows

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.across * self.down

    @property
    def stride(self) -> int:
        """Return the vectors of shared memory from one row to the next."""
        return self.depth // VECTOR + 1

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup, padding included."""
        return 4 * (self.depth + VECTOR) * (self.rows + self.columns)


def fits(product: GemmProblem, tile: Tile) -> bool:
    """Tell whether steps of a tile's depth divide a product, and its parts are not too many."""
    return product.along % tile.depth == 0 and divides(product, tile.depth, tile.parts)


@dataclass(frozen=True)
class Arithmetic:
    """How a thread multiplies what lies in shared memory.

    Attributes:
        vector: the type of four values there.
        a: WGSL that makes it of four values of A, as a format string.
        w: and of W.
        sums: lines of one step, which add to the thread's ``c0_0``, ``c0_1`` ….
        result: WGSL of a sum's value, as a format string.
    """

    vector: str
    a: str
    w: str
    sums: Callable[[Tile], list[str]]
    result: str


def tiled(product: GemmProblem, tile: Tile) -> Variant:
    """Return the kernel of a product that a tile fits."""
    return product_variant(product, tile, tile_body(product, tile, _FLOATS))


def tile_body(product: GemmProblem, tile: Tile, arithmetic: Arithmetic) -> str:
    """Return the WGSL of a workgroup that makes a tile."""
    loads = Loads.of(product, tile)
    rows, columns = range(tile.thread_rows), range(tile.thread_columns)

    def put(name: str, value: str, i: int) -> str:
        return f"{name}[(row + {i * loads.apart}u) * {tile.stride}u + along] = {value};"

    lines = [
        f"var<workgroup> ta : array<{arithmetic.vector}, {tile.rows * tile.stride}>;",
        f"var<workgroup> tw : array<{arithmetic.vector}, {tile.columns * tile.stride}>;",
        f"@compute @workgroup_size({tile.threads})",
        "fn main(@builtin(workgroup_id) group : vec3<u32>,",
        "        @builtin(local_invocation_index) t : u32) {",
        f"let tx = t % {tile.across}u;",
        f"let ty = t / {tile.across}u;",
        first_step(tile.parts),
        *loads.start(),
        *(f"var c{i}_{j} = 0.0f;" for i in rows for j in columns),
        "for (var s = 0u; s < STEPS; s++) {",
        "workgroupBarrier();",
        *(put("ta", arithmetic.a.format(f"na{i}"), i) for i in range(loads.a)),
        *(put("tw", arithmetic.w.format(f"nw{i}"), i) for i in range(loads.w)),
        "workgroupBarrier();",
        "if (s + 1u < STEPS) {",
        *loads.advance(),
        "}",
        *arithmetic.sums(tile),
        "}",
    ]
    for i in rows:
        lines.append(f"{{ let m = group.y * {tile.rows}u + ty + {i * tile.down}u; if (m < M) {{")
        for j in columns:
            value = store(arithmetic.result.format(f"c{i}_{j}"), tile.parts)
            lines.append(
                f"{{ let n = group.x * {tile.columns}u + tx + {j * tile.across}u; "
                f"if (n < N) {{ let at = m * N + n; {value} }} }}"
            )
        lines.append("} }")
    return "\n".join([*lines, "}"]) + "\n"


def read_vectors(tile: Tile, at: str) -> list[str]:
    """Return declarations of a thread's vectors ``a0`` … and ``b0`` …, at an index along k."""

    def read(array: str, row: str) -> str:
        return f"{array}[({row}) * {tile.stride}u + {at}]"

    rows, columns = range(tile.thread_rows), range(tile.thread_columns)
    return [
        *(f"let a{i} = {read('ta', f'ty + {i * tile.down}u')};" for i in rows),
        *(f"let b{j} = {read('tw', f'tx + {j * tile.across}u')};" for j in columns),
    ]


def _float_sums(tile: Tile) -> list[str]:
    rows, columns = range(tile.thread_rows), range(tile.thread_columns)
    return [
        f"for (var k = 0u; k < {tile.depth // VECTOR}u; k++) {{",
        *read_vectors(tile, "k"),
        *(
            f"c{i}_{j} = fma(a{i}.{component}, b{j}.{component}, c{i}_{j});"
            for component in "xyzw"
            for i in rows
            for j in columns
        ),
        "}",
    ]


_FLOATS = Arithmetic("vec4<f32>", "{}", "{}", _float_sums, "{}")
