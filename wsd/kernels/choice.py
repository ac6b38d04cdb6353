"""The option ``kernels``: which variants may run in place of generated kernels."""

from __future__ import annotations

from wsd.errors import UsageError
from wsd.kernels.registry import KINDS, variant_names
from wsd.kernels.variant import F16, SUBGROUP_MATRIX, SUBGROUPS

# All variants on GPUs, and on adapters that compute on the processor only those tuned on them.
AUTO = "auto"
# The library's own kernels; also what reports call a kernel without a variant.
GENERATED = "generated"


def _names_needing(*features: str) -> list[str]:
    """Return the variants that need none but these features."""
    return [kind.name for kind in KINDS if set(kind.features) <= set(features)]


# Modes of earlier versions: what each of them allowed.
LEGACY_KERNEL_MODES = {
    "tiled": _names_needing(),
    "subgroups": _names_needing(SUBGROUPS),
    "halves": _names_needing(SUBGROUPS, F16),
    "matrix": _names_needing(SUBGROUPS, F16, SUBGROUP_MATRIX),
}


def resolve_kernel_choice(option: str) -> str:
    """Return the option as pages of this version take it.

    Args:
        option: ``auto``, ``generated``, names of variants separated by commas, or a mode of
            an earlier version.

    Returns:
        ``auto``, ``generated``, or names of variants separated by commas.

    Raises:
        UsageError: for a name that no variant has.
    """
    if option in (AUTO, GENERATED):
        return option
    names = LEGACY_KERNEL_MODES.get(option) or [name.strip() for name in option.split(",")]
    known = variant_names()
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"no kernel variant is called {unknown[0]!r}",
            f"give {AUTO}, {GENERATED}, or names separated by commas: {', '.join(known)}",
        )
    return ",".join(names)
