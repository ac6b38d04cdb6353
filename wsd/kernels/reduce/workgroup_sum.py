"""Sums over the threads of a workgroup: parameters of ``reduce/workgroup_sum.wgsl.j2``.

On every adapter by a tree in shared memory, with a barrier for each of its levels. Where the GPU
has subgroups, by ``subgroupAdd`` and one barrier; if so few threads share a sum that they lie in
one subgroup, by shuffles, without shared memory and barriers.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsd.kernels.variant import SUBGROUPS, Launch, Variant

# So few threads share a sum that every common GPU's subgroups hold all of them.
_MOST_SHUFFLED = 32
# Threads of the largest subgroups that WebGPU has.
_LARGEST_SUBGROUP = 128


@dataclass(frozen=True)
class WorkgroupSum:
    """How the threads of a workgroup add up.

    Attributes:
        threads: threads of the workgroup.
        threads_per_sum: how many neighbouring threads share one sum, a power of two.
        subgroups: whether the GPU's subgroups add; :attr:`subgroup_size` says which.
    """

    threads: int
    threads_per_sum: int
    subgroups: bool

    @property
    def sums(self) -> int:
        """Return how many sums one workgroup makes."""
        return self.threads // self.threads_per_sum

    @property
    def shuffles(self) -> bool:
        """Tell whether the threads that share a sum lie in one subgroup, which shuffles values."""
        return self.subgroups and self.threads_per_sum <= _MOST_SHUFFLED

    @property
    def subgroup_size(self) -> tuple[int, int] | None:
        """Return the (smallest, largest) subgroup that works, None without subgroups.

        With shuffles a subgroup holds whole sums, else a sum is shared by whole subgroups. Both
        are powers of two.
        """
        if not self.subgroups:
            return None
        if self.shuffles:
            return self.threads_per_sum, _LARGEST_SUBGROUP
        return 1, self.threads_per_sum

    def variant(self, launch: Launch, operations: int = 0) -> Variant:
        """Return the variant of one launch whose template reduces this way.

        Args:
            launch: a launch whose template uses the macros with this object.
            operations: floating-point operations of the kernel, 0 if they do not count.
        """
        return Variant(
            launches=(launch,),
            threads=self.threads,
            shared_bytes=0 if self.shuffles else 4 * self.threads,
            operations=operations,
            features=(SUBGROUPS,) if self.subgroups else (),
            subgroup_size=self.subgroup_size,
        )
