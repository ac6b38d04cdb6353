"""The wheel: the same bytes twice, and enough to build, verify and draw without the repository."""

import base64
import csv
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from PIL import Image

from builds import read_tree
from commands import exit_code
from distributions import required_distributions
from tools.build_wheel import build_wheel
from wsd.bundle.precompiled import write_compiled
from wsd.compiler.tvm_compat import version
from wsd.runtime.chromium import find_chromium
from wsd.util.files import REPOSITORY
from wsd.util.hashing import sha256_file
from wsd.util.process import run
from wsd.util.progress import Quiet

pytestmark = pytest.mark.exhaustive

# Runs a command where TVM cannot be imported.
WITHOUT_TVM = """
import sys
sys.modules["tvm"] = sys.modules["tvm_ffi"] = None
from wsd.cli.main import main
sys.exit(main())
"""
# Imports every module of WSD, and prints where they and the tests' modules would come from, and
# which distributions have them. A package counts if a file of it was loaded. A namespace package
# has none: looking for google.protobuf, as transformers does to know whether it could use it,
# already makes `google` a module.
IMPORTED = """
import importlib, importlib.metadata, importlib.util, json, pkgutil, sys
import wsd
for found in pkgutil.walk_packages(wsd.__path__, "wsd."):
    if found.name != "wsd.__main__":
        importlib.import_module(found.name)
others = filter(importlib.util.find_spec, ("tools", "speck", "training", "noxfile"))
files = [str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
finders = [str(finder) for finder in sys.meta_path]
known = importlib.metadata.packages_distributions()
loaded = {name.partition(".")[0] for name, module in list(sys.modules.items())
          if getattr(module, "__file__", None) is not None}
packages = {name: known[name] for name in loaded
            if name in known and name not in sys.stdlib_module_names}
print(json.dumps({"wsd": wsd.__file__, "path": sys.path, "others": list(others), "files": files,
                  "finders": finders, "packages": packages}))
"""
RUNTIME = """
import json
from wsd.compiler.wasm.runtime import runtime_materials, runtime_objects
names = [material.name for material in runtime_materials()]
print(json.dumps({"objects": [str(path) for path in runtime_objects()], "materials": names}))
"""

REQUIRED = "import importlib.metadata, json; print(json.dumps(importlib.metadata.requires('wsd')))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_two_wheels_are_the_same_bytes(wheel, tmp_path, monkeypatch):
    """The second one is made in other folders, with nothing cached and another umask."""
    monkeypatch.setenv("WSD_CACHE", str(tmp_path / "an" / "empty" / "cache"))
    former = os.umask(0o077)
    try:
        again = build_wheel(tmp_path / "again")
    finally:
        os.umask(former)
    assert again.name == wheel.name
    assert sha256_file(again) == sha256_file(wheel)


def test_its_record_has_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (record,) = [name for name in names if name.endswith(".dist-info/RECORD")]
        listed = {row[0]: row[1:] for row in csv.reader(archive.read(record).decode().splitlines())}
        assert sorted(listed) == sorted(names)
        assert listed.pop(record) == ["", ""]
        for name, (digest, size) in listed.items():
            data = archive.read(name)
            found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={found}", str(len(data))), name
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_it_names_no_folder_of_this_machine(wheel, tmp_path):
    folders = (REPOSITORY, sysconfig.get_path("purelib"), tmp_path.parent)
    places = [f"{folder}/" for folder in folders]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            assert not [place for place in places if place.encode() in data], name


