"""``wsd compile``: write a library and the page to a folder that ``wsd build --library`` takes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from wsd.bundle.web_page import write_page
from wsd.compiler.library import Library, write_library
from wsd.supply_chain.material import merge_materials
from wsd.supply_chain.materials import own_materials
from wsd.util.contents import write_contents
from wsd.util.file_errors import explain_file_errors
from wsd.util.files import check_absent, write_folder_atomically
from wsd.util.progress import Progress


def write_compiled(library: Library, out: Path, progress: Progress) -> Path:
    """Write a library and the page to a folder that ``wsd build --library`` takes.

    Raises:
        UsageError: if ``out`` exists.
        ToolError: if the page cannot be bundled.
        FileError: if a file cannot be written.
    """
    check_absent(out)
    with explain_file_errors(out), write_folder_atomically(out) as scratch:
        shutil.copyfile(library.wasm, scratch / library.wasm.name)
        with progress.stage("page", total=1) as advance:
            page = write_page(library, replace(library, folder=scratch).page_folder)
            advance(1)
        materials = merge_materials([*library.materials, *page, *own_materials()])
        write_library(replace(library, folder=scratch, materials=materials))
        write_contents(scratch)
    return out
