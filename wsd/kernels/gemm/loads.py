"""How the threads of a workgroup share the loads of a tile's operands.

The WGSL is in ``templates/gemm/loads.wgsl.j2``: threads load vectors of four values along k, of A
from memory or from an image (im2col), of W from one of three packings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import VECTOR


class WorkgroupTile(Protocol):
    """What one workgroup makes of a GEMM in one step along k."""

    @property
    def m(self) -> int:
        """Return the rows of the result in the tile."""

    @property
    def n(self) -> int:
        """Return the columns of the result in the tile."""

    @property
    def k(self) -> int:
        """Return how many values of k a step takes."""

    @property
    def threads(self) -> int:
        """Return the threads of the workgroup."""


@dataclass(frozen=True)
class TileLoads:
    """How the rows of a tile of A and of one of W are shared among threads.

    Thread t loads vector ``t % k_vectors`` of the rows ``t // k_vectors``, that plus
    ``row_stride``, and so on.

    Attributes:
        tile_m: rows of A in a tile.
        tile_n: rows of W in a tile.
        k_vectors: vectors of four values along k in a row of a tile.
        threads: threads of the workgroup, all of which load.
        im2col: whether the rows of A are gathered from an image.
        cropped: whether that image lacks its last row or column after it is upsampled.
        a_type: WGSL type of a vector of A as it is stored.
        w_type: WGSL type of a vector of W as it is kept until it is stored in the tile.
        raw_weights: whether that is as it lies in memory, not yet unpacked.
        batched: whether workgroup z computes the z-th of many products of one size.
        blocks: whether a thread loads blocks of 4 rows, which it can transpose, instead of rows
            that are ``row_stride`` apart.
        w_direct: whether W does not pass through shared memory, so that nothing of it is loaded.
    """

    tile_m: int
    tile_n: int
    k_vectors: int
    threads: int
    im2col: bool
    cropped: bool = False
    a_type: str = "vec4<f32>"
    w_type: str = "vec4<f32>"
    raw_weights: bool = False
    batched: bool = False
    blocks: bool = False
    w_direct: bool = False

    def row(self, i: int) -> str:
        """Return the WGSL of the row of the tile that a thread's i-th vector is in."""
        if self.blocks:
            block, row = divmod(i, VECTOR)
            return f"(load_row + {block * self.row_stride}u) * {VECTOR}u + {row}u"
        return f"load_row + {i * self.row_stride}u"

    @property
    def a_vectors(self) -> int:
        """Return how many vectors of A a thread loads in a step."""
        return self.tile_m * self.k_vectors // self.threads

    @property
    def w_vectors(self) -> int:
        """Return how many vectors of W a thread loads in a step."""
        return 0 if self.w_direct else self.tile_n * self.k_vectors // self.threads

    @property
    def row_stride(self) -> int:
        """Return how many rows lie between two vectors that one thread loads."""
        return self.threads // self.k_vectors

    @classmethod
    def of(cls, problem: GemmProblem, tile: WorkgroupTile) -> TileLoads:
        """Return how the threads of a problem's workgroups load."""
        return cls(
            tile.m,
            tile.n,
            tile.k // VECTOR,
            tile.threads,
            im2col=problem.conv is not None,
            cropped=problem.conv is not None and problem.conv.is_cropped,
        )
