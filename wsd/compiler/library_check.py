"""Tell whether a compiled library belongs to a family, or to the variant that a checkpoint is of.

It is apart from :mod:`wsd.compiler.library`, because it reads the registry of families, and a new
family must not compile every library anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from wsd.compiler.library import Library, architecture, describe_architecture
from wsd.errors import UsageError
from wsd.models.family import Family
from wsd.models.registry import FAMILIES
from wsd.spec.roles import SAFETY_CHECKER


def check_library(library: Library, family: Family, checkpoint: str = "") -> None:
    """Refuse a library of another architecture than a family's, or of another variant of it.

    Args:
        library: the compiled functions.
        family: the model, as the checkpoint's configurations have it.
        checkpoint: the options of a command that select the variant, for the hint, such as
            ``--weights FOLDER --vae FILE``; empty if no command was run.

    Raises:
        UsageError: if they do not belong together; it names a key that differs.
    """
    if library.architecture == architecture(family):
        return
    wanted, found = describe_architecture(family), library.described
    _check_safety_checker(library, wanted, found)
    key = next(
        (name for name in {**wanted, **found} if wanted.get(name) != found.get(name)),
        "architecture",
    )
    registered = FAMILIES.get(family.name)
    variant = registered is not None and architecture(registered) != architecture(family)
    options = f" {checkpoint or '--weights CHECKPOINT'}" if variant else ""
    raise UsageError(
        f"{library.folder} was not compiled for {'this checkpoint of ' * variant}{family.name}: "
        f"{key} is {found.get(key, 'absent')}, expected {wanted.get(key, 'absent')}",
        f"compile one with: wsd compile --model {family.name}{options} --out DIR",
    )


def _check_safety_checker(
    library: Library, wanted: Mapping[str, str], found: Mapping[str, str]
) -> None:
    """Refuse a library that has a safety checker where none is named, or the other way round."""
    named, compiled = (
        SAFETY_CHECKER in json.loads(described.get("components", "{}")).values()
        for described in (wanted, found)
    )
    if compiled and not named:
        raise UsageError(
            f"{library.folder} was compiled with a safety checker, and none is named",
            "name it with --safety-checker, or take a library without one",
        )
    if named and not compiled:
        raise UsageError(
            f"{library.folder} was compiled without a safety checker",
            "leave --safety-checker out, or give it to wsd compile too",
        )
