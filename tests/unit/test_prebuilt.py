"""WSD as a wheel has it: the built page in place of the repository, and what is said of it."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest

from builds import read_tree
from commands import exit_code
from speck import SPECK
from tools.build_wheel import record_prebuilt
from traced import cached_trace
from wsd.bundle.builder import build_bundle
from wsd.bundle.precompiled import write_compiled
from wsd.bundle.web_page import build_page, check_page
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.doctor import examine
from wsd.compiler.tvm_compat import tvmjs_source, version
from wsd.errors import ToolError
from wsd.supply_chain import own_source, prebuilt_record
from wsd.supply_chain.prebuilt_record import read_record, write_record
from wsd.util import prebuilt
from wsd.util.contents import write_contents
from wsd.util.progress import Quiet


@pytest.fixture(scope="module")
def checkpoint():
    return open_checkpoint(choose_checkpoint(SPECK, None, 0), SPECK)


@pytest.fixture(scope="module")
def library():
    found = cached_trace(SPECK)
    return replace(found, toolchain={**found.toolchain, "tvm": version()})


COMMIT = "ab" * 20


def forget():
    """Let what this process has read of the sources and of the wheel be read again."""
    for function in (own_source.digest_sources, own_source.find_commit, prebuilt_record._read):
        function.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def remember_nothing():
    yield
    forget()


@contextmanager
def sources_of_a_commit():
    """Let WSD's sources be of a commit, whatever the state of the repository is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(own_source.COMMIT_VARIABLE, COMMIT)
        forget()
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return what `nox -s wheel` puts into a wheel, without the npm package and object files."""
    made = tmp_path_factory.mktemp("wheel") / "prebuilt"
    build_page(made / "page", tvmjs_source())
    (made / "package").mkdir()
    (made / "package" / "package.json").write_text('{"name": "web-stable-diffusion"}')
    with sources_of_a_commit():
        record_prebuilt(made)
    return made


@pytest.fixture(scope="module")
def bundled(checkpoint, library, tmp_path_factory):
    """Return the bundle whose page is bundled from its sources."""
    with sources_of_a_commit():
        return build_bundle(checkpoint, library, tmp_path_factory.mktemp("clone") / "out", Quiet())


@pytest.fixture
def installed(folder, tmp_path, monkeypatch):
    """Let WSD be one that was installed from a wheel, on a machine without any program."""
    copy = shutil.copytree(folder, tmp_path / "prebuilt")
    monkeypatch.setattr(prebuilt, "FOLDER", copy)
    monkeypatch.setattr(prebuilt, "REPOSITORY", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WSD_CHROMIUM", raising=False)
    forget()
    return copy


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_bundle_is_the_same_as_that_of_the_repository(bundled, checkpoint, library, tmp_path):
    """The page, the SBOM, the provenance with WSD's sources and commit, and the notices."""
    made = build_bundle(checkpoint, replace(library, tvmjs=None), tmp_path / "out", Quiet())
    assert read_tree(made) == read_tree(bundled)


@pytest.mark.slow
def test_a_compiled_library_gets_the_page(installed, library, tmp_path):
    out = write_compiled(replace(library, tvmjs=None), tmp_path / "library", Quiet())
    assert read_tree(out / "page") == read_tree(installed / "page")


def own(bundle):
    """Return the digests of WSD itself in a bundle's provenance."""
    statement = json.loads((bundle / "provenance.json").read_text())
    found = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    return [entry["digest"] for entry in found if entry["uri"].startswith("pkg:generic/wsd@")]


@pytest.mark.full
def test_the_provenance_names_the_sources_of_the_page(bundled, folder):
    record = json.loads((folder / "record.json").read_text())
    assert own(bundled) == [{"sha256": record["digest"], "gitCommit": COMMIT}]


