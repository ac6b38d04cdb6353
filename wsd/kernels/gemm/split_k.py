"""Products whose k is cut into parts: workgroups sum one part each, a second launch adds them.

That is for products with too few tiles to fill a GPU. The second launch also finishes:
bias, residual, activation.
"""

from __future__ import annotations

from typing import Protocol

from wsd.kernels.gemm.loads import AnyTile, extras, head
from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import Launch, Variant

_THREADS = 256
_MOST_SCRATCH = 64 << 20


class PartTile(AnyTile, Protocol):
    """A tile whose workgroup sums one of several parts of k."""

    @property
    def parts(self) -> int:
        """Return into how many parts k is cut."""

    @property
    def shared_bytes(self) -> int:
        """Return the shared memory of the workgroup."""


def divides(product: GemmProblem, depth: int, parts: int) -> bool:
    """Tell whether steps of a depth make so many equal parts, and their sums are not too many."""
    return product.depth // depth % parts == 0 and _scratch_bytes(product, parts) <= _MOST_SCRATCH


def _scratch_bytes(product: GemmProblem, parts: int) -> int:
    """Return what the sums of k's parts take; 0 if k is not cut."""
    return 4 * parts * product.rows * product.columns if parts > 1 else 0


def first_step(parts: int) -> str:
    """Return the first step of a workgroup's part."""
    return "let first = group.z * STEPS;" if parts > 1 else "const first = 0u;"


def store(value: str, parts: int) -> str:
    """Return what stores a sum: finished if it is the whole."""
    if parts > 1:
        return f"result[group.z * M * N + at] = {value};"
    return f"result[at] = finish(m, n, at, {value});"


def product_variant(product: GemmProblem, tile: PartTile, body: str, enable: str = "") -> Variant:
    """Return the variant of a product whose kernel sums a tile, or parts of it that are added.

    Args:
        product: what is computed.
        tile: what one workgroup makes.
        body: its WGSL.
        enable: what stands before all declarations.
    """
    cut = tile.parts > 1
    steps = f"const STEPS = {product.depth // tile.depth // tile.parts}u;\n"
    launch = Launch(
        head=enable + head(product, scratch=cut) + steps,
        body=body,
        grid=(*product.grid(tile.rows, tile.columns), tile.parts),
        buffers=(None, *product.buffers[1:3]) if cut else product.buffers,
    )
    return Variant(
        launches=(launch, _sum(product, tile.parts)) if cut else (launch,),
        threads=max(tile.threads, _THREADS if cut else 0),
        shared_bytes=tile.shared_bytes,
        scratch_bytes=_scratch_bytes(product, tile.parts),
        operations=product.operations,
    )


def _sum(product: GemmProblem, parts: int) -> Launch:
    """Return the launch that adds the sums of k's parts, and finishes."""
    results = product.rows * product.columns
    groups = -(-results // _THREADS)
    wide = min(groups, 65535)
    return Launch(
        head="\n".join(
            [
                "@group(0) @binding(0) var<storage, read_write> result : array<f32>;",
                "@group(0) @binding(1) var<storage, read> parts : array<f32>;",
                f"const M = {product.rows}u;",
                f"const N = {product.columns}u;",
                f"const PARTS = {parts}u;",
                *extras(product, first=2),
                "",
            ]
        ),
        body=f"""@compute @workgroup_size({_THREADS})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) t : u32,
        @builtin(num_workgroups) groups : vec3<u32>) {{
  let at = (group.y * groups.x + group.x) * {_THREADS}u + t;
  if (at >= M * N) {{ return; }}
  var value = 0.0f;
  for (var part = 0u; part < PARTS; part++) {{ value += parts[part * M * N + at]; }}
  result[at] = finish(at / N, at % N, at, value);
}}
""",
        grid=(wide, -(-groups // wide), 1),
        buffers=(product.buffers[0], None, *product.buffers[3:]),
    )
