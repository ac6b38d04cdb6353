"""Write what the compiler makes on the way: the IR after each pass, and every shader.

Files of a dump::

    00-imported.py            TVMScript of the module after import and after each pass
    01-pack_parameters.py
    …
    shaders/KERNEL.wgsl       generated shaders, by kernel name
    variants/KERNEL.0.VARIANT.wgsl
                              written shaders that may run in their place, the fastest first; a
                              variant of several launches has one file for each,
                              KERNEL.0.VARIANT.launch0.wgsl …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wsd.compiler.tvm_compat import IRModule, kernel_name
from wsd.errors import UsageError
from wsd.kernels.variant import Variant


class Dump:
    """A folder that is written to as compilation goes on: a failing pass leaves what was before.

    Args:
        folder: new or empty; None writes nothing.

    Raises:
        UsageError: if the folder holds files, which would be taken for this dump's, or if it
            cannot be made.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            _make_empty(folder)
        self._folder = folder
        self._modules = 0

    def write_module(self, name: str, module: IRModule) -> None:
        """Write a module as TVMScript to the next numbered file.

        Args:
            name: the pass that the module came from.
            module: Relax and TIR functions.
        """
        if self._folder is not None:
            self._write(f"{self._modules:02}-{name}.py", str(module.script()))
            self._modules += 1

    def write_shaders(self, shaders: Mapping[str, str]) -> None:
        """Write generated shaders.

        Args:
            shaders: kernel name → WGSL.
        """
        for name, code in shaders.items():
            self._write(f"shaders/{name}.wgsl", code)

    def write_variants(self, variants: Mapping[str, Sequence[Variant]]) -> None:
        """Write the shaders of variants.

        Args:
            variants: TIR function → its variants.
        """
        for function, found in variants.items():
            # One kind can give several variants, of different tiles.
            for order, variant in enumerate(found):
                stem = f"variants/{kernel_name(function)}.{order}.{variant.name}"
                # Launches that differ in their number alone are written once.
                launches = dict.fromkeys(replace(x, uniform=None) for x in variant.launches)
                for index, launch in enumerate(launches):
                    number = f".launch{index}" if len(launches) > 1 else ""
                    named = ", ".join(filter(None, (variant.name, variant.tile)))
                    about = f"// {named}, grid {launch.grid}, {variant.threads} threads\n"
                    self._write(f"{stem}{number}.wgsl", about + launch.head + launch.body)

    def _write(self, name: str, text: str) -> None:
        if self._folder is None:
            return
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _make_empty(folder: Path) -> None:
    """Make a folder, or accept one that is empty.

    Raises:
        UsageError: if it is a file, holds files, or cannot be made.
    """
    hint = "name a new folder with --dump-ir"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        holds_files = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"folder {folder} of --dump-ir cannot be made: {error}", hint) from error
    if holds_files:
        raise UsageError(f"folder {folder} of --dump-ir is not empty", hint)
