"""What the built parts of a wheel were built from, as ``wsd/prebuilt/record.json`` has it.

A wheel has the page and no sources of it. So that a bundle's SBOM and provenance are the same as
those of a build from the repository, the materials of the page are listed when the wheel is made,
and read again when a bundle is built.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from wsd.errors import ToolError
from wsd.supply_chain.material import Material
from wsd.util.hashing import canonical_json
from wsd.util.prebuilt import INSTALL_HINT, find_prebuilt
from wsd.util.typed_json import read_typed

FILE_NAME = "record.json"


@dataclass(frozen=True)
class PrebuiltRecord:
    """What the built parts of a wheel were built from.

    Attributes:
        commit: git commit of WSD's sources; empty if they were changed, or it was not known.
        digest: SHA-256 of the list of WSD's sources (:mod:`wsd.supply_chain.own_source`), those of
            the package included.
        sources: path in the repository → SHA-256, of those sources that the wheel does not have.
        tvm: version of TVM whose tvmjs is in the page. The page draws with libraries that the
            same version compiled.
        page: materials of the page and of the npm package.
        runtime: materials of the object files of TVM's runtime.
    """

    commit: str
    digest: str
    sources: dict[str, str]
    tvm: str
    page: tuple[Material, ...]
    runtime: tuple[Material, ...]


@functools.cache
def _codec() -> TypeAdapter[PrebuiltRecord]:
    return TypeAdapter(PrebuiltRecord)


def write_record(record: PrebuiltRecord, folder: Path) -> None:
    """Write a record to the folder that becomes ``wsd/prebuilt`` of a wheel."""
    (folder / FILE_NAME).write_bytes(canonical_json(_codec().dump_python(record, mode="json")))


def read_record() -> PrebuiltRecord:
    """Read the record of the installed wheel.

    Raises:
        ToolError: if WSD was not installed from a wheel that has one, or it is damaged.
    """
    return _read(find_prebuilt(FILE_NAME))


@functools.cache
def _read(path: Path) -> PrebuiltRecord:
    return read_typed(path, _codec(), ToolError, INSTALL_HINT)
