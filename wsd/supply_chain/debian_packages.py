"""Debian packages as materials: all of the image's, or that of Emscripten on a host."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from packageurl import PackageURL

from wsd.supply_chain.licenses import find_license, read_texts
from wsd.supply_chain.material import Material
from wsd.util.process import run

# Packages of which a part ends up in a bundle: the C and C++ libraries that Emscripten links.
_SHIPPED = {"emscripten"}
_DOCUMENTS = Path("/usr/share/doc")
_FIELDS = "${Package}\t${Version}\t${Architecture}\t${Maintainer}\t${Depends}\n"
# In Debian's machine-readable copyright files, the first line of a paragraph of files.
_LICENSE_LINE = re.compile(r"^License: *(\S.*)$", re.MULTILINE)


def debian_materials(*, in_image: bool) -> Iterator[Material]:
    """Yield every package of the image; outside it, the package of Emscripten, if it is one.

    Args:
        in_image: whether this process runs in WSD's own image.
    """
    if shutil.which("dpkg-query") is None:
        return
    # dpkg-query lists every package if no name is passed.
    names = ["emscripten"] if not in_image and _has_emscripten() else []
    if not in_image and not names:
        return
    listed = run(["dpkg-query", "--show", f"--showformat={_FIELDS}", *names])
    lines = [line.split("\t") for line in listed.splitlines()]
    purls = {name: _purl(name, version, where) for name, version, where, _, _ in lines}
    for name, version, architecture, maintainer, depends in lines:
        copyright_file = _DOCUMENTS / name / "copyright"
        yield Material(
            purl=_purl(name, version, architecture),
            name=name,
            version=version,
            shipped=name in _SHIPPED,
            license=find_license(name, [_read_license(copyright_file), f"see {copyright_file}"]),
            supplier=maintainer.partition("<")[0].strip(),
            requires=tuple(sorted(_required(depends, purls))),
            texts=read_texts([copyright_file]) if name in _SHIPPED else (),
        )


def _purl(name: str, version: str, architecture: str) -> str:
    return str(PackageURL("deb", _vendor(), name, version, {"arch": architecture}))


def _vendor() -> str:
    """Return whose distribution this is: Debian, or one that is made of its packages."""
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return "debian"


def _has_emscripten() -> bool:
    """Tell whether a Debian package owns the ``emcc`` that is called."""
    path = shutil.which("emcc")
    # Read dpkg's file list: `dpkg -S` fails for files that no package owns.
    listed = Path("/var/lib/dpkg/info/emscripten.list")
    if path is None or not listed.is_file():
        return False
    return path in listed.read_text(encoding="utf-8").splitlines()


def _read_license(copyright_file: Path) -> str:
    """Return the licences that a copyright file names, in Debian's words."""
    if not copyright_file.is_file():
        return ""
    text = copyright_file.read_text(encoding="utf-8", errors="replace")
    return " and ".join(sorted(set(_LICENSE_LINE.findall(text))))


def _required(depends: str, purls: dict[str, str]) -> Iterator[str]:
    """Yield the package URLs of what is installed of a package's dependencies."""
    for names in re.split(r"[,|]", depends):
        name = names.strip().partition(" ")[0].partition(":")[0]
        if name in purls:
            yield purls[name]
