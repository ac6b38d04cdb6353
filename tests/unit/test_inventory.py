"""What the image's environment tells of itself, and what becomes of it."""

import hashlib
import os
import shutil
import socket
import subprocess

import pytest

from marks import some_of
from wsd.errors import BundleError, ToolError
from wsd.supply_chain.git_sources import SOURCES_VARIABLE, git_materials
from wsd.supply_chain.material import LicenseText, Material, Patch, merge_materials
from wsd.supply_chain.materials import BASE_VARIABLE, compiler_materials
from wsd.supply_chain.notices import make_notices
from wsd.supply_chain.own_source import COMMIT_VARIABLE, find_commit
from wsd.supply_chain.pins import read_pins
from wsd.util.files import REPOSITORY

PINS = read_pins()
TREES = REPOSITORY / "docker" / "stages" / "trees.sh"
PATCH = """\
diff --git a/web/src/runtime.ts b/web/src/runtime.ts
--- a/web/src/runtime.ts
+++ b/web/src/runtime.ts
@@ -1,2 +1,2 @@
 const a = 1;
-const b = 2;
+const b = 3;
"""


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Return a function that takes what docker/stages/trees.sh printed in the image."""
    monkeypatch.setenv(SOURCES_VARIABLE, str(tmp_path / "record"))
    (tmp_path / "record").mkdir()

    def write(text, collect=lambda: git_materials(())):
        (tmp_path / "record" / "tvm").write_text(text)
        (tmp_path / "record" / "emscripten").touch()
        return {material.name: material for material in collect()}

    return write


def run_trees(image):
    """Run the image's own script that looks at sources and patches."""
    return subprocess.run(["sh", TREES, image], check=False, capture_output=True, text=True)


@pytest.fixture
def measure(tmp_path):
    """Return a function that lets the image's own script look at sources and patches."""

    def run(sources, patches):
        shutil.rmtree(tmp_path / "image", ignore_errors=True)
        for place, files in (("sources", sources), ("patches", patches)):
            (tmp_path / "image" / place).mkdir(parents=True)
            for path, content in files.items():
                file = tmp_path / "image" / place / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content if isinstance(content, bytes) else content.encode())
        done = run_trees(tmp_path / "image")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def digest_tree(folder):
    """Return git's digest of a folder's files, byte by byte, without git; None for an empty one."""
    entries = []
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if (digest := digest_tree(path)) is not None:
                entries.append((os.fsencode(path.name) + b"/", b"40000", digest))
            continue
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        program = os.access(path, os.X_OK)
        mode = b"120000" if path.is_symlink() else b"100755" if program else b"100644"
        entries.append((os.fsencode(path.name), mode, digest_object(b"blob", content)))
    listed = (mode + b" " + name.rstrip(b"/") + b"\0" + d for name, mode, d in sorted(entries))
    return digest_object(b"tree", b"".join(listed)) if entries else None


def digest_object(kind, content):
    head = kind + b" %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).digest()


def test_sources_as_pinned(record):
    tvm, rang = PINS.source["tvm"], PINS.source["rang"]
    fixes = PINS.backport["tvm"].values()
    patches = "".join(f"patch tvm {f.commit}.patch {'ab' * 32} {f.changes}\n" for f in fixes)
    found = record(f"tree tvm {tvm.tree}\ntree rang {rang.tree}\n{patches}")
    assert found["tvm"].purl == f"pkg:github/apache/tvm@{tvm.commit}"
    assert found["tvm"].version == "0.21.0"
    assert found["tvm"].shipped
    assert found["tvm"].license == "Apache-2.0"
    assert found["tvm"].commit == tvm.commit
    assert found["tvm"].supplier == "apache"
    assert set(found["tvm"].patches) == {
        Patch(f"{tvm.url}/commit/{fix.commit}", "ab" * 32) for fix in fixes
    }
    assert found["rang"].purl == f"pkg:github/agauniyal/rang@{rang.commit}"
    assert not found["rang"].shipped


