"""WSD itself as a material: the digest of its sources, and their commit where it is known."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from packageurl import PackageURL

from wsd import __version__
from wsd.errors import ToolError
from wsd.supply_chain.licenses import find_texts
from wsd.supply_chain.material import Material
from wsd.supply_chain.prebuilt_record import read_record
from wsd.util.files import PACKAGE, REPOSITORY
from wsd.util.hashing import sha256_file
from wsd.util.prebuilt import FOLDER, is_clone, is_prebuilt, repository_file
from wsd.util.process import run

# Environment variable: the commit of WSD's sources where there is no repository to ask, as in the
# image. Whoever builds says it; the digest is measured.
COMMIT_VARIABLE = "WSD_COMMIT"

_WEB = REPOSITORY / "web"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def own_material(requires: tuple[str, ...]) -> Material:
    """Return WSD itself, of which the page is a part.

    Args:
        requires: package URLs of what it needs.
    """
    digest = digest_sources()
    checksum = {"checksum": f"sha256:{digest}"}
    return Material(
        purl=str(PackageURL("generic", name="wsd", version=__version__, qualifiers=checksum)),
        name="wsd",
        version=__version__,
        shipped=True,
        license="Apache-2.0",
        supplier="The WSD authors",
        hashes=(("SHA-256", digest),),
        commit=find_commit(),
        requires=requires,
        texts=find_texts(repository_file("LICENSE").parent),
    )


def list_sources() -> Iterator[Path]:
    """Yield the files that decide what WSD writes: the package, and the sources of the page.

    A wheel has no sources of the page; its record has their digests.
    """
    for path in PACKAGE.rglob("*"):
        if path.suffix != ".pyc" and path.is_file() and not path.is_relative_to(FOLDER):
            yield path
    if not is_clone():
        return
    for folder in ("src", "types"):
        yield from (path for path in (_WEB / folder).rglob("*") if path.is_file())
    yield from _WEB.glob("*.mjs")
    yield from _WEB.glob("*.json")


@functools.cache
def digest_sources() -> str:
    """Return the SHA-256 of lines with path and SHA-256 of each source, sorted: as sha256sum."""
    digests = {
        path.relative_to(REPOSITORY).as_posix(): sha256_file(path) for path in list_sources()
    }
    if is_prebuilt():
        digests |= read_record().sources
    total = hashlib.sha256()
    for name in sorted(digests):
        total.update(f"{digests[name]}  {name}\n".encode())
    return total.hexdigest()


@functools.cache
def find_commit() -> str:
    """Return the commit that the sources are of; empty if it is unknown, or they were changed."""
    named = os.environ.get(COMMIT_VARIABLE, "")
    if _COMMIT.fullmatch(named):
        return named
    if is_prebuilt():
        record = read_record()
        return record.commit if record.digest == digest_sources() else ""
    git = ["git", "-C", str(REPOSITORY)]
    places = [path for path in (PACKAGE, _WEB) if path.exists()]
    try:
        # An environment may lie in the repository of another project.
        if Path(run([*git, "rev-parse", "--show-toplevel"]).strip()).resolve() != REPOSITORY:
            return ""
        commit = run([*git, "rev-parse", "HEAD"]).strip()
        changed = run([*git, "status", "--porcelain", "--", *places])
    except (ToolError, OSError):
        return ""
    return "" if changed.strip() else commit
