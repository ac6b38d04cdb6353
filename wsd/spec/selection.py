"""Rules that say which kernel variant and which precision of a model runs, as data.

A manifest carries them, and one function of the page (``web/src/gpu/selection_rules.ts``)
evaluates them. Candidates come in their order of preference: the variants of a kernel in
``kernels.json``, the precisions of a model in the list of models. A rule *refuses* a candidate if
all of its conditions hold, and the first candidate that no rule refuses is taken. So a rule that is
ignored, for a support case, can only allow more.

A condition compares a *fact* with a value, or with another fact:

- ``features``: names of the WebGPU features of the device (kernels) or the adapter (precisions);
- ``limits``: name of a WebGPU limit to its value; ``limits.maxBufferSize`` is one of them;
- ``adapter``: ``vendor``, ``architecture``, ``description``, ``fallback``, ``subgroup_min_size``
  and ``subgroup_max_size`` (0 where the browser does not say them), ``subgroup_matrices``:
  operations of f16 operands and f32 results, written ``16x16x16`` for M, N and K; ``classes``: the
  vendor and the architecture as one text, none where the browser does not say the vendor;
- ``problem``: of a kernel ``kind`` (``gemm``, ``attention``, ``norm_sums``, ``generated`` for one
  that TVM generated with a tuned schedule), ``kernel``, its name,
  ``operations`` and ``bytes`` of one call; of a precision ``kind`` (``model``), ``model``,
  ``family`` and ``pipeline``;
- ``candidate``: its ``name``, and what it requires: ``features``; of a variant ``threads``,
  ``shared_bytes``, ``subgroup_min_size``, ``subgroup_max_size``, ``subgroup_matrices``,
  ``adapter_classes``, the class of the adapter that it was tuned on, and ``tuned``, whether it has
  one; of a precision ``limits`` and ``buffer_bytes``, the largest buffer of the least demanding
  picture size;
- ``asked.named``: whether the caller named the variants or the precision.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from wsd.spec.entry import Entry, SparseEntry

# How a condition compares a fact with its value.
Test = Literal["is", "below", "above", "lacks", "mentions"]
TESTS: Final[tuple[str, ...]] = get_args(Test)
# Types of the values that each comparison takes.
_VALUES: Final[dict[Test, tuple[type, ...]]] = {
    "is": (bool, int, str),
    "below": (int,),
    "above": (int,),
    "lacks": (tuple,),
    "mentions": (tuple,),
}
# Facts that conditions may name; those of limits are named by WebGPU.
FACT_PATTERN: Final = (
    r"^(features|limits(\.[A-Za-z]+)?|(adapter|problem|candidate)\.[a-z_]+|asked\.named)$"
)
RULE_NAME_PATTERN: Final = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
MAX_RULES: Final = 100

Fact = Annotated[str, Field(pattern=FACT_PATTERN, max_length=100)]


class Condition(SparseEntry):
    """A comparison of a fact with a value or with another fact: exactly one of both is given."""

    fact: Fact
    """What is compared, ``adapter.vendor`` for example."""
    test: Test
    """``is``: both are equal. ``below``, ``above``: of numbers; of maps, any number of the second
    one. ``lacks``: a list has not all texts of the other. ``mentions``: a text contains any of some
    texts, in upper or lower case."""
    value: bool | int | str | tuple[str, ...] | None = None
    """What it is compared with."""
    other: Fact | None = None
    """The fact that it is compared with."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.value is None) == (self.other is None):
            raise ValueError(f"{self.fact}: exactly one of value and other must be given")
        # A bool is an int too, so that types are compared rather than asked for.
        if self.value is not None and type(self.value) not in _VALUES[self.test]:
            raise ValueError(f"{self.fact}: {self.test} does not take the value {self.value!r}")
        return self


