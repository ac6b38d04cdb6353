"""Ways in which a file on a disk is damaged, for tests of what is believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def make_empty(path: Path) -> None:
    os.truncate(path, 0)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def take_anothers_bytes(path: Path) -> None:
    """Give it the bytes of another file of its folder, or none that it had."""
    others = sorted(p for p in path.parent.iterdir() if p.is_file() and p != path)
    path.write_bytes(others[0].read_bytes() if others else b"{}")


def remove(path: Path) -> None:
    path.unlink()


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_link(path: Path) -> None:
    """Put a link in its place that leads to a file with the same bytes."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    path.symlink_to(aside.name)


def replace_by_a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def add_a_neighbour(path: Path) -> None:
    shutil.copyfile(path, path.with_name(f"{path.name}.copy"))


DAMAGES: tuple[Damage, ...] = (
    flip_a_bit, cut_short, make_empty, append, take_anothers_bytes, remove, replace_by_a_folder,
    replace_by_a_link, replace_by_a_link_to_nowhere, add_a_neighbour,
)  # fmt: skip
