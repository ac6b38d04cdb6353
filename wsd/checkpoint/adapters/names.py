"""Find the parameter that a name in an adapter's file means: looked up, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.weight_source import Shape
from wsd.models.family import Family

_CROSS_ATTENTION = re.compile(r"attn2\.to_k\.weight$")


@dataclass(frozen=True)
class Target:
    """A layer of a model.

    Attributes:
        component: id of the component.
        module: name of the layer; its parameters are ``<module>.weight`` and ``<module>.bias``.
    """

    component: str
    module: str

    def __str__(self) -> str:
        """Return the name as diffusers' pipelines have it."""
        return f"{self.component}.{self.module}"


class LayerTable:
    """Every name that adapters give to the layers of a family.

    Args:
        family: the model, as the checkpoint's configurations have it.
    """

    def __init__(self, family: Family) -> None:
        self._shapes: dict[str, dict[str, Shape]] = {}
        self._targets: dict[str, Target] = {}
        self.context_width: int | None = None
        for component in family.components:
            shapes = dict(list_names(component).shapes)
            modules = {name.rpartition(".")[0]: None for name in shapes if name.endswith(".weight")}
            spelled = family.architecture.spell_adapter_modules(family, component, modules)
            for name, module in spelled:
                self._targets[name] = Target(component.id, module)
                self._shapes[component.id] = shapes
            for name, shape in shapes.items():
                if component.id in self._shapes and _CROSS_ATTENTION.search(name):
                    self.context_width = shape[1]

    @property
    def components(self) -> tuple[str, ...]:
        """Return the ids of the components that adapters can change."""
        return tuple(self._shapes)

    def find(self, name: str) -> Target | None:
        """Return the layer that a name means; None if it means none of the model's.

        Args:
            name: as the file has it, without what follows the layer's name.
        """
        return self._targets.get(name)

    def shape(self, target: Target, kind: str) -> Shape | None:
        """Return the shape of a layer's ``weight`` or ``bias``; None if it has none."""
        return self._shapes[target.component].get(f"{target.module}.{kind}")
