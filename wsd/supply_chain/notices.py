"""Notices of a bundle: the licences of everything that is in it, of software and of models.

``THIRD_PARTY_NOTICES.txt`` lists what has the scope ``required`` in the SBOM, and every model, each
with its licence and the files that hold the text. The texts of software are in ``licenses/``; those
of a model lie beside its manifest, which names them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from wsd.errors import BundleError
from wsd.spec.manifest import Manifest
from wsd.supply_chain.material import LicenseText, Material
from wsd.util.hashing import sha256_bytes

FILE_NAME = "THIRD_PARTY_NOTICES.txt"
FOLDER = "licenses"
_LONGEST = 60
_HEAD = """\
This folder holds parts of the software below, and the models if any are listed. Each is under a
licence of its own. The files that are named as texts hold these licences, and the notices that
they ask for.
"""
_MISSING = (
    "build it again, with the package installed as its authors publish it; if it has no licence "
    "file there, let wsd/supply_chain find it elsewhere"
)


def text_path(text: LicenseText) -> str:
    """Return the path of a licence in a bundle; its name carries its digest, as others do."""
    stem = _plain(re.sub(r"\.txt$", "", text.name, flags=re.IGNORECASE))
    return f"{FOLDER}/{stem}.{sha256_bytes(text.text.encode())}.txt"


def make_notices(
    materials: Iterable[Material], manifests: Sequence[tuple[str, Manifest]]
) -> dict[str, bytes]:
    """Return path in the bundle → content of every notice.

    Args:
        materials: what the bundle is made with; only what is shipped counts.
        manifests: folder of each model, such as ``models/sd15``, and its manifest.

    Raises:
        BundleError: if the licence of something that is shipped is unknown, or its text is missing.
    """
    shipped = sorted(material for material in materials if material.shipped)
    files = {}
    for material in shipped:
        _check(material)
        for text in material.texts:
            files[text_path(text)] = text.text.encode()
    lines = [_HEAD, *map(_one_line, [*_describe_software(shipped), *_describe_models(manifests)])]
    return {**files, FILE_NAME: "\n".join(lines).encode()}


def write_notices(
    bundle: Path, materials: Iterable[Material], manifests: Sequence[tuple[str, Manifest]] = ()
) -> None:
    """Write the notices of a bundle, or of the npm package; former ones are replaced.

    Args:
        bundle: the folder.
        materials: as :func:`make_notices`.
        manifests: as :func:`make_notices`; none for the npm package.

    Raises:
        BundleError: as :func:`make_notices`.
    """
    notices = make_notices(materials, manifests)
    if (bundle / FOLDER).is_dir():
        shutil.rmtree(bundle / FOLDER)
    for path, content in notices.items():
        (bundle / path).parent.mkdir(exist_ok=True)
        (bundle / path).write_bytes(content)


def _check(material: Material) -> None:
    named = f"{material.name} {material.version}".strip()
    if not material.license:
        raise BundleError(
            f"{named} is part of the bundle, and its licence is not known",
            f"add {material.name} to [licenses] of sbom/policy.toml",
        )
    if not material.texts:
        raise BundleError(
            f"{named} is part of the bundle, and the text of its licence "
            f"({material.license}) was not found",
            _MISSING,
        )


def _describe_software(shipped: Iterable[Material]) -> Iterator[str]:
    yield from ("Software", "========", "")
    for material in shipped:
        yield f"{material.name} {material.version}".strip()
        yield f"  licence: {material.license}"
        yield f"  package: {material.purl}"
        for text in material.texts:
            yield f"  text: {text_path(text)}"
        yield ""


def _describe_models(manifests: Sequence[tuple[str, Manifest]]) -> Iterator[str]:
    if not manifests:
        return
    yield from ("Models", "======", "")
    for folder, manifest in sorted(manifests, key=lambda found: found[0]):
        model = manifest.model
        yield f"{model.name} in {model.dtype}: {model.title}"
        yield f"  licence: {model.license or 'not stated by the checkpoint; ask who published it'}"
        yield f"  checkpoint: {model.source}"
        for adapter in model.adapters or ():
            terms = adapter.license or "not stated; ask who published it"
            yield f"  adapter: {adapter.source}, scale {adapter.scale:g}"
            yield f"  licence of the adapter: {terms}"
        for lora in manifest.example_loras or ():
            yield f"  LoRA {lora.name}: {folder}/{lora.file}"
            yield f"  licence of the LoRA: {lora.license or 'not stated; ask who published it'}"
        if (checker := manifest.safety_checker) is not None:
            terms = checker.license or "not stated; ask who published it"
            yield f"  safety checker: {checker.source}"
            yield f"  licence of the safety checker: {terms}"
        for entry in manifest.documents:
            yield f"  text: {folder}/{entry.file}"
        yield ""


def _one_line(text: str) -> str:
    """Return a text without what would end its line, or write to a terminal that shows it."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "?", text)


def _plain(name: str) -> str:
    """Return a name of letters, digits and a few signs, which is no path and no hidden file."""
    return "-".join(re.findall(r"[A-Za-z0-9._]+", name)).strip(".")[:_LONGEST] or "unnamed"