class Rule(Entry):
    """A rule that refuses a candidate if all of its conditions hold."""

    name: Annotated[str, Field(pattern=RULE_NAME_PATTERN, max_length=60)]
    """By which reports and the option ``ignoredRules`` know it."""
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    """Why the candidate does not run then, for people."""
    when: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=20)]
    """All of them must hold."""


class SelectionRules(Entry):
    """Which candidates do not run; the first one that no rule refuses is taken."""

    kernels: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)]
    """For the variants of a kernel; the generated kernel runs where all of them are refused."""
    precisions: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES)]
    """For a model in weights of one precision."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [rule.name for rule in (*self.kernels, *self.precisions)]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"selection: several rules are called {double[0]}")
        return self


def _rule(name: str, reason: str, *when: Condition) -> Rule:
    return Rule(name=name, reason=reason, when=when)


def _requires(name: str, reason: str, fact: str, test: Test, other: str) -> Rule:
    """Return a rule that compares what a candidate requires with what the GPU has."""
    return _rule(name, reason, Condition(fact=fact, test=test, other=f"candidate.{other}"))


_NOT_NAMED = Condition(fact="asked.named", test="is", value=False)
_WRITTEN = Condition(fact="candidate.tuned", test="is", value=False)
# What the descriptions of adapters that compute on the processor mention.
SOFTWARE_ADAPTERS: Final = ("swiftshader", "llvmpipe", "lavapipe")
_SOFTWARE = "the adapter computes on the processor, where written kernels are slower"

# The rules that `wsd build` writes, and that the page takes for bundles without rules.
SELECTION_RULES: Final = SelectionRules(
    kernels=(
        _rule(
            "fallback-adapter",
            _SOFTWARE,
            Condition(fact="adapter.fallback", test="is", value=True),
            _WRITTEN,
            _NOT_NAMED,
        ),
        _rule(
            "software-adapter",
            _SOFTWARE,
            Condition(
                fact="adapter.description",
                test="mentions",
                value=SOFTWARE_ADAPTERS,
            ),
            _WRITTEN,
            _NOT_NAMED,
        ),
        _requires(
            "adapter-class",
            "the variant's schedule was tuned on another class of adapters",
            "adapter.classes",
            "lacks",
            "adapter_classes",
        ),
        _requires(
            "kernel-features",
            "the device lacks a WebGPU feature that the variant needs",
            "features",
            "lacks",
            "features",
        ),
        _requires(
            "workgroup-threads",
            "a workgroup of the variant has more threads than the device allows",
            "limits.maxComputeInvocationsPerWorkgroup",
            "below",
            "threads",
        ),
        _requires(
            "shared-memory",
            "a workgroup of the variant takes more shared memory than the device allows",
            "limits.maxComputeWorkgroupStorageSize",
            "below",
            "shared_bytes",
        ),
        _requires(
            "smallest-subgroup",
            "subgroups may be smaller than the variant works with",
            "adapter.subgroup_min_size",
            "below",
            "subgroup_min_size",
        ),
        _requires(
            "largest-subgroup",
            "subgroups may be larger than the variant works with",
            "adapter.subgroup_max_size",
            "above",
            "subgroup_max_size",
        ),
        _requires(
            "subgroup-matrix",
            "the adapter has no subgroup matrix operation of the variant's size",
            "adapter.subgroup_matrices",
            "lacks",
            "subgroup_matrices",
        ),
    ),
    precisions=(
        _requires(
            "model-features",
            "the adapter lacks a WebGPU feature that the model needs",
            "features",
            "lacks",
            "features",
        ),
        _requires(
            "model-limits",
            "a limit of the adapter is below what the model needs",
            "limits",
            "below",
            "limits",
        ),
        _requires(
            "buffer-size",
            "the adapter has no buffers for any picture size of the model",
            "limits.maxBufferSize",
            "below",
            "buffer_bytes",
        ),
        _requires(
            "binding-size",
            "the adapter cannot bind buffers for any picture size of the model",
            "limits.maxStorageBufferBindingSize",
            "below",
            "buffer_bytes",
        ),
    ),
)
