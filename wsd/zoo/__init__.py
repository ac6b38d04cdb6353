"""The model families that WSD knows, one small file each."""

from __future__ import annotations

from wsd.errors import UsageError
from wsd.zoo import sd15, sdxl, tiny_sd15, tiny_sdxl
from wsd.zoo.spec import Component, Family, Tokenizer

__all__ = ["FAMILIES", "Component", "Family", "Tokenizer", "find_family"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        tiny_sd15.FAMILY,
        tiny_sdxl.FAMILY,
        sd15.FAMILY,
        sd15.LCM,
        sdxl.FAMILY,
        sdxl.TURBO,
    )
}


def find_family(name: str) -> Family:
    """Return a family by name.

    Raises:
        UsageError: if there is none, with the names there are.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise UsageError(
            f"unknown model {name!r}", f"known models: {', '.join(sorted(FAMILIES))}"
        ) from None
