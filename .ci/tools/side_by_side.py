"""Run commands side by side, so that no core waits while another checks.

Standard library only: the nox sessions import this before anything is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

# Of what passes: what was not run or not audited, and how many tests passed, as pytest ends.
_TOLD = re.compile(r"\bnot (run|audited): |\b\d+ (passed|skipped)\b.* in \d")


@dataclass(frozen=True)
class Command:
    """A program to run.

    Attributes:
        name: what the report calls it.
        words: the program and its arguments.
        folder: where it runs.
        variables: environment variables that it gets besides the others.
    """

    name: str
    words: Sequence[str | Path]
    folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def run_side_by_side(
    commands: Sequence[Command],
    variables: Mapping[str, str],
    workers: int,
    say: Callable[[str], None],
) -> list[str]:
    """Run commands, ``workers`` at a time, in the order in which they are given.

    A command's output is printed in one piece when it ends, and only if it failed: what passes
    takes one line, and one for each end of pytest and each thing that was not run. A failure stops
    none of the others.

    Args:
        commands: what to run; the longest first.
        variables: the environment.
        workers: how many run at the same time.
        say: gets these lines for each command when it ends.

    Returns:
        The names of the commands that failed.
    """

    def run(command: Command) -> tuple[Command, int, str, float]:
        start = time.monotonic()
        try:
            done = subprocess.run(
                [str(word) for word in command.words],
                cwd=command.folder,
                env={**variables, **command.variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            )
            code, output = done.returncode, done.stdout
        except OSError as error:
            code, output = 127, f"{error}\n"
        return command, code, output, time.monotonic() - start

    failed = []
    with ThreadPoolExecutor(workers) as pool:
        for finished in as_completed([pool.submit(run, command) for command in commands]):
            command, code, output, seconds = finished.result()
            say(f"{'FAILED' if code else 'ok'} {command.name}: {seconds:.1f} s")
            if code:
                failed.append(command.name)
                sys.stdout.write(output)
                sys.stdout.flush()
                continue
            for line in filter(_TOLD.search, output.splitlines()):
                say(f"{command.name}: {line.strip('= ')}")
    return failed
