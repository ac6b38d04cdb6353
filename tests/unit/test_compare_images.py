"""Two images are compared by digest and by what a container sees, and a difference is named."""

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from tools.compare_images import main, read_image

FILES = {"site/index.html": b"page", "etc/passwd": b"wsd", "site/.wh.old": b""}


def pack(files, *, time=1, mode=0o644, level=9):
    """Return a layer with files, as its bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), time, mode
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), level, mtime=0)


def write_image(path, *layers, user="10001", created="then"):
    """Write an image in the OCI layout, with an index of platforms as Docker writes it."""
    blobs = {}

    def add(data):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[f"blobs/{digest.replace(':', '/')}"] = data
        return {"digest": digest}

    config = add(json.dumps({"config": {"User": user}, "created": created}).encode())
    manifest = {"config": config, "layers": [add(layer) for layer in layers]}
    index = {"manifests": [add(json.dumps(manifest).encode())]}
    blobs["index.json"] = json.dumps({"manifests": [add(json.dumps(index).encode())]}).encode()
    with tarfile.open(path, "w") as archive:
        for name, data in blobs.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return str(path)


@pytest.fixture
def first(tmp_path):
    return write_image(tmp_path / "first.tar", pack({"site/old": b"1"}), pack(FILES))


@pytest.mark.parametrize(
    ("layers", "settings", "said"),
    [
        ([pack({"site/old": b"1"}), pack(FILES)], {}, None),
        ([pack({"site/old": b"1"}), pack(FILES | {"site/index.html": b"Page"})], {}, "sha256"),
        ([pack({"site/old": b"1"}), pack(FILES, mode=0o755)], {}, "mode 0o644 in one, 0o755"),
        ([pack(FILES)], {"user": "0"}, "settings: "),
        ([pack(FILES | {"x": b""})], {}, "/x: only in the second image"),
        ([pack(FILES, time=2)], {}, "time 1 in one, 2 in the other"),
        # The same files, packed in another way, at another time.
        ([pack(FILES)], {}, "digest: sha256:"),
        ([pack({"site/old": b"1"}), pack(FILES)], {"created": "now"}, "digest: sha256:"),
    ],
)
def test_what_differs_is_named(first, tmp_path, capsys, layers, settings, said):
    second = write_image(tmp_path / "second.tar", *layers, **settings)
    assert main([first, second]) == (said is not None)
    assert (said or "the images are identical: sha256:") in capsys.readouterr().out


def test_files_alone(first, tmp_path, capsys):
    packed = pack({"etc/passwd": b"wsd"}, time=5), pack({"site/index.html": b"page"}, level=1)
    second = write_image(tmp_path / "second.tar", *packed, created="now")
    assert main(["--files", first, second]) == 0
    assert "are identical" in capsys.readouterr().out
    assert set(read_image(tmp_path / "second.tar").files) == {"site/index.html", "etc/passwd"}
    other = write_image(tmp_path / "other.tar", packed[0], pack({"site/index.html": b"Page"}))
    assert main(["--files", first, other]) == 1


def test_what_is_no_image(tmp_path):
    path = tmp_path / "two.tar"
    data = json.dumps({"manifests": [{"digest": "sha256:a"}, {"digest": "sha256:b"}]}).encode()
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("index.json")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(ValueError, match="holds 2 images"):
        read_image(path)
