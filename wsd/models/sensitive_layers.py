"""Read ``w4a16/layers.json``: the layers that keep int8 under ``w4a16``, and why.

The file has, for each class of a component, rules: patterns of the names of parameters, and the
reason. They hold for every model of the class, because models of one architecture share a compiled
library. It also has what ``python -m wsd.evaluate.sensitivity`` measured of the small models'
layers, from which the rules follow; ``tests/unit/test_w4a16_layers.py`` compares the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).parent / "w4a16" / "layers.json"


@dataclass(frozen=True)
class Rule:
    """Layers that keep int8.

    Attributes:
        names: pattern of the names of parameters, as :mod:`fnmatch` has them; ``<last>`` is the
            number of a UNet's last block.
        reason: why they keep int8, for people.
    """

    names: str
    reason: str


class LayerKind(NamedTuple):
    """What was measured of the layers of one kind in a small model.

    Attributes:
        layers: how many there are.
        values: of all of them.
        error: relative error of the denoiser's outputs with one of these layers at 4 bits; that of
            the layer with the largest.
    """

    layers: int
    values: int
    error: float


@cache
def read_rules() -> dict[str, tuple[Rule, ...]]:
    """Return class of a component → its rules."""
    table = json.loads(PATH.read_text(encoding="utf-8"))
    return {name: tuple(Rule(**rule) for rule in rules) for name, rules in table["rules"].items()}


def is_sensitive(class_name: str, name: str, up_blocks: int = 0) -> bool:
    """Tell whether a parameter keeps int8 under ``w4a16``.

    Args:
        class_name: class of the component, such as ``UNet2DConditionModel``.
        name: of the parameter in the component's state dict.
        up_blocks: how many blocks a UNet has after its middle; 0 for what is no UNet.
    """
    last = str(up_blocks - 1)
    patterns = (rule.names.replace("<last>", last) for rule in read_rules().get(class_name, ()))
    return any(fnmatchcase(name, pattern) for pattern in patterns)
