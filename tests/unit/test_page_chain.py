"""The chain of digests from the page over the list of models to the manifests."""

import json

import pytest

from wsd.bundle.manifest import write_index
from wsd.bundle.page_chain import find_chain_faults, link_page, unlinked_page
from wsd.errors import BundleError
from wsd.spec.manifest import IndexEntry
from wsd.util.hashing import digest_bytes, digest_file

PAGE = '<head><meta name="models-integrity" content="" /><title>{}</title></head>\n'


def page_files(meta=True):
    """Return the files of a page as the bundler writes them: path → text."""
    texts = {name: PAGE.format(name) for name in ("index.html", "selftest.html")}
    if not meta:
        texts = {name: f"<title>{name}</title>" for name in texts}
    kept = [{"url": name, "integrity": digest_bytes(text.encode()).integrity}
            for name, text in texts.items()]  # fmt: skip
    return {**texts, "sw.js": f"keep({json.dumps(kept)}, 'client.js')", "client.js": "draw()"}


def make_bundle(folder, models=("a",), meta=True):
    """Write a bundle of empty models with its chain; returns its folder."""
    folder.mkdir()
    for name, text in page_files(meta).items():
        (folder / name).write_text(text)
    entries = []
    for name in models:
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "manifest.json").write_text(f'{{"name": "{name}"}}')
        entries.append(IndexEntry(name=name, title=name, dtype="f32", manifest=f"{name}/"))
    write_index(entries, folder)
    link_page(folder)
    return folder


@pytest.fixture
def made(tmp_path):
    return make_bundle(tmp_path / "bundle")


def test_each_file_has_the_digest_of_the_next(made):
    index = digest_file(made / "models/index.json").integrity
    worker = (made / "sw.js").read_text()
    for name in ("index.html", "selftest.html"):
        assert f'content="{index}"' in (made / name).read_text()
        assert digest_file(made / name).integrity in worker
    (entry,) = json.loads((made / "models/index.json").read_text())
    assert entry["integrity"] == digest_file(made / "models/a/manifest.json").integrity
    assert list(find_chain_faults(made)) == []


def test_linking_again_changes_nothing_and_another_list_changes_the_page(made, tmp_path):
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    link_page(made)
    assert {path: path.read_bytes() for path in before} == before
    other = make_bundle(tmp_path / "other", ("a", "b"))
    for name in ("index.html", "selftest.html", "sw.js"):
        assert (other / name).read_bytes() != (made / name).read_bytes()
    assert unlinked_page(other) == unlinked_page(made)
    assert unlinked_page(made) == {
        name: text.encode() for name, text in page_files().items() if name != "client.js"
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "faulty"),
    [
        ("models/a/manifest.json", "a", "b", ["models/index.json"]),
        ("models/index.json", '"title":"a"', '"title":"b"', ["index.html", "selftest.html"]),
        ("models/index.json", '"integrity"', '"title"', ["models/index.json", "index.html"]),
        ("index.html", "sha384-", "sha384-A", ["index.html", "sw.js"]),
        ("index.html", "models-integrity", "models-digest", ["index.html", "sw.js"]),
        ("selftest.html", "</title>", "!</title>", ["sw.js"]),
        ("sw.js", "sha384-", "sha384_", ["sw.js"]),
    ],
)
def test_a_broken_link_is_found(made, name, old, new, faulty):
    path = made / name
    text = path.read_text()
    assert old in text
    if new == '"title"':
        (entry,) = json.loads(text)
        del entry["integrity"]
        path.write_text(json.dumps([entry]))
    else:
        path.write_text(text.replace(old, new))
    found = list(find_chain_faults(made))
    assert set(faulty) <= {place for place, _ in found}
    assert all("is missing or wrong" in fault or "differs" in fault for _, fault in found)


def test_a_bundle_of_before_has_no_chain_and_no_fault(tmp_path):
    before = make_bundle(tmp_path / "bundle", meta=False)
    assert unlinked_page(before) == {
        name: text.encode() for name, text in page_files(meta=False).items() if name != "client.js"
    }
    index = before / "models/index.json"
    entries = json.loads(index.read_text())
    index.write_text(
        json.dumps([{k: v for k, v in e.items() if k != "integrity"} for e in entries])
    )
    assert list(find_chain_faults(before)) == []


def test_a_service_worker_of_another_page_is_refused(made):
    (made / "sw.js").write_text("keep([])")
    with pytest.raises(BundleError, match=r"sw\.js has a digest of index\.html that differs"):
        link_page(made)


def test_what_wsd_builds_is_linked(bundle):
    assert list(find_chain_faults(bundle)) == []
    index = digest_file(bundle / "models/index.json").integrity
    for name in ("index.html", "selftest.html"):
        assert (bundle / name).read_text().count(index) == 1