def test_a_source_that_is_another(record):
    found = record(f"tree rang {'12' * 20}\n")["rang"]
    assert found.purl == f"pkg:generic/rang@{'12' * 20}"
    assert found.version == "12" * 20
    assert found.commit == ""


@pytest.mark.slow
def test_patches_of_a_context_are_measured(record, measure):
    """Whatever is passed in the place of upstream's fixes is named by its digest."""
    said = measure(
        {"tvm/README": "TVM"},
        {"tvm/own fix.patch": PATCH, f"tvm/{PINS.backport['tvm']['llvm-19'].commit}.patch": PATCH},
    )
    digest = hashlib.sha256(PATCH.encode()).hexdigest()
    patches = record(said)["tvm"].patches
    assert {patch.sha256 for patch in patches} == {digest}
    # The name of upstream's commit makes a patch no commit of upstream's.
    assert {patch.url for patch in patches} == {
        "urn:wsd:patch:own-fix.patch",
        f"urn:wsd:patch:{PINS.backport['tvm']['llvm-19'].commit}.patch",
    }


# Files of a source that ask git to change what it reads, as .gitattributes does, or to look away.
ASKING = {
    "text": {".gitattributes": "* text=auto\n"},
    "line ends": {".gitattributes": "*.c text eol=crlf\n"},
    "old words": {".gitattributes": "* crlf\n"},
    "identity": {".gitattributes": "*.c ident\n"},
    "encoding": {".gitattributes": "*.c working-tree-encoding=UTF-16LE\n"},
    "filter": {".gitattributes": "* filter=lfs diff=lfs merge=lfs\n"},
    "macro": {".gitattributes": "[attr]mine text ident eol=lf\n* mine\n"},
    "below": {"deep/er/.gitattributes": "* text ident\n"},
    "ignored": {".gitignore": "*\n", "deep/.gitignore": "*.c\n"},
    "nothing": {},
}
CONTENTS = [b"int a;\n", b"int a;\r\n", b"$Id$\n", b"$Id: other $\n", b"a\0b\0\r\n",
            "\ufeffü\n".encode("utf-16-le")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("asking", some_of(ASKING, 4))
def test_a_source_is_measured_byte_by_byte(measure, tmp_path, asking):
    """The digest is git's own of these very bytes, whatever the files ask git to do."""
    files = {}
    for number, content in enumerate(CONTENTS):
        files |= {f"{number}/{path}": text for path, text in ASKING[asking].items()}
        files |= {f"{number}/deep/er/x.c": content, f"{number}/x.c": b"same\n"}
    found = {line.split()[1]: line.split()[2] for line in measure(files, {}).splitlines()}
    sources = tmp_path / "image" / "sources"
    assert found == {folder.name: digest_tree(folder).hex() for folder in sources.iterdir()}
    assert len(set(found.values())) == len(CONTENTS)


def git(*words):
    identity = ("-c", "user.name=x", "-c", "user.email=x@x")
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("place", some_of(["", "sub", "deep/er", "as-a-submodule"], 2))
def test_a_repository_inside_a_source_hides_nothing(tmp_path, place):
    """Git measures a commit's name there; files that differ from the commit would be built."""
    image = tmp_path / "image"
    (image / "patches").mkdir(parents=True)
    source = image / "sources" / "tvm"
    inside = source / place
    inside.mkdir(parents=True)
    (inside / "x.c").write_text("as committed\n")
    (source / "other.c").write_text("other\n")
    git("init", inside)
    git("-C", inside, "add", "x.c")
    git("-C", inside, "commit", "-m", "x")
    if place == "as-a-submodule":
        (inside / ".git").rename(tmp_path / "elsewhere")
        (inside / ".git").write_text(f"gitdir: {tmp_path / 'elsewhere'}\n")
    shutil.copytree(image, tmp_path / "second", symlinks=True)
    (tmp_path / "second" / "sources" / "tvm" / place / "x.c").write_text("altered\n")
    found = set()
    for folder in (image, tmp_path / "second"):
        found.add(run_trees(folder).stdout)
        assert digest_tree(folder / "sources" / "tvm").hex() in run_trees(folder).stdout
        # The image is built from what is left.
        assert not list(folder.rglob(".git"))
    assert len(found) == 2


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["fifo", "socket", ".GIT/config", "git~1"])
def test_a_source_that_cannot_be_measured_stops_the_build(tmp_path, odd):
    source = tmp_path / "sources" / "tvm"
    source.mkdir(parents=True)
    (source / "x.c").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        if odd == "fifo":
            os.mkfifo(source / odd)
        elif odd == "socket":
            listener.bind(os.path.relpath(source / odd))
        else:
            (source / odd).parent.mkdir(exist_ok=True)
            (source / odd).touch()
        done = run_trees(tmp_path)
    assert done.returncode != 0
    assert odd.split("/")[0] in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["link", "link to a folder", "fifo", "plain diff", "words"])
