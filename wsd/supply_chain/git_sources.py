"""Git sources that the image was built from, and the patches applied to them, as materials.

Any of them may have been replaced by a build context. So the image records the digest of the files
that it built (``docker/stages/trees.sh``), which is compared with that of the pinned commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packageurl import PackageURL

from wsd.errors import ToolError
from wsd.supply_chain.licenses import find_license, find_texts
from wsd.supply_chain.material import LicenseText, Material, Patch
from wsd.supply_chain.pins import Pins, Source, read_pins

# Environment variable of the image: a folder of files with lines "tree NAME TREE" for each source
# that was built, and "patch NAME FILE SHA256 CHANGES" for each patch that was applied to one.
SOURCES_VARIABLE = "WSD_SOURCES"

# Sources of which a part ends up in a bundle, with the folder below TVM's in which their licences
# are. TVM's runtime includes the headers of the last two.
_SHIPPED = {"tvm": "", "emscripten": None, "dlpack": "3rdparty/dlpack",
            "dmlc-core": "3rdparty/dmlc-core"}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class _Record:
    """The image's record of its sources.

    Attributes:
        trees: name of a source → git's digest of its files.
        patches: name of a source → file name, SHA-256 of each applied patch and of its changes.
    """

    trees: dict[str, str]
    patches: dict[str, list[tuple[str, str, str]]]


def git_materials(emscripten: tuple[LicenseText, ...]) -> Iterator[Material]:
    """Yield the sources that the image's record lists; none outside the image.

    Args:
        emscripten: the licence texts of Emscripten.

    Raises:
        ToolError: if the record has a line in another form.
        UsageError: if the pins are unreadable.
    """
    place = os.environ.get(SOURCES_VARIABLE)
    if place is None:
        return
    pins = read_pins()
    record = _read_record(Path(place))
    for name, tree in record.trees.items():
        patches = tuple(
            _patch(pins, name, file, sha256, changes)
            for file, sha256, changes in record.patches.get(name, ())
        )
        texts = emscripten if name == "emscripten" else _texts(name)
        yield _material(name, pins.source[name], tree, patches, texts)


def _read_record(folder: Path) -> _Record:
    record = _Record({}, {})
    for path in sorted(folder.iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            match line.split(" "):
                case ["tree", name, tree]:
                    record.trees[name] = tree
                case ["patch", name, file, sha256, changes]:
                    record.patches.setdefault(name, []).append((file, sha256, changes))
                case _:
                    raise ToolError(
                        f"{path}: {line!r} is not as docker/stages/trees.sh writes it",
                        "build the image again",
                    )
    return record


def _patch(pins: Pins, name: str, file: str, sha256: str, changes: str) -> Patch:
    """Return a patch, with upstream's address if it makes the same change as the pinned commit.

    The digest of a patch depends on the version of git that wrote it; that of its changes does not.
    """
    for fix in pins.backport.get(name, {}).values():
        if fix.changes == changes:
            return Patch(f"{pins.source[name].url}/commit/{fix.commit}", sha256)
    called = "-".join(_PLAIN.findall(file)) or "unnamed"
    return Patch(f"urn:wsd:patch:{called}", sha256)


def _material(
    name: str, source: Source, tree: str, patches: tuple[Patch, ...], texts: tuple[LicenseText, ...]
) -> Material:
    as_pinned = tree == source.tree
    place = source.url.removeprefix("https://github.com/")
    owner, _, repository = place.rpartition("/")
    # A folder that replaced the commit is named by the digest of its files.
    if as_pinned:
        purl = PackageURL("github", owner, repository, source.commit)
    else:
        purl = PackageURL("generic", name=name, version=tree)
    return Material(
        purl=str(purl),
        name=name,
        version=(source.version or source.commit) if as_pinned else tree,
        shipped=name in _SHIPPED,
        license=find_license(name, ()),
        supplier=owner,
        hashes=(("SHA-1", source.commit if as_pinned else tree),),
        commit=source.commit if as_pinned else "",
        patches=patches,
        texts=texts if name in _SHIPPED else (),
    )


def _texts(name: str) -> tuple[LicenseText, ...]:
    """Return the licences of a source that lies in the tree of TVM, and TVM's own."""
    tree, inside = os.environ.get("TVM_HOME"), _SHIPPED.get(name)
    return () if tree is None or inside is None else find_texts(Path(tree) / inside)
