"""Progress bars on standard error, one a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from wsd.util.stops import on_forced_end
from wsd.util.terminal import printable_line, say

Advance = Callable[[float], None]
# Characters of a stage's name, and stages of a group, that are shown.
_LONGEST, _MOST = 40, 50


class Progress:
    """Named stages, each with a bar, inside a ``with`` block.

    On a terminal the bars move (rich honours ``NO_COLOR``); elsewhere each
    stage is one line as it starts, so that a log stays readable.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: Bars | None = None
        self._stack = ExitStack()
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Progress:
        """Begin a group of stages."""
        self._tasks = {}
        if self._console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description:<12}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            # A terminal's cursor is hidden meanwhile.
            self._stack.enter_context(on_forced_end(self._bars.stop))
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the group."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._stack.close()

    def report(self, stage: str, done: float, total: float) -> None:
        """Say how far a stage is; the first report starts it.

        Stages of a page are named by its scripts, so that their names may hold anything.
        """
        stage = printable_line(stage, _LONGEST)
        if stage not in self._tasks and len(self._tasks) >= _MOST:
            return
        if self._bars is None:
            if stage not in self._tasks:
                self._tasks[stage] = TaskID(0)
                say(f"{stage} …", error=True)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    @contextmanager
    def stage(self, name: str, total: float) -> Iterator[Advance]:
        """Run one stage; the block calls the yielded function with what it has done more."""
        done = 0.0
        self.report(name, 0, total)

        def advance(amount: float) -> None:
            nonlocal done
            done += amount
            self.report(name, done, total)

        yield advance


class Quiet(Progress):
    """Stages that say nothing."""

    def __enter__(self) -> Progress:
        """Begin silently."""
        return self

    def report(self, stage: str, done: float, total: float) -> None:
        """Say nothing."""
