"""Write a page of the documents that a program generates, or compare it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def only_compare(description: str | None, arguments: list[str]) -> bool:
    """Read the command line of a generator: whether it has ``--check``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="only compare")
    return bool(parser.parse_args(arguments).check)


def write_or_compare(page: Path, text: str, generator: str, *, compare: bool) -> int:
    """Write a page, or say whether it is current; returns the exit code.

    Args:
        page: its path.
        text: what it should hold.
        generator: module in ``tools`` that writes it, for the hint.
        compare: whether nothing is written.
    """
    if not compare:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    print(f"error: {page.relative_to(ROOT)} is not current", file=sys.stderr)
    print(f"hint: run: PYTHONPATH=.ci python -m tools.{generator}", file=sys.stderr)
    return 1
