"""The entry points of a component: which functions it becomes, whatever its architecture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from wsd.errors import CompileError
from wsd.models.architecture import EntryPointModule
from wsd.models.family import Component, Family
from wsd.spec.roles import ROLES
from wsd.spec.tensor import Size


def make_entry_points(
    family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
) -> Iterator[EntryPointModule]:
    """Yield every function that a component becomes.

    Args:
        family: the model family.
        component: which of its components ``model`` is.
        model: the torch module in evaluation mode, float32.
        sizes: (width, height) of the pictures in pixels.

    Raises:
        CompileError: for a component that the architecture does not know, or an entry point
            whose role no caller could find.
    """
    for made in family.architecture.entry_points(family, component, model, sizes):
        if made.role not in ROLES:
            raise CompileError(
                f"entry point {made.name!r} has the unknown role {made.role!r}",
                f"take one of wsd/spec/roles.py: {', '.join(ROLES)}",
            )
        yield made


def make_entry_point(
    family: Family, component: Component, model: torch.nn.Module, size: Size
) -> EntryPointModule:
    """Return the first function that a component becomes for one picture size.

    Args:
        family: the model family.
        component: which of its components ``model`` is.
        model: the torch module in evaluation mode, float32.
        size: (width, height) of the picture in pixels.

    Raises:
        CompileError: as :func:`make_entry_points`.
    """
    return next(make_entry_points(family, component, model, [size]))
