"""The C and C++ libraries that Emscripten links into every bundle, as materials."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packageurl import PackageURL

from wsd.supply_chain.licenses import find_license, find_texts
from wsd.supply_chain.material import LicenseText, Material

# Libraries of LLVM, by their folders in Emscripten's system/lib.
_LLVM = ("compiler-rt", "libcxx", "libcxxabi")
# How the readme of each says what it was taken from.
_RELEASE = re.compile(r"based on release (\d+(?:\.\d+)*)")
_MALLOC = re.compile(r"^ ?\* Version (\d+(?:\.\d+)*)", re.MULTILINE)
# Where dlmalloc.c says that it is in the public domain: its first comment, down to its version.
_DEDICATION = re.compile(r"This is a version \(aka dlmalloc\).*?(?=\n\s*\* Version)", re.DOTALL)


def emscripten_root() -> Path | None:
    """Return the folder of Emscripten's own sources; None if it is not installed."""
    program = shutil.which("emcc")
    if program is None:
        return None
    here = Path(os.path.realpath(program)).parent
    # Debian's emcc is a script that is called wrapper; Homebrew's lies beside libexec.
    for folder in (here, here.parent, here.parent / "libexec", here.parent / "share/emscripten"):
        if (folder / "system" / "lib").is_dir():
            return folder
    return None


def emscripten_texts() -> tuple[LicenseText, ...]:
    """Return Emscripten's own licence, if its folder has it."""
    root = emscripten_root()
    return () if root is None else find_texts(root)


def emscripten_material() -> Material | None:
    """Return Emscripten as an installer of its own brings it: emsdk, Homebrew or conda."""
    root = emscripten_root()
    if root is None:
        return None
    version = (root / "emscripten-version.txt").read_text(encoding="utf-8").strip().strip('"')
    return Material(
        purl=str(PackageURL("github", "emscripten-core", "emscripten", version)),
        name="emscripten",
        version=version,
        shipped=True,
        license=find_license("emscripten", ()),
        supplier="The Emscripten Authors",
        texts=find_texts(root),
    )


def library_materials(fallback: tuple[LicenseText, ...]) -> Iterator[Material]:
    """Yield musl, dlmalloc, libc++, libc++abi and compiler-rt.

    Args:
        fallback: texts that cover all of them, for a library without one of its own. Debian leaves
            LLVM's out of its package, whose copyright file has them.
    """
    root = emscripten_root()
    if root is None:
        return
    library = root / "system" / "lib"
    for made in (_musl(library), _dlmalloc(library), *(_llvm(library, name) for name in _LLVM)):
        licensed = replace(made, license=find_license(made.name, ()))
        yield licensed if licensed.texts else replace(licensed, texts=fallback)


def _musl(library: Path) -> Material:
    folder = library / "libc" / "musl"
    version = _read(folder / "VERSION").strip()
    purl = str(PackageURL("generic", name="musl", version=version or None))
    return Material(
        purl=purl, name="musl", version=version, shipped=True, supplier="musl libc",
        texts=find_texts(folder),
    )  # fmt: skip


def _dlmalloc(library: Path) -> Material:
    text = _read(library / "dlmalloc.c")
    found, said = _MALLOC.search(text), _DEDICATION.search(text)
    version = found[1] if found else ""
    return Material(
        purl=str(PackageURL("generic", name="dlmalloc", version=version or None)),
        name="dlmalloc",
        version=version,
        shipped=True,
        supplier="Doug Lea",
        texts=(LicenseText("dlmalloc.c", f"{said[0].strip()}\n"),) if said else (),
    )


def _llvm(library: Path, name: str) -> Material:
    folder = library / name
    found = _RELEASE.search(_read(folder / "readme.txt") or _read(folder / "README.md"))
    version = found[1] if found else ""
    tag = f"llvmorg-{version}" if version else None
    purl = PackageURL("github", "llvm", "llvm-project", tag, subpath=name)
    return Material(
        purl=str(purl), name=name, version=version, shipped=True, supplier="LLVM Project",
        texts=find_texts(folder),
    )  # fmt: skip


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
