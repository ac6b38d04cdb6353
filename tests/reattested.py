"""Change bundles and make their attestations fit, as an attacker would."""

import json
import shutil

import pytest

from wsd.bundle.attestations import build_attestations, write_attestations
from wsd.bundle.layout import read_snapshot
from wsd.bundle.page_chain import link_page
from wsd.supply_chain.sbom import read_materials
from wsd.util.hashing import canonical_json, digest_bytes, sha256_bytes

INDEX = "models/index.json"
MODEL = "models/tiny-sd15"
MANIFEST = f"{MODEL}/manifest.json"


def attest(copy):
    """Write attestations that agree with whatever is there, as an attacker would."""
    materials = read_materials(copy)
    for name, value in build_attestations(read_snapshot(copy), materials).items():
        (copy / name).write_bytes(canonical_json(value))


def chain(copy):
    """Write the digests of manifests and list that the page compares."""
    index = json.loads((copy / "models/index.json").read_text())
    for entry in index:
        manifest = copy / "models" / entry["manifest"] / "manifest.json"
        if manifest.is_file():
            entry["integrity"] = digest_bytes(manifest.read_bytes()).integrity
    (copy / "models/index.json").write_bytes(canonical_json(index))
    link_page(copy)


def change(copy, name, edit):
    """Change a JSON file in place."""
    table = json.loads((copy / name).read_text())
    changed = edit(table)
    (copy / name).write_bytes(canonical_json(table if changed is None else changed))


@pytest.fixture(scope="session")
def small(bundle, tmp_path_factory):
    """A bundle with a few of its parameters, which tests copy and do not change."""
    return shrink(bundle, tmp_path_factory.mktemp("small") / "bundle")


def shrink(bundle, out, edit=lambda _table: None):
    """Copy a bundle of one model with a few of its parameters and materials: copies cost nothing.

    Args:
        bundle: of tiny-sd15.
        out: where the copy goes.
        edit: changes the manifest too; the list of models follows.
    """
    small = shutil.copytree(bundle, out)
    materials = [m for m in read_materials(small) if m.shipped or m.name == "torch"]

    def shorten(table):
        edit(table)
        for component in table["components"].values():
            shorten_stream(small / MODEL, component)

    change(small, MANIFEST, shorten)
    model = json.loads((small / MANIFEST).read_text())["model"]
    change(small, INDEX, lambda index: index[0].update({k: model[k] for k in ("name", "dtype")}))
    chain(small)
    write_attestations(small, materials)
    return small


def shorten_stream(folder, component):
    """Leave two parameters of a component."""
    component["records"] = component["records"][:2]
    component["bytes"] = sum(record["bytes"] for record in component["records"])
    first, *others = component["shards"]
    for shard in others:
        (folder / shard["file"]).unlink()
    data = (folder / first["file"]).read_bytes()[: component["bytes"]]
    (folder / first["file"]).write_bytes(data)
    first.update(bytes=len(data), sha256=sha256_bytes(data))
    component["shards"] = [first]
