"""Sums over the threads of a workgroup: parameters of ``reduce/workgroup_sum.wgsl.j2``.

On every adapter by a tree in shared memory, with a barrier for each of its levels; where the
GPU has subgroups, by ``subgroupAdd`` and one barrier.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsd.kernels.variant import SUBGROUPS, Launch, Variant


@dataclass(frozen=True)
class WorkgroupSum:
    """How the threads of a workgroup add up.

    Attributes:
        threads: threads of the workgroup.
        threads_per_sum: how many neighbouring threads share one sum, a power of two.
        subgroups: whether the GPU's subgroups add; a subgroup must not have more threads than
            share a sum.
    """

    threads: int
    threads_per_sum: int
    subgroups: bool

    @property
    def sums(self) -> int:
        """Return how many sums one workgroup makes."""
        return self.threads // self.threads_per_sum

    def variant(self, launch: Launch, operations: int = 0) -> Variant:
        """Return the variant of one launch whose template reduces this way.

        Args:
            launch: a launch whose template uses the macros with this object.
            operations: floating-point operations of the kernel, 0 if they do not count.
        """
        return Variant(
            launches=(launch,),
            threads=self.threads,
            shared_bytes=4 * self.threads,
            operations=operations,
            features=(SUBGROUPS,) if self.subgroups else (),
            subgroup_size=(1, self.threads_per_sum) if self.subgroups else None,
        )