def test_what_its_size_is_said_to_be(wheel):
    text = (REPOSITORY / "docs" / "wheel.md").read_text()
    said = re.search(r"It has about (\d+) MB", text)
    assert abs(int(said[1]) - wheel.stat().st_size / 1e6) < 2


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Return the Python of an empty environment in which the wheel is installed.

    What WSD needs, such as PyTorch, is taken from the environment of the tests, without the
    entries by which an editable installation is found.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    program = folder / "bin" / "python"
    alone = ("--no-deps", "--no-index", "--no-compile", "--quiet")
    # Nor does pip look at what PYTHONPATH has.
    pip = [sys.executable, "-m", "pip", "--python", program, "install", *alone, wheel]
    run(pip, env={"PYTHONPATH": ""})
    (site,) = folder.glob("lib/*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return program


@pytest.fixture(scope="module")
def wsd(python, tmp_path_factory):
    """Return a function that runs a program of the wheel in a folder of its own, without PATH."""
    place = tmp_path_factory.mktemp("elsewhere")

    def call(*words, path="/nonexistent", **variables):
        home = {"HOME": str(place), "WSD_CACHE": str(place / "cache"), "LANG": "C.UTF-8"}
        return subprocess.run(
            [python, *words], cwd=place, env={**home, "PATH": path, **variables},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def imported(wsd):
    """Return what was loaded by importing every module of WSD."""
    done = wsd("-c", IMPORTED)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_of_the_repository_can_be_imported(imported, python):
    assert Path(imported["wsd"]).is_relative_to(python.parents[1])
    assert imported["others"] == []
    # The environment of the tests may itself lie in the repository.
    allowed = (python.parents[1], Path(sysconfig.get_path("purelib")))
    for name in (*imported["path"], *imported["files"]):
        inside = Path(name).is_relative_to(REPOSITORY)
        assert not inside or any(Path(name).is_relative_to(place) for place in allowed), name
    assert not any("editable" in finder.lower() for finder in imported["finders"])


def test_all_that_it_imports_is_required(imported, wheel):
    """The environment above has the tests' packages too, so an import says nothing by itself.

    brotli and TVM come with the extras `appliance` and `quick`; TVM that was built from its source
    is called tvm.
    """
    name = "-".join(wheel.name.split("-")[:2])
    described = importlib.metadata.PathDistribution(zipfile.Path(wheel, f"{name}.dist-info/"))
    needed = required_distributions(described.requires, {"appliance", "quick"})
    for package, distributions in imported["packages"].items():
        found = {canonicalize_name(name) for name in distributions}
        assert found & {"wsd", "tvm", *needed}, f"{package} of {distributions}"


@pytest.fixture(scope="module")
def weights(checkpoint, tmp_path_factory):
    return shutil.copytree(checkpoint, tmp_path_factory.mktemp("weights") / checkpoint.name)


@pytest.fixture(scope="module")
def built(wsd, library, weights, tmp_path_factory):
    """Return a bundle with the wheel's page, built without Node.js, Emscripten, git and TVM."""
    out = tmp_path_factory.mktemp("built") / "out"
    build = ("build", "--model", "tiny-sd15", "--library", library.folder, "--weights", weights)
    done = wsd("-c", WITHOUT_TVM, *build, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_it_builds_the_bundle_of_the_repository(wsd, built, bundle):
    found = json.loads(wsd("-c", REQUIRED).stdout)
    # The SBOM lists what WSD requires, as the environment says.
    assert found == importlib.metadata.requires("wsd"), "install the repository anew"
    assert read_tree(built) == read_tree(bundle)
    assert wsd("-m", "wsd", "verify", built).stdout == f"{built}: good\n"


def test_its_bundle_draws(wsd, built, tmp_path):
    picture = tmp_path / "picture.png"
    # Debian's Chromium is a script, which calls other programs.
    done = wsd("-m", "wsd", "render", built, "--prompt", "a red circle", "--steps", "2", "--out",
               picture, path=os.defpath, WSD_CHROMIUM=find_chromium())  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as image:
        assert image.size == (128, 128)
        assert len(set(image.convert("RGB").tobytes())) > 20


def test_it_builds_of_a_library_that_came_with_a_page(wsd, library, weights, tmp_path):
    """Compiled in the repository, built elsewhere."""
    compiled = write_compiled(library, tmp_path / "library", Quiet())
    build = ("build", "--model", "tiny-sd15", "--library", compiled, "--weights", weights)
    assert exit_code(*build, "--out", tmp_path / "clone") == 0
    done = wsd("-c", WITHOUT_TVM, *build, "--out", tmp_path / "wheel")
    assert done.returncode == 0, done.stderr
    assert read_tree(tmp_path / "wheel") == read_tree(tmp_path / "clone")


def test_its_package_is_that_of_the_repository(wsd, tmp_path):
    assert exit_code("package", "--out", tmp_path / "clone") == 0
    assert wsd("-m", "wsd", "package", "--out", tmp_path / "wheel").returncode == 0
    assert read_tree(tmp_path / "wheel") == read_tree(tmp_path / "clone")


def test_its_object_files_are_linked_where_the_compilers_are_the_same(wsd, python):
    done = wsd("-c", RUNTIME, path=os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(Path(path).is_relative_to(python.parents[1]) for path in found["objects"])
    assert {"emscripten", "musl"} <= set(found["materials"])


def test_what_is_missing_is_an_error_with_a_hint(wsd, tmp_path):
    out = tmp_path / "out"
    compile_it = ("compile", "--model", "tiny-sd15", "--out", out)
    for words, said in (
        (("-m", "wsd", *compile_it), "error: program 'emcc' not found on PATH\nhint: install Ems"),
        (("-c", WITHOUT_TVM, *compile_it), "error: TVM is not installed\nhint: install TVM (pip"),
        (("-m", "wsd", "bench", out, "--host", "node"), "error: "),
    ):
        done = wsd(*words)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "\nhint: " in done.stderr
        assert not out.exists()


def test_the_doctor_finds_what_a_wheel_needs(wsd):
    done = wsd("-m", "wsd", "doctor")
    assert done.returncode == 0, done.stdout
    assert f"for TVM {version()}, built from" in done.stdout
    assert "--   emscripten" in done.stdout
    assert "node" not in done.stdout
