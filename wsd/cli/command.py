"""A command that refuses what would have no effect: blank values, repeated and unused options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from wsd.errors import UsageError


@dataclass(frozen=True)
class Unused:
    """Options that a command does not use beside another option, or without it.

    Attributes:
        options: the options that would have no effect, as they are typed: ``--out``.
        hint: what to do.
        beside: the option beside which they have no effect.
        without: the option without which they have no effect.
    """

    options: tuple[str, ...]
    hint: str
    beside: str | None = None
    without: str | None = None

    def check(self, given: Collection[str]) -> None:
        """Refuse options that would have no effect.

        Args:
            given: every option that was given, as it is typed.

        Raises:
            UsageError: if one of :attr:`options` is given and would not be used.
        """
        useless = [option for option in self.options if option in given]
        if not useless:
            return
        if self.beside is not None and self.beside in given:
            raise UsageError(f"{self.beside} is given, and {' and '.join(useless)} too", self.hint)
        if self.without is not None and self.without not in given:
            raise UsageError(f"{' and '.join(useless)} is given without {self.without}", self.hint)


class Command(click.Command):
    """A command of which every option that is given has an effect.

    It refuses blank values of all options and arguments, because a path that is empty would be the
    current folder, and a name that is empty would name nothing; options that are given twice,
    because only the last would count; and what its :attr:`unused` says. An argument type may
    allow blank values with an attribute ``may_be_blank``.

    Attributes:
        unused: which options have no effect beside others, or without them.
    """

    def __init__(self, *arguments: Any, unused: Sequence[Unused] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.unused = tuple(unused)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; see :meth:`click.Command.parse_args`.

        Raises:
            UsageError: for what would have no effect, before any value is read.
        """
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        # Options such as --help end the command whatever else is given.
        if not ctx.resilient_parsing and not any(parameter.is_eager for parameter in order):
            self._check(values, Counter(order))
        return super().parse_args(ctx, args)

    def _check(self, values: Mapping[str, Any], given: Counter[click.Parameter]) -> None:
        for parameter, count in given.items():
            if not getattr(parameter.type, "may_be_blank", False):
                _refuse_blank(parameter, values.get(parameter.name or ""))
            if isinstance(parameter, click.Option) and count > 1 and not _is_repeatable(parameter):
                raise UsageError(
                    f"{_name(parameter)} is given {count} times",
                    "give it once: only the last would count",
                )
        names = {name for parameter in given for name in parameter.opts}
        for rule in self.unused:
            rule.check(names)


def _refuse_blank(parameter: click.Parameter, value: object) -> None:
    texts = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(text, str) and not text.strip() for text in texts):
        way = "" if parameter.required else ", or leave it out"
        raise UsageError(
            f"{_name(parameter)} is empty",
            f"give it a value{way}; a variable of the shell may not be set",
        )


def _is_repeatable(option: click.Option) -> bool:
    return option.multiple or option.count


def _name(parameter: click.Parameter) -> str:
    """Return an option as it is typed, or an argument as the help shows it."""
    if isinstance(parameter, click.Option):
        return parameter.opts[0]
    return str(parameter.metavar or parameter.name)


def command(*unused: Unused) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function; every command of WSD is made with it.

    Args:
        unused: which of its options have no effect beside others, or without them.
    """
    return click.command(cls=Command, unused=unused)