@pytest.mark.full
@pytest.mark.slow
def test_a_changed_installation_is_of_no_commit(installed, checkpoint, library, tmp_path):
    """Whoever changes an installed module gets two entries: what the page is of, and what ran."""
    record = read_record()
    write_record(replace(record, sources={**record.sources, "wsd/other.py": "cd" * 32}), installed)
    write_contents(installed)
    forget()
    made = build_bundle(checkpoint, library, tmp_path / "out", Quiet())
    ran = own_source.digest_sources()
    assert ran != record.digest
    found = sorted(own(made), key=lambda digest: digest["sha256"] == ran)
    assert found == [{"sha256": record.digest, "gitCommit": COMMIT}, {"sha256": ran}]


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_the_page_of_another_tvm_is_refused(library, checkpoint, tmp_path):
    """Its JavaScript calls another runtime than the library has."""
    check_page(version())
    with pytest.raises(ToolError, match=rf"TVM {version()}, and not of TVM 0\.21\.0"):
        check_page("0.21.0")
    other = replace(library, toolchain={**library.toolchain, "tvm": "0.21.0"})
    with pytest.raises(ToolError, match=r"not of TVM 0\.21\.0"):
        build_bundle(checkpoint, other, tmp_path / "out", Quiet())
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def compiled(library, tmp_path_factory):
    """Return a library that `wsd compile` wrote in a clone, with its page."""
    return write_compiled(library, tmp_path_factory.mktemp("compiled") / "library", Quiet())


COMMANDS = (
    ("compile", "--model", "tiny-sd15"),
    ("build", "--model", "tiny-sd15"),
    ("build", "--model", "tiny-sd15", "--library", "library"),
    ("package",),
)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, marks=pytest.mark.exhaustive if number else ())
        for number, words in enumerate(COMMANDS)
    ],
    ids=" ".join,
)
def test_a_wheel_without_the_page_is_refused(
    installed, compiled, tmp_path, monkeypatch, capsys, words
):
    """As pip makes it of the repository, or of a source archive, by itself."""
    shutil.rmtree(installed)
    monkeypatch.chdir(compiled.parent)
    assert exit_code(*words, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: this installation of WSD has neither the page's sources nor")
    assert "hint: install a wheel that `nox -s wheel` made" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "page/sw.js").write_text("x"), "page/sw.js has changed"),
        (lambda folder: (folder / "page/sw.js").unlink(), "page/sw.js is missing"),
        (lambda folder: (folder / "page/more.js").touch(), "page/more.js does not belong there"),
        (lambda folder: (folder / "record.json").write_text("{}"), "record.json has changed"),
        (lambda folder: (folder / "contents.json").unlink(), "contents.json is missing"),
    ],
)
def test_a_damaged_wheel_is_refused(installed, tmp_path, capsys, change, said):
    change(installed)
    assert exit_code("package", "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_package_of_a_wheel_is_written(installed, tmp_path, capsys):
    assert exit_code("package", "--out", tmp_path / "out") == 0
    assert read_tree(tmp_path / "out") == read_tree(installed / "package")
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    # Nothing is overwritten.
    assert exit_code("package", "--out", tmp_path / "out") == 2


@pytest.mark.slow
def test_the_doctor_says_where_the_page_is_from(installed):
    found = {check.name: check for check in examine()}
    assert found["page"].good
    assert str(installed / "page") in found["page"].found
    assert f"for TVM {version()}" in found["page"].found
    # Building from a library needs none of them, and Node.js is needed for nothing.
    missing = {name: check.hint for name, check in found.items() if not check.good}
    assert missing.keys() == {"emscripten", "chromium", "webgpu"}
    assert not any(found[name].needed for name in missing)
    assert missing["emscripten"].endswith("only compile, and build without --library need it")


def test_the_doctor_of_a_clone_names_the_sources(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WSD_CHROMIUM", raising=False)
    found = {check.name: check for check in examine()}
    assert found["page"].found.startswith("bundled from its sources in ")
    assert {"node", "npm", "emscripten"} <= {n for n, c in found.items() if not c.good and c.needed}


def test_tvm_that_is_not_installed_is_an_error_with_a_hint(monkeypatch, tmp_path, capsys):
    def compile_nothing(*_, **__):
        raise ModuleNotFoundError("No module named 'tvm'", name="tvm")

    monkeypatch.setattr("wsd.cli.build._find_library", compile_nothing)
    assert exit_code("compile", "--model", "tiny-sd15", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("error: TVM is not installed\nhint: install TVM (pip")
