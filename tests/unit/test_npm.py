"""npm packages: installed by the lock file, again if damaged, by one process at a time."""

import json
import shutil
import tarfile
import threading
import time

import pytest

from builds import read_tree
from damage import DAMAGES
from wsd.bundle import npm
from wsd.bundle.npm import install_packages, installed_packages
from wsd.errors import ToolError
from wsd.util.process import find_program, run


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project with one package, which needs no registry, installed by npm itself."""
    folder = tmp_path_factory.mktemp("project")
    package = folder / "package"
    (package / "lib").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "dot", "version": "1.0.0"}')
    (package / "lib" / "index.js").write_text("export const dot = 1;\n")
    with tarfile.open(folder / "dot-1.0.0.tgz", "w:gz") as archive:
        archive.add(package, "package")
    shutil.rmtree(package)
    dependencies = {"dot": "file:dot-1.0.0.tgz"}
    (folder / "package.json").write_text(json.dumps({"dependencies": dependencies}))
    run([find_program("npm", "install it"), "install", "--offline", "--no-audit"], cwd=folder)
    return folder


@pytest.fixture
def copy(project, tmp_path):
    return shutil.copytree(project, tmp_path / "copy", symlinks=True)


@pytest.fixture
def installs(project, monkeypatch):
    """Copy what npm installed instead of running it again, and count how often."""
    count = []

    def install(command, cwd):
        assert command[1] == "ci"
        count.append(cwd)
        shutil.rmtree(cwd / "node_modules", ignore_errors=True)
        shutil.copytree(project / "node_modules", cwd / "node_modules", symlinks=True)
        time.sleep(0.05)

    monkeypatch.setattr(npm, "run", install)
    return count


@pytest.mark.full
@pytest.mark.slow
def test_npm_installs_what_is_missing_and_what_is_damaged(copy, caplog):
    whole = read_tree(copy / "node_modules" / "dot")
    shutil.rmtree(copy / "node_modules")
    install_packages(copy)
    assert read_tree(copy / "node_modules" / "dot") == whole
    (copy / "node_modules" / "dot" / "lib" / "index.js").write_text("export const dot = 2;\n")
    install_packages(copy)
    assert read_tree(copy / "node_modules" / "dot") == whole
    assert "dot/lib/index.js has changed" in caplog.text


def test_what_npm_installed_by_hand_is_taken_as_it_is(copy, installs):
    install_packages(copy)
    install_packages(copy)
    assert installs == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_a_package(copy, installs, damage):
    install_packages(copy)
    package = copy / "node_modules" / "dot"
    whole = read_tree(package)
    for count, name in enumerate(whole, 1):
        damage(package / name)
        install_packages(copy)
        assert read_tree(package) == whole
        assert len(installs) == count


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [".wsd-contents.json", ".package-lock.json"])
def test_what_is_known_of_the_packages(copy, installs, damage, name):
    """Lists are no packages: what they are of stays, or is installed again."""
    install_packages(copy)
    whole = read_tree(copy / "node_modules" / "dot")
    damage(copy / "node_modules" / name)
    install_packages(copy)
    install_packages(copy)
    assert read_tree(copy / "node_modules" / "dot") == whole
    assert len(installs) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("change", [("integrity", "sha512-AAAA"), ("version", "2.0.0"), None])
def test_a_lock_file_that_changed(copy, installs, change):
    """By its bytes: a file that is older than what was installed may be another one."""
    install_packages(copy)
    path = copy / "package-lock.json"
    lock = json.loads(path.read_text())
    if change is None:
        lock["packages"]["node_modules/more"] = lock["packages"]["node_modules/dot"]
    else:
        lock["packages"]["node_modules/dot"][change[0]] = change[1]
    path.write_text(json.dumps(lock))
    install_packages(copy)
    assert installs == ([copy] if change is None or change[0] == "integrity" else [])


@pytest.mark.slow
def test_packages_stay_while_they_are_used(copy, installs):
    """npm removes what is there before it installs."""
    entered, left = threading.Event(), []

    def use():
        with installed_packages(copy):
            entered.set()
            time.sleep(0.3)
            left.append((copy / "node_modules" / "dot" / "package.json").is_file())

    user = threading.Thread(target=use)
    user.start()
    assert entered.wait(10)
    (copy / "node_modules" / "dot" / "package.json").write_text("{}")
    install_packages(copy)
    user.join()
    assert left == [True]
    assert installs == [copy]


def test_without_npm(copy, monkeypatch):
    shutil.rmtree(copy / "node_modules")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match="npm"):
        install_packages(copy)
