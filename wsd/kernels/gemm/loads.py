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
        batched: whether workgroups along z make products of their own.
        a_is_f16: whether A is stored as float16, and stays so.
        packs_w: whether W stays in registers as it lies in memory, until it is stored in a tile.
    """

    tile_m: int
    tile_n: int
    k_vectors: int
    threads: int
    im2col: bool
    cropped: bool = False
    batched: bool = False
    a_is_f16: bool = False
    packs_w: bool = False

    @property
    def w_type(self) -> str:
        """Return the WGSL type of four values of W in registers."""
        return "PackedW" if self.packs_w else "vec4<f32>"

    @property
    def load_w(self) -> str:
        """Return the WGSL function that loads them."""
        return "load_packed_w" if self.packs_w else "load_w"

    @property
    def a_vectors(self) -> int:
        """Return how many vectors of A a thread loads in a step."""
        return self.tile_m * self.k_vectors // self.threads

    @property
    def w_vectors(self) -> int:
        """Return how many vectors of W a thread loads in a step."""
        return self.tile_n * self.k_vectors // self.threads

    @property
    def row_stride(self) -> int:
        """Return how many rows lie between two vectors that one thread loads."""
        return self.threads // self.k_vectors

    @classmethod
    def of(cls, problem: GemmProblem, tile: WorkgroupTile, *, packs_w: bool = False) -> TileLoads:
        """Return how the threads of a problem's workgroups load; see the class."""
        return cls(
            tile.m,
            tile.n,
            tile.k // VECTOR,
            tile.threads,
            im2col=problem.conv is not None,
            cropped=problem.conv is not None and problem.conv.is_cropped,
            batched=problem.products > 1,
            a_is_f16=problem.a_dtype == "float16",
            packs_w=packs_w,
        )
