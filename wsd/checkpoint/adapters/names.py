"""Find the parameter that a name in an adapter's file means: looked up, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.weight_source import Shape
from wsd.models.adapter_models import AdapterModel, find_adapter_model
from wsd.models.architecture import ModuleRows
from wsd.models.family import Family
from wsd.spec.roles import DENOISER


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


@dataclass(frozen=True)
class Place:
    """Where a layer of an adapter's file belongs, or some of its rows.

    Attributes:
        target: the model's layer.
        rows: which rows of the file's layer are the model's.
    """

    target: Target
    rows: ModuleRows


class LayerTable:
    """Every name that adapters give to the layers of a family.

    Args:
        family: the model, as the checkpoint's configurations have it.
    """

    def __init__(self, family: Family) -> None:
        self._shapes: dict[str, dict[str, Shape]] = {}
        self._places: dict[str, dict[Place, None]] = {}
        inputs: dict[str, int | None] = {}
        for component in family.components:
            shapes = dict(list_names(component).shapes)
            modules = {name.rpartition(".")[0]: None for name in shapes if name.endswith(".weight")}
            spelled = family.architecture.spell_adapter_modules(family, component, modules)
            for name, rows in spelled:
                place = Place(Target(component.id, rows.module), rows)
                self._places.setdefault(name, {})[place] = None
                self._shapes[component.id] = shapes
            if component.role == DENOISER and component.id in self._shapes:
                inputs = {
                    module: shape[1]
                    for module in modules
                    if len(shape := shapes[f"{module}.weight"]) > 1
                }
        self._encoders = len(family.text_encoders())
        self.model = self.find_model(inputs)

    @property
    def components(self) -> tuple[str, ...]:
        """Return the ids of the components that adapters can change."""
        return tuple(self._shapes)

    def find(self, name: str) -> tuple[Place, ...]:
        """Return the layers that a name means; none if it means none of the model's.

        Args:
            name: as the file has it, without what follows the layer's name.
        """
        return tuple(self._places.get(name, ()))

    def find_model(self, inputs: Mapping[str, int | None]) -> AdapterModel:
        """Return which model layers are of.

        Args:
            inputs: as :func:`wsd.models.adapter_models.find_adapter_model` has them.
        """
        return find_adapter_model(inputs, encoders=self._encoders)

    def shape(self, place: Place, kind: str) -> Shape | None:
        """Return the shape that a file's layer has as ``weight`` or ``bias``; None if it has none.

        It is the shape of the model's layer, but where that is some of the rows alone.
        """
        own = self._shapes[place.target.component].get(f"{place.target.module}.{kind}")
        if own is None:
            return None
        rows = place.rows
        return (own[0] // len(rows.order) * rows.pieces, *own[1:])
