"""GEMM in float16 with float32 sums of blocks, where the browser offers ``shader-f16``.

The WGSL, its accuracy and its roofline are in ``templates/gemm/f16.wgsl.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsd.kernels.gemm.split_k import gemm_variant
from wsd.kernels.gemm.tiled import GemmTile
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import F16, Variant


@dataclass(frozen=True)
class F16Tile(GemmTile):
    """A tile whose operands are float16 in shared memory; k is a multiple of 32."""

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of a workgroup in bytes, padding included."""
        return super().shared_bytes // 2


def f16_gemm(problem: GemmProblem, tile: F16Tile) -> Variant:
    """Return the float16 kernel of a problem that the tile fits.

    The problem's weights are float16 or int8: float32 weights would lose accuracy.
    """
    return replace(gemm_variant("gemm/f16.wgsl.j2", problem, tile, packs_w=True), features=(F16,))
