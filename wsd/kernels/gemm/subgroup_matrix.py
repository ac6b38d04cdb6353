"""Products on a GPU's matrix units, where the browser offers them.

The loop is that of :mod:`wsd.kernels.gemm.tiled`; but the tiles in shared memory are
halves, and each subgroup multiplies blocks of them by ``subgroupMatrixMultiplyAccumulate``
of WebGPU's experimental feature, with float32 sums. Activations are rounded to halves on
the way, so errors are about 2e-4 of the result and not 1e-6.

Roofline: a tile of 128 x 128 does 64 multiply-adds for each value that it loads; bound by
shared memory, from which each block is read once a subgroup.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsd.kernels.gemm.loads import Loads
from wsd.kernels.gemm.split_k import first_step, product_variant, store
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, MATRIX, SUBGROUPS, VECTOR, Variant

ENABLE = f"""enable f16;
enable subgroups;
enable {MATRIX.replace("-", "_")};
// A subgroup is what it is told by its threads' numbers: the compiler cannot see that.
diagnostic(off, chromium.subgroup_matrix_uniformity);
"""
# Halves of padding a row, so that rows begin in different banks.
PADDING = 8
# Activations are made this much smaller as halves, so that 4 million is not infinite: SDXL's
# decoder has more than the 65504 that a half holds. What is lost is below 2e-6 of 1.
_SHRINK = 64


@dataclass(frozen=True)
class MatrixTile:
    """What one workgroup makes, and how it is divided among subgroups.

    Attributes:
        rows: of the tile.
        columns: of the tile.
        depth: values of k a step.
        down: subgroups along m.
        across: subgroups along n.
        unit: rows, columns and depth of one operation of a matrix unit.
        lanes: threads of a subgroup.
        parts: into how many k is cut.
    """

    rows: int
    columns: int
    depth: int
    down: int
    across: int
    unit: tuple[int, int, int] = (16, 16, 16)
    lanes: int = 32
    parts: int = 1

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.down * self.across * self.lanes

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup."""
        tiles = 2 * (self.depth + PADDING) * (self.rows + self.columns)
        return tiles + 4 * self.down * self.across * self.unit[0] * self.unit[1]


def on_matrix_units(product: GemmProblem, tile: MatrixTile) -> Variant:
    """Return the kernel of a product that a tile fits."""
    return replace(
        product_variant(product, tile, _body(tile, Loads.of(product, tile)), ENABLE),
        features=(F16, SUBGROUPS, MATRIX),
        matrix=tile.unit,
        lanes=(tile.lanes, tile.lanes),
    )


def _body(tile: MatrixTile, loads: Loads) -> str:
    unit_rows, unit_columns, unit_depth = tile.unit
    stride = tile.depth + PADDING
    rows = range(tile.rows // tile.down // unit_rows)
    columns = range(tile.columns // tile.across // unit_columns)
    block = unit_rows * unit_columns
    kept = store(f"sums[subgroup * {block}u + q] * {_SHRINK}.0f", tile.parts)
    right = f"subgroup_matrix_right<f16, {unit_columns}, {unit_depth}>"
    result = f"subgroup_matrix_result<f32, {unit_columns}, {unit_rows}>"

    def put(tile_name: str, value: str, i: int) -> str:
        at = f"(row + {i * loads.apart}u) * {stride}u + along * {VECTOR}u"
        halves = "".join(
            f"{tile_name}[at + {n}u] = h.{component}; " for n, component in enumerate("xyzw")
        )
        return f"{{ let at = {at}; let h = vec4<f16>({value}); {halves}}}"

    lines = [
        f"var<workgroup> ta : array<f16, {tile.rows * stride}>;",
        f"var<workgroup> tw : array<f16, {tile.columns * stride}>;",
        f"var<workgroup> sums : array<f32, {tile.down * tile.across * block}>;",
        f"@compute @workgroup_size({tile.threads})",
        "fn main(@builtin(workgroup_id) group : vec3<u32>,",
        "        @builtin(local_invocation_index) t : u32) {",
        f"let subgroup = t / {tile.lanes}u;",
        f"let lane = t % {tile.lanes}u;",
        f"let down = subgroup / {tile.across}u * {tile.rows // tile.down}u;",
        f"let across = subgroup % {tile.across}u * {tile.columns // tile.across}u;",
        first_step(tile.parts),
        *loads.start(),
        *(f"var c{i}_{j} : {result};" for i in rows for j in columns),
        "for (var s = 0u; s < STEPS; s++) {",
        "workgroupBarrier();",
        *(put("ta", f"na{i} * {1 / _SHRINK}f", i) for i in range(loads.a)),
        *(put("tw", f"nw{i}", i) for i in range(loads.w)),
        "workgroupBarrier();",
        "if (s + 1u < STEPS) {",
        *loads.advance(),
        "}",
    ]
    for k in range(tile.depth // unit_depth):
        lines.append("{")
        lines += [
            f"let a{i} = subgroupMatrixLoad<subgroup_matrix_left<f16, {unit_depth}, {unit_rows}>>"
            f"(&ta, (down + {i * unit_rows}u) * {stride}u + {k * unit_depth}u, false, {stride}u);"
            for i in rows
        ]
        for j in columns:
            lines.append(
                f"let b{j} = subgroupMatrixLoad<{right}>"
                f"(&tw, (across + {j * unit_columns}u) * {stride}u + {k * unit_depth}u,"
                f" true, {stride}u);"
            )
            lines += [
                f"c{i}_{j} = subgroupMatrixMultiplyAccumulate(a{i}, b{j}, c{i}_{j});" for i in rows
            ]
        lines.append("}")
    lines.append("}")
    for i in rows:
        for j in columns:
            lines += [
                "workgroupBarrier();",
                f"subgroupMatrixStore(&sums, subgroup * {block}u, c{i}_{j}, false,"
                f" {unit_columns}u);",
                "workgroupBarrier();",
                f"for (var q = lane; q < {block}u; q += {tile.lanes}u) {{",
                f"let m = group.y * {tile.rows}u + down + {i * unit_rows}u + q / {unit_columns}u;",
                f"let n = group.x * {tile.columns}u + across + {j * unit_columns}u"
                f" + q % {unit_columns}u;",
                f"if (m < M && n < N) {{ let at = m * N + n; {kept} }}",
                "}",
            ]
    return "\n".join([*lines, "}"]) + "\n"
