"""The model families that WSD knows: one line for each, here and nowhere else.

Importing this module needs the standard library alone: ``nox`` and ``wsd models`` read it before
anything is installed.
"""

from __future__ import annotations

from wsd.errors import UsageError
from wsd.models.family import Component, Family, Tokenizer
from wsd.models.sd35 import medium
from wsd.models.stable_diffusion import sd15, sdxl
from wsd.models.tiny import sd15 as tiny_sd15
from wsd.models.tiny import sd35 as tiny_sd35
from wsd.models.tiny import sdxl as tiny_sdxl

__all__ = [
    "FAMILIES",
    "Component",
    "Family",
    "Tokenizer",
    "find_family",
    "register",
]

FAMILIES: dict[str, Family] = {}


def register(family: Family) -> None:
    """Make a family known to every command by its name.

    Raises:
        ValueError: if another family has the name.
    """
    if FAMILIES.setdefault(family.name, family) is not family:
        raise ValueError(f"two model families are called {family.name!r}")


register(tiny_sd15.FAMILY)
register(tiny_sdxl.FAMILY)
register(tiny_sd35.FAMILY)
register(sd15.FAMILY)
register(sd15.LCM)
register(sd15.INPAINT)
register(sdxl.FAMILY)
register(sdxl.TURBO)
register(sdxl.INPAINT)
register(medium.FAMILY)


def find_family(name: str) -> Family:
    """Return a family by name.

    Raises:
        UsageError: if there is none of that name; the hint lists the names.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise UsageError(
            f"unknown model {name!r}", f"known models: {', '.join(sorted(FAMILIES))}"
        ) from None
