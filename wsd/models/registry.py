"""The model families that WSD knows, one small file each."""

from __future__ import annotations

from wsd.errors import UsageError
from wsd.models.family import Component, Family, Tokenizer
from wsd.models.stable_diffusion import sd15, sdxl
from wsd.models.tiny import sd15 as tiny_sd15
from wsd.models.tiny import sdxl as tiny_sdxl

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
