"""Which Python distributions an installation of WSD brings, by what they require of each other."""

from collections.abc import Collection, Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def required_distributions(lines: Iterable[str], extras: Collection[str] = ()) -> set[str]:
    """Return the names of the distributions that pip installs for requirements.

    Args:
        lines: ``Requires-Dist`` of a distribution, such as WSD.
        extras: the distribution's own extras that are installed too.
    """
    found: set[str] = set()
    seen = set()
    waiting = [(line, frozenset(extras)) for line in lines]
    while waiting:
        line, wanted = waiting.pop()
        requirement = Requirement(line)
        if not _applies(requirement, wanted):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        theirs = frozenset(requirement.extras)
        if (name, theirs) not in seen:
            seen.add((name, theirs))
            waiting += [(further, theirs) for further in _requires(name)]
    return found


def _applies(requirement: Requirement, extras: Collection[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _requires(name: str) -> list[str]:
    """Return what an installed distribution requires; nothing of one for another platform."""
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
