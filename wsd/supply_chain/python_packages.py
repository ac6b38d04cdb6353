"""Python packages that WSD and TVM need in this environment, as materials."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from packageurl import PackageURL
from packaging.requirements import Requirement

from wsd.supply_chain.licenses import find_license, find_texts, is_license_file, read_texts
from wsd.supply_chain.material import LicenseText, Material

# TVM: its runtime and tvmjs are in every bundle. The reference lane's own wheel is called tvm.
_TVM = ("apache-tvm", "tvm")
_SHIPPED = {*_TVM, "apache-tvm-ffi"}
# PyTorch's builds for one kind of hardware are on an index of its own, not on PyPI.
_TORCH_INDEX = "https://download.pytorch.org/whl"


def python_materials() -> Iterator[Material]:
    """Yield every package that WSD and TVM need, without WSD itself."""
    waiting = [*required_names("wsd"), *(name for name in _TVM if _distribution(name))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        distribution = _distribution(name)
        if name in seen or distribution is None:
            continue
        seen.add(name)
        required = required_names(name)
        waiting.extend(required)
        metadata = distribution.metadata.json
        yield Material(
            purl=package_url(name),
            name=name,
            version=distribution.version,
            shipped=name in _SHIPPED,
            license=find_license(name, _license_statements(metadata)),
            supplier=_supplier(metadata) or f"maintainers of {name} on PyPI",
            requires=tuple(sorted(filter(None, map(package_url, required)))),
            texts=_texts(name, distribution) if name in _SHIPPED else (),
        )


def required_names(name: str) -> list[str]:
    """Return the normalised names of what a package needs, without its extras."""
    distribution = _distribution(name)
    return [] if distribution is None else sorted(set(_required(distribution.requires or ())))


@functools.cache
def package_url(name: str) -> str:
    """Return the package URL of an installed package; an empty text if it is not installed."""
    distribution = _distribution(name)
    if distribution is None:
        return ""
    version = distribution.version
    label = version.partition("+")[2]
    index = {"repository_url": f"{_TORCH_INDEX}/{label}"} if name == "torch" and label else {}
    return str(PackageURL("pypi", name=name, version=version, qualifiers=index))


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _required(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def _license_statements(metadata: dict[str, str | list[str]]) -> Iterator[str]:
    yield _text(metadata, "license_expression")
    yield _text(metadata, "license")
    for classifier in metadata.get("classifier", ()):
        if classifier.startswith("License :: "):
            yield classifier


def _supplier(metadata: dict[str, str | list[str]]) -> str:
    """Return who publishes a package: the name of its author or maintainer, without an address."""
    for key in ("author", "maintainer", "author_email", "maintainer_email"):
        if said := re.sub(r"\s*<[^>]*>", "", _text(metadata, key)).strip().strip('"'):
            return " ".join(said.split())
    return ""


def _text(metadata: dict[str, str | list[str]], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def _texts(name: str, distribution: importlib.metadata.Distribution) -> tuple[LicenseText, ...]:
    """Return the licences and notices in a package's wheel."""
    files = [file for file in distribution.files or () if is_license_file(file.name)]
    found = read_texts(Path(str(file.locate())) for file in files)
    # A wheel of v0.21.0 has none; they are in the tree that it was built from.
    tree = os.environ.get("TVM_HOME")
    return found or (find_texts(Path(tree)) if tree and name in _TVM else ())
