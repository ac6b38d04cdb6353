"""What an architecture says of its checkpoints: rules for configurations, and known tensors.

A key whose value in a checkpoint differs from the family's has one of three meanings:

- *architecture*: the checkpoint is refused, and the key is named with both values. A key without a
  rule is architecture, so that a key that nobody thought of is never dropped in silence.
- *variant*: the checkpoint's value is compiled instead of the family's, if the rule accepts it.
- *harmless*: the value changes no picture, if the rule accepts it.

A tensor that no component reads is refused too, unless it is among those that are known to change
no picture.

The rules of an architecture are data in a module ``config_rules`` beside it, as
:mod:`wsd.models.stable_diffusion.config_rules`. :mod:`wsd.checkpoint.config_comparison` compares
configurations by them, and :mod:`wsd.checkpoint.leftovers` tensors.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from wsd.models.architecture import Architecture

# A configuration: keys and JSON values, as a file or a class of diffusers or transformers has them.
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a rule may look at besides the value itself.

    Attributes:
        own: the checkpoint's effective configuration.
        ours: the family's effective configuration.
        pooled: whether the pooled state of this text encoder conditions the denoiser.
    """

    own: Config
    ours: Config
    pooled: bool = False


Test = Callable[[Any, Reading], bool]
# The reason of a refusal that depends on the value.
Reason = Callable[[Any, Reading], str]


@dataclass(frozen=True)
class KeyRule:
    """What WSD does with a key whose value differs from the family's.

    Attributes:
        kind: what the key means, in the words of this module's docstring.
        why: what other values are expected, or why this one is refused, for the hint; empty for
            the general hint, that the checkpoint is of another family.
        accepts: whether a variant can be compiled, or a harmless value is harmless.
        note: what is said when a harmless value is left out that somebody may have wanted.
    """

    kind: Literal["architecture", "variant", "harmless"]
    why: str | Reason = ""
    accepts: Test = lambda _value, _reading: True
    note: str = ""

    def explain(self, value: Any, reading: Reading) -> str:
        """Return the hint for a value that is refused; empty for the general hint."""
        return self.why if isinstance(self.why, str) else self.why(value, reading)


# A key without a rule.
ARCHITECTURE = KeyRule("architecture")


def one_of(*values: object) -> Test:
    """Return a test for values; true and 1 are different ones."""
    return lambda value, _: any(value == v and type(value) is type(v) for v in values)


def is_int(value: object) -> bool:
    """Return whether a value is an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a finite number."""
    return is_int(value) or (isinstance(value, float) and math.isfinite(value))


def boolean(value: Any, _: Reading) -> bool:
    """Accept true and false."""
    return isinstance(value, bool)


def count_to(most: int) -> Test:
    """Return a test for integers from 1 to ``most``: larger counts could take all memory."""
    return lambda value, _: is_int(value) and 1 <= value <= most


def number(value: Any, _: Reading) -> bool:
    """Accept finite numbers."""
    return is_number(value)


def positive(value: Any, _: Reading) -> bool:
    """Accept finite numbers above 0."""
    return is_number(value) and value > 0


def probability(value: Any, _: Reading) -> bool:
    """Accept numbers from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


class KnownTensor(NamedTuple):
    """Tensors that are recognised by their names.

    Attributes:
        pattern: regular expression that matches a whole name.
        text: for tensors that are ignored, why they change no picture; for others, what they are
            of and what to do, for the hint.
    """

    pattern: str
    text: str


@dataclass(frozen=True)
class ConfigRules:
    """What an architecture says of its checkpoints.

    Attributes:
        keys: class in diffusers or transformers → key → rule.
        per_block: class → keys that take one value for all blocks, or one for each.
        known: (class, key) → value → what a checkpoint with this value is, for the hint.
        options: keys of ``model_index.json`` that change no picture, and members of a folder that
            are left out.
        same_pipelines: other diffusers pipelines whose folders hold the same models.
        layers: class → pattern of the names of tensors in a row of layers, whose group is the
            number of the layer from 0, and the key that says how many layers there are. A file may
            have more of them, which are not read.
        ignorable: tensors that no component reads and that change no picture.
        refused: tensors that no component reads and whose names tell what they are of.
        alone: tensors of files that hold one model and not a whole checkpoint.
    """

    keys: Mapping[str, Mapping[str, KeyRule]] = field(default_factory=dict)
    per_block: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known: Mapping[tuple[str, str], Mapping[object, str]] = field(default_factory=dict)
    options: Mapping[str, KeyRule] = field(default_factory=dict)
    same_pipelines: tuple[str, ...] = ()
    layers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ignorable: tuple[KnownTensor, ...] = ()
    refused: tuple[KnownTensor, ...] = ()
    alone: tuple[KnownTensor, ...] = ()


def find_config_rules(architecture: Architecture) -> ConfigRules:
    """Return the rules of an architecture; without a module of rules, no key may differ.

    The module is found by its name and not imported by the architecture. Compiled libraries are
    cached by the code that their architecture imports, and a rule changes none of them.

    Args:
        architecture: whose package may have a module ``config_rules`` with a function ``rules_of``.
    """
    package = type(architecture).__module__.rpartition(".")[0]
    name = f"{package}.config_rules"
    if not package or importlib.util.find_spec(name) is None:
        return ConfigRules()
    rules: ConfigRules = importlib.import_module(name).rules_of(architecture.diffusers_pipeline)
    return rules
