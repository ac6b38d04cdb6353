"""Adding up what a workgroup's threads found.

Everywhere by a tree in shared memory, with a barrier for each of its levels; where the GPU
has subgroups, by their own addition and one barrier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wsd.kernels.variant import SUBGROUPS, Launch, Variant


@dataclass(frozen=True)
class WorkgroupSum:
    """How threads add up.

    Attributes:
        threads: of the workgroup.
        together: how many of them, one after another, have one sum.
        subgroups: whether by the GPU's subgroups, whose threads follow one another.
    """

    threads: int
    together: int
    subgroups: bool

    def variant(self, launch: Launch, operations: int = 0) -> Variant:
        """Return the variant of one launch that adds up so."""
        variant = Variant(
            launches=(launch,),
            threads=self.threads,
            shared_bytes=4 * self.threads,
            operations=operations,
        )
        if not self.subgroups:
            return variant
        enabled = replace(launch, head=f"enable {SUBGROUPS};\n{launch.head}")
        return replace(
            variant, launches=(enabled,), features=(SUBGROUPS,), lanes=(1, self.together)
        )

    @property
    def main(self) -> str:
        """Return the declaration of ``main``, with ``group`` and a thread's number ``t``."""
        size = ", @builtin(subgroup_size) size : u32" if self.subgroups else ""
        return f"""var<workgroup> sums : array<f32, {self.threads}>;
@compute @workgroup_size({self.threads})
fn main(@builtin(workgroup_id) group : vec3<u32>,
        @builtin(local_invocation_index) t : u32{size}) {{"""

    @property
    def total(self) -> str:
        """Return what adds up ``sum``: ``total`` of the first thread of those together."""
        if self.subgroups:
            return f"""let part = subgroupAdd(sum);
  if (t % size == 0u) {{ sums[t / size] = part; }}
  workgroupBarrier();
  var total = 0.0f;
  if (t % {self.together}u == 0u) {{
    for (var i = 0u; i < {self.together}u / size; i++) {{ total += sums[t / size + i]; }}
  }}"""
        return f"""sums[t] = sum;
  for (var step = {self.together // 2}u; step > 0u; step /= 2u) {{
    workgroupBarrier();
    if (t % {self.together}u < step) {{ sums[t] += sums[t + step]; }}
  }}
  let total = sums[t];"""
