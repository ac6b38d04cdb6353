"""Names of a component's tensors: the module's own, and older ones that diffusers corrects.

The names come from the module itself, built from the component's configuration without memory for
its weights, so that what is known of a checkpoint is what is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import torch

from wsd.models.family import Component
from wsd.models.instantiate import build_module, tie_parameters
from wsd.util.hashing import canonical_json

Stored = TypeVar("Stored")

# Names before diffusers 0.17 of the layers of attention blocks; diffusers'
# ModelMixin._fix_state_dict_keys_on_load renames the same ones.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass(frozen=True)
class ModuleNames:
    """Names and shapes of a module's parameters and buffers.

    Attributes:
        shapes: state-dict name → shape.
        old_attention: paths of the attention blocks whose layers had other names.
        levels: as :attr:`wsd.models.family.Component.levels`.
        required: names of the parameters that pictures from text are drawn with.
        optional: names of the others, which a file may lack.
        tied: other name of a parameter → the name in ``shapes``. Where a file has both, the other
            one is read, as transformers does.
        adopt: returns a file's tensors as the module's class has them, where WSD's class has other
            parameters than the published one (:mod:`wsd.models.sd35.transformer`).
    """

    shapes: Mapping[str, tuple[int, ...]]
    old_attention: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)
    adopt: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    def match(self, stored: Mapping[str, Stored]) -> tuple[dict[str, Stored], list[Stored]]:
        """Return a file's tensors by the module's names, and those that the module has not.

        A tensor under its right name goes before one that would be renamed to it.

        Args:
            stored: name in the file → tensor.

        Returns:
            (state-dict name → tensor, tensors that no name fits).
        """
        stored = self.adopt(stored)
        found = {key: value for key, value in stored.items() if key in self.shapes}
        leftover = []
        for key, value in stored.items():
            if key in self.shapes:
                continue
            if (name := self.tied.get(key)) is not None:
                if name in found:
                    leftover.append(found[name])
                found[name] = value
                continue
            name = next((name for name in self._corrections(key) if name in self.shapes), None)
            if name is None or name in found:
                leftover.append(value)
            else:
                found[name] = value
        return found, leftover

    def _corrections(self, key: str) -> Iterator[str]:
        for level in self.levels:
            yield key.removeprefix(level) if key.startswith(level) else level + key
        path, _, last = key.rpartition(".")
        block, _, layer = path.rpartition(".")
        if block in self.old_attention and layer in _OLD_ATTENTION:
            yield f"{block}.{_OLD_ATTENTION[layer]}.{last}"


def list_names(component: Component) -> ModuleNames:
    """Return the names of a component's module, which is built without memory for its weights.

    Args:
        component: its class, its configuration, and what its files may lack decide the names.
    """
    return _list_names(_Key(component))


class _Key:
    """A component as a key of a cache: what decides the names of its tensors."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self._digest = canonical_json(
            [
                component.library,
                component.class_name,
                dict(component.config),
                component.levels,
                component.optional,
            ]
        )

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._digest == self._digest


@lru_cache(maxsize=32)
def _list_names(key: _Key) -> ModuleNames:
    from accelerate import init_empty_weights

    component = key.component
    with init_empty_weights(include_buffers=False):
        module = build_module(component)
    tie_parameters(module)
    tied = _find_tied(module)
    return ModuleNames(
        {name: tuple(t.shape) for name, t in module.state_dict().items() if name not in tied},
        old_attention=tuple(
            name
            for name, block in module.named_modules()
            if getattr(block, "_from_deprecated_attn_block", False)
        ),
        levels=component.levels,
        required=tuple(
            name for name, _ in module.named_parameters() if not name.startswith(component.optional)
        ),
        optional=tuple(
            name for name, _ in module.named_parameters() if name.startswith(component.optional)
        ),
        tied=tied,
        adopt=getattr(module, "adopt_tensors", dict),
    )


def _find_tied(module: torch.nn.Module) -> dict[str, str]:
    """Return the further names of parameters that have several, with the first one of each."""
    first: dict[int, str] = {}
    return {
        name: known
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if (known := first.setdefault(id(parameter), name)) != name
    }
