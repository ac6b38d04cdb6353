"""Products of halves in shared memory, where the browser offers ``shader-f16``.

The loop is that of :mod:`wsd.kernels.gemm.tiled`. A thread multiplies two pairs of halves at once
and adds what it gets in halves, even and odd k apart; every 32 values of k these sums
go to float32. So errors are about 6e-4 of the result, of which the rounding of
activations is 2e-4; sums in halves throughout would be wrong by 1e-2.

Roofline: half the bytes of shared memory for each multiplication, and on GPUs that
multiply pairs of halves at once half the instructions; adding up the pairs takes three
for every 16 of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsd.kernels.gemm.split_k import product_variant
from wsd.kernels.gemm.tiled import Arithmetic, Tile, read_vectors, tile_body
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, VECTOR, Variant

# Activations are made this much smaller as halves, so that a million is not infinite: SDXL's
# decoder has more than the 65504 that a half holds.
_SHRINK = 16
# What whole numbers of weights are divided by, so that their sums are not infinite either.
_WHOLE = 128
# Vectors of k between two additions to float32.
_TOGETHER = 8


@dataclass(frozen=True)
class HalfTile(Tile):
    """What one workgroup makes of halves."""

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup, padding included."""
        return 2 * (self.depth + VECTOR) * (self.rows + self.columns)


def in_halves(product: GemmProblem, tile: HalfTile) -> Variant:
    """Return the kernel of a product whose weights are not float32 and that a tile fits."""
    whole = _WHOLE if product.weights == "int8" else 1
    arithmetic = Arithmetic(
        vector="vec4<f16>",
        a=f"vec4<f16>({{}} * {1 / _SHRINK}f)",
        w=f"vec4<f16>({{}} * {1 / whole}f)" if whole > 1 else "vec4<f16>({})",
        sums=_half_sums,
        result=f"{{}} * {_SHRINK * whole}.0f",
    )
    variant = product_variant(product, tile, tile_body(product, tile, arithmetic), "enable f16;\n")
    return replace(variant, features=(F16,))


def _half_sums(tile: Tile) -> list[str]:
    rows, columns = range(tile.thread_rows), range(tile.thread_columns)
    return [
        f"for (var f = 0u; f < {tile.depth // VECTOR // _TOGETHER}u; f++) {{",
        *(f"var h{i}_{j} = vec2<f16>();" for i in rows for j in columns),
        # Bounds are constants: drivers unroll this, and are slower by a third where they do not.
        f"for (var k = 0u; k < {_TOGETHER}u; k++) {{",
        *read_vectors(tile, f"f * {_TOGETHER}u + k"),
        *(
            f"h{i}_{j} = fma(a{i}.{pair}, b{j}.{pair}, h{i}_{j});"
            for pair in ("xy", "zw")
            for i in rows
            for j in columns
        ),
        "}",
        *(f"c{i}_{j} += f32(h{i}_{j}.x + h{i}_{j}.y);" for i in rows for j in columns),
        "}",
    ]