def test_a_patch_that_cannot_be_measured_stops_the_build(tmp_path, kind):
    """A patch is written without its head: through a link, that would alter a measured source."""
    source, patches = tmp_path / "sources" / "tvm", tmp_path / "patches" / "tvm"
    source.mkdir(parents=True)
    (source / "x.c").write_text("measured\n")
    patch = patches / "x.patch"
    if kind == "link to a folder":
        patches.parent.mkdir()
        patches.symlink_to(source)
        (source / "x.patch").write_text(f"Subject: x\n\n{PATCH}")
    else:
        patches.mkdir(parents=True)
    if kind == "link":
        patch.symlink_to(source / "x.c")
    elif kind == "fifo":
        os.mkfifo(patch)
    elif kind == "plain diff":
        patch.write_text(PATCH.partition("\n")[2])
    elif kind == "words":
        patch.write_text("nothing\n")
    before = {path: path.read_text() for path in source.iterdir()}
    done = run_trees(tmp_path)
    assert done.returncode == 2
    assert str(patches) in done.stderr
    assert "hint: " in done.stderr
    assert before == {path: path.read_text() for path in source.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x\ntree tvm 12.patch", "\n.patch", "a b.patch", "ü.patch"])
def test_the_name_of_a_patch_is_one_word(record, measure, name):
    (patch,) = record(measure({"tvm/README": "TVM"}, {f"tvm/{name}": PATCH}))["tvm"].patches
    assert patch.sha256 == hashlib.sha256(PATCH.encode()).hexdigest()


@pytest.mark.slow
def test_a_patch_is_known_by_its_changes_alone(measure, record, monkeypatch):
    """Another version of git writes another head; a single blank makes another patch."""

    def look(text):
        return measure({"tvm/README": "TVM"}, {"tvm/x.patch": text})

    mailed = "From 0123 Mon Sep 17 00:00:00 2001\nSubject: {}\n\n---\n{}-- \n{}\n"
    first = look(mailed.format("a fix", PATCH, "2.39.5")).split()[-1]
    fix = PINS.backport["tvm"]["llvm-19"].model_copy(update={"changes": first})
    pins = PINS.model_copy(update={"backport": {"tvm": {"llvm-19": fix}}})
    monkeypatch.setattr("wsd.supply_chain.git_sources.read_pins", lambda: pins)
    for text, known in (
        (PATCH, True),
        (mailed.format("another", PATCH, "2.47.3"), True),
        (PATCH.replace("b = 3", "b =  3"), False),
        (PATCH.replace("b = 3", "b = 4"), False),
        # The same change at another place of the file.
        (PATCH.replace("@@ -1,2 +1,2 @@", "@@ -9,2 +9,2 @@"), False),
        (PATCH.replace("@@ -1,2 +1,2 @@", "@@ -1,2 +1,2 @@ function f() {"), True),
        (PATCH.replace("--- a", "index 01..23 100644\n--- a"), True),
        (PATCH.replace("--- a", "old mode 100644\nnew mode 100755\n--- a"), False),
        (PATCH + PATCH.replace("runtime", "other"), False),
    ):
        (patch,) = record(look(text))["tvm"].patches
        assert (patch.url == f"{PINS.source['tvm'].url}/commit/{fix.commit}") == known


# What patch(1) takes for changes, at places where git does not look for any.
HIDDEN = """\
--- a/hidden.ts
+++ b/hidden.ts
@@ -1 +1 @@
-before
+after
"""


@pytest.mark.slow
@pytest.mark.parametrize("indent", some_of(["", "  ", "\t"], 3))
@pytest.mark.parametrize("place", ["before", "after", "signature", "second email"])
def test_a_patch_changes_only_what_was_measured(measure, tmp_path, place, indent):
    hidden = "".join(f"{indent}{line}\n" for line in HIDDEN.splitlines())
    text = {
        "before": f"Subject: fix\n\n{hidden}\n---\n{PATCH}-- \n2.47.3\n",
        "after": f"{PATCH}{hidden}",
        "signature": f"{PATCH}-- \n{hidden}",
        "second email": f"{PATCH}-- \n2.47.3\n\nFrom 01 Mon Sep\n\n{hidden}",
    }[place]
    plain = measure({"tvm/README": "TVM"}, {"tvm/x.patch": PATCH}).split()[-1]
    measured = measure({"tvm/README": "TVM"}, {"tvm/x.patch": text}).split()[-1]
    source = tmp_path / "source"
    (source / "web/src").mkdir(parents=True)
    (source / "web/src/runtime.ts").write_text("const a = 1;\nconst b = 2;\n")
    (source / "hidden.ts").write_text("before\n")
    patch = tmp_path / "image" / "patches" / "tvm" / "x.patch"
    with patch.open("rb") as file:
        subprocess.run(["patch", "--strip=1", "--quiet", "--forward"], stdin=file, cwd=source,
                       check=False, capture_output=True)  # fmt: skip
    assert "b = 3" in (source / "web/src/runtime.ts").read_text()
    changed = (source / "hidden.ts").read_text() == "after\n"
    # Between changes nothing is left out, and beside them nothing is left.
    assert (measured == plain) == (place != "after")
    assert not changed or place == "after"


@pytest.mark.parametrize("line", ["tvm 1234", "patch tvm a.patch", "", "tree tvm 1 2"])
def test_a_record_that_is_none_is_refused(record, line):
    with pytest.raises(ToolError, match="is not as docker/stages/trees.sh"):
        record(f"{line}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "purl"),
    [
        (str(PINS.base), f"pkg:docker/debian@{PINS.base.digest}?tag=trixie-20260803-slim"),
        ("registry.site/os/debian:13", "pkg:docker/registry.site/os/debian@13"),
        ("wsd-base", "pkg:docker/wsd-base@latest"),
    ],
)
def test_the_base_image(monkeypatch, base, purl):
    monkeypatch.setenv(BASE_VARIABLE, base)
    assert purl.replace("sha256:", "sha256%3A") in {
        material.purl.replace("sha256:", "sha256%3A") for material in compiler_materials()
    }


def test_the_commit_of_wsd_is_said_where_no_repository_is(monkeypatch):
    monkeypatch.setenv(COMMIT_VARIABLE, "ab" * 20)
    assert find_commit.__wrapped__() == "ab" * 20
    # No commit, and no text that a package URL or a digest could not hold.
    monkeypatch.setenv(COMMIT_VARIABLE, "main; rm -rf /")
    assert find_commit.__wrapped__() in ("", head())


def head():
    git = ["git", "-C", REPOSITORY, "rev-parse", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def test_materials_of_one_package_become_one_in_any_order():
    first = Material("pkg:pypi/a@1", "a", "1", license="MIT", requires=("pkg:pypi/b@1",))
    second = Material("pkg:pypi/a@1", "a", "1", shipped=True, texts=(LicenseText("LICENSE", "x"),))
    other = Material("pkg:pypi/b@1", "b", "1", requires=("pkg:pypi/none@1",))
    merged = merge_materials([first, second, other])
    assert merged == merge_materials([other, second, first, first])
    assert [material.purl for material in merged] == ["pkg:pypi/a@1", "pkg:pypi/b@1"]
    assert merged[0].shipped
    assert merged[0].license == "MIT"
    assert merged[0].texts
    assert merged[0].requires == ("pkg:pypi/b@1",)
    # Nothing requires what is not there.
    assert merged[1].requires == ()


@pytest.fixture
def built_from_source(tmp_path, monkeypatch, record):
    """Lay out TVM's and Emscripten's trees as the image of the reference lane has them."""
    tvm, emscripten = tmp_path / "tvm", tmp_path / "emscripten"
    files = [tvm / "LICENSE", tvm / "NOTICE", tvm / "licenses" / "LICENSE.picojson.txt",
             tvm / "3rdparty" / "dlpack" / "LICENSE", tvm / "3rdparty" / "dmlc-core" / "LICENSE",
             emscripten / "LICENSE", emscripten / "system/lib/libc/musl/COPYRIGHT",
             *(emscripten / "system/lib" / name / "LICENSE.TXT"
               for name in ("libcxx", "libcxxabi", "compiler-rt"))]  # fmt: skip
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{file.relative_to(tmp_path)}\n")
    (emscripten / "system/lib/dlmalloc.c").write_text(
        "/*\n  This is a version (aka dlmalloc) by Doug Lea, in the public domain\n\n"
        "* Version 2.8.6 Wed\n*/\n"
    )
    (emscripten / "emcc").touch(mode=0o755)
    monkeypatch.setenv("TVM_HOME", str(tvm))
    # No dpkg: what this machine has of Debian's is not what the image has.
    monkeypatch.setenv("PATH", str(emscripten))
    trees = "".join(f"tree {name} {source.tree}\n" for name, source in PINS.source.items())
    return lambda: record(trees, compiler_materials)


@pytest.mark.slow
def test_the_reference_lane_has_every_licence(built_from_source):
    """TVM, what is inside it, and Emscripten, built from source: no wheel has their licences."""
    found = built_from_source()
    notices = make_notices(found.values(), [])
    said = {text.partition("/")[0] for text in map(bytes.decode, notices.values())}
    assert {"tvm", "emscripten"} <= said
    assert [text.name for text in found["tvm"].texts] == [
        "LICENSE", "LICENSE.picojson.txt", "NOTICE",
    ]  # fmt: skip
    assert found["dlpack"].texts[0].text == "tvm/3rdparty/dlpack/LICENSE\n"
    assert found["emscripten"].texts[0].text == "emscripten/LICENSE\n"
    assert not found["binaryen"].shipped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gone", "named"),
    some_of(
        [
            ("tvm/3rdparty/dmlc-core", "dmlc-core"),
            ("emscripten/system/lib/libc", "musl"),
            ("emscripten/system/lib/dlmalloc.c", "dlmalloc"),
        ],
        3,
    ),
)
def test_a_licence_that_is_missing_in_the_reference_lane(built_from_source, tmp_path, gone, named):
    # What has no text of its own under Emscripten is covered by Emscripten's, if that has one.
    (tmp_path / "emscripten" / "LICENSE").unlink()
    target = tmp_path / gone
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    shipped = built_from_source()
    with pytest.raises(BundleError, match=f"{named} .*is part of the bundle, and the text"):
        make_notices([shipped[named]], [])
