"""Bundles with files much larger than they say: refused by their sizes, and read by nobody."""

import json
import shutil

import pytest

from mutations import MOST_BYTES, MOST_SECONDS_OF_LARGE, peak_bytes
from reattested import INDEX, MANIFEST, MODEL
from timing import at_most
from wsd.bundle.model_files import check_example_picture
from wsd.bundle.verify import check_bundle, verify_bundle
from wsd.errors import BundleError
from wsd.spec.manifest import MAX_EXAMPLE_BYTES

TERABYTE = 1 << 40


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def stretch(path):
    """Let a file have a terabyte, most of it a hole."""
    with path.open("ab") as file:
        file.truncate(TERABYTE)


def name_of(copy, kind):
    manifest = json.loads((copy / MANIFEST).read_text())
    names = {
        "shard": manifest["components"]["vae"]["shards"][0]["file"],
        "picture": manifest["example_pictures"][0]["file"],
        "library": manifest["library"]["file"],
        "document": manifest["documents"][0]["file"],
    }
    return f"{MODEL}/{names[kind]}" if kind in names else kind


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    "kind",
    ["shard", "picture", "library", "document", "client.js", "index.html", "sw.js", INDEX, MANIFEST,
     "SRI.json", "sbom.cdx.json", "provenance.json", "assets/new.js", "models/new.bin", "new"],
)  # fmt: skip
def test_a_file_of_a_terabyte_is_a_fault_within_a_second(copy, kind):
    name = name_of(copy, kind)
    stretch(copy / name)
    before = peak_bytes()
    with at_most(MOST_SECONDS_OF_LARGE):
        try:
            faults = list(verify_bundle(copy))
        except BundleError as error:
            faults = [error.message]
        assert peak_bytes() - before < MOST_BYTES
    assert len(faults) == 1
    assert name in faults[0]
    assert "expected" in faults[0] or "larger than" in faults[0]
    with pytest.raises(BundleError):
        check_bundle(copy)


@pytest.mark.slow
def test_all_wrong_sizes_and_missing_files_are_told(copy):
    stretch(copy / name_of(copy, "shard"))
    (copy / name_of(copy, "library")).write_bytes(b"")
    (copy / name_of(copy, "document")).unlink()
    faults = sorted(verify_bundle(copy))
    assert len(faults) == 3
    assert sum("bytes, expected" in fault for fault in faults) == 2
    assert sum(fault.endswith(": missing") for fault in faults) == 1


@pytest.mark.parametrize("more", [0, 1, TERABYTE])
def test_a_picture_is_read_up_to_its_bound(tmp_path, more):
    path = tmp_path / "example.webp"
    path.write_bytes(b"RIFF\0\0\0\0WEBP")
    with path.open("ab") as file:
        file.truncate(MAX_EXAMPLE_BYTES + more)
    before = peak_bytes()
    if more:
        with pytest.raises(BundleError, match="not a WebP picture"):
            check_example_picture(path)
    else:
        check_example_picture(path)
    assert peak_bytes() - before < MOST_BYTES
