"""Which container engine and lane the nox sessions take."""

import shutil
import subprocess
import sys

import pytest

from tools import container as engine
from wsd.util.files import REPOSITORY


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that puts an engine on PATH whose ``info`` says a line and exits."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("WSD_ENGINE", "WSD_LANE", "WSD_BUILD_OPTIONS"):
        monkeypatch.delenv(name, raising=False)

    def add(name, code=0, says=""):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
        (tmp_path / name).chmod(0o755)

    return add


def test_the_first_that_answers(machine):
    assert engine.find_engine() is None
    machine("docker", 1)
    assert engine.find_engine() is None
    machine("podman")
    assert engine.find_engine() == "podman"
    machine("docker")
    assert engine.find_engine() == "docker"


def test_what_is_asked_for(machine, monkeypatch):
    machine("docker")
    machine("podman")
    for name in engine.ENGINES:
        monkeypatch.setenv("WSD_ENGINE", name)
        assert engine.find_engine() == name
    monkeypatch.setenv("WSD_ENGINE", "host")
    assert engine.find_engine() is None


@pytest.mark.parametrize(
    ("name", "said"), [("lxc", "must be docker, podman or host"), ("docker", "fails; start it")]
)
def test_what_cannot_be_had(machine, monkeypatch, name, said):
    machine("docker", 1)
    monkeypatch.setenv("WSD_ENGINE", name)
    with pytest.raises(ValueError, match=said):
        engine.find_engine()


@pytest.mark.parametrize("name", engine.ENGINES)
def test_how_much_room_it_has(machine, tmp_path, name):
    machine(name, says=str(tmp_path))
    free = shutil.disk_usage(tmp_path).free / 1e9
    assert engine.free_gigabytes(name) == pytest.approx(free, abs=1)
    # Inside a virtual machine the folder is none of this machine's.
    machine(name, says="/var/lib/of/another/machine")
    assert engine.free_gigabytes(name) > 0


@pytest.mark.parametrize(("code", "says"), [(1, "/"), (0, "")])
def test_room_that_is_not_told(machine, code, says):
    machine("docker", code, says)
    with pytest.raises(ValueError, match="docker info --format"):
        engine.free_gigabytes("docker")


@pytest.mark.usefixtures("machine")
def test_commands(monkeypatch, tmp_path):
    command = engine.build_command("docker", "serve", "--tag=wsd")
    assert command[:3] == ["docker", "build", "--target=serve"]
    assert command[-2:] == ["--tag=wsd", "."]
    assert "--build-arg=TVM_FROM=source" in command
    monkeypatch.setenv("WSD_LANE", "wheel")
    monkeypatch.setenv("WSD_BUILD_OPTIONS", "--secret 'id=ca,src=/a b.crt'")
    command = engine.artifacts_command("podman", tmp_path, "--no-cache")
    assert {"--build-arg=TVM_FROM=wheel", "--build-arg=EMSCRIPTEN_FROM=debian"} < set(command)
    assert command[command.index("--secret") + 1] == "id=ca,src=/a b.crt"
    assert f"--output=type=local,dest={tmp_path}" in command
    monkeypatch.setenv("WSD_LANE", "fast")
    with pytest.raises(ValueError, match="must be one of source, wheel"):
        engine.build_command("docker", "serve")


@pytest.mark.usefixtures("machine")
def test_an_archive_has_the_time_of_the_snapshot(tmp_path):
    out = tmp_path / "repro-1.tar"
    (built,) = engine.archive_commands("docker", out, "--no-cache")
    date = f"--build-arg=SOURCE_DATE_EPOCH={engine.source_date()}"
    assert {date, "--no-cache", f"--output=type=oci,dest={out},rewrite-timestamp=true"} < set(built)
    built, saved = engine.archive_commands("podman", out)
    assert f"--timestamp={engine.source_date()}" in built
    (tag,) = (word for word in built if word.startswith("--tag="))
    assert saved == [
        "podman", "save", "--format=oci-archive", f"--output={out}", tag.removeprefix("--tag="),
    ]  # fmt: skip


def arguments(models, dtypes="", layout="hashed"):
    program = REPOSITORY / "docker" / "stages" / "arguments.py"
    # As in the image: no packages, only the standard library.
    return subprocess.run(
        [sys.executable, "-S", program, models, dtypes, layout], check=False, capture_output=True,
        text=True, env={"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


@pytest.mark.parametrize(
    "models",
    [
        "tiny-sd15",
        "sd15,sdxl",
        f"sd15=some-one/Model.1@{'0' * 40},tiny-sdxl",
        f"anime:sd15=some-one/Model.1@{'0' * 40},photo:sd15,sd15",
    ],
)
def test_models_that_can_be_built(models):
    done = arguments(models)
    printed = f"MODELS={models}\nDTYPES=f32\nLAYOUT=hashed\n"
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_precisions_that_can_be_built():
    done = arguments("sd15", "f16,w8a16")
    printed = "MODELS=sd15\nDTYPES=f16,w8a16\nLAYOUT=hashed\n"
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


@pytest.mark.parametrize(
    ("models", "dtypes", "layout", "said"),
    [
        ("sd15", "", "flat", "'flat' is no layout"),
        ("sd15,anime:sd15", "", "classic", "for the libraries of sd15 in f32 and anime in f32"),
        ("sd15", "f32,f16", "classic", "for the libraries of sd15 in f32 and sd15 in f16"),
    ],
)
def test_layouts_that_cannot(models, dtypes, layout, said):
    done = arguments(models, dtypes, layout)
    assert done.returncode == 1
    assert "build argument LAYOUT: " in done.stderr
    assert said in done.stderr
    assert arguments("sd15,sdxl", "f16", "classic").returncode == 0


@pytest.mark.parametrize(
    ("dtypes", "said"),
    [
        ("f8", "'f8' is no precision"),
        ("f16,", "'' is no precision"),
        ("f16,f16", "a precision is named twice"),
    ],
)
def test_precisions_that_cannot(dtypes, said):
    done = arguments("sd15", dtypes)
    assert done.returncode == 1
    assert f"build argument DTYPE: {said}" in done.stderr
    assert "hint: " in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("sd99", "unknown model 'sd99'"),
        ("", "'' is no model"),
        ("sd15,", "'' is no model"),
        ("sd15=some-one/model", "is no model"),
        ("sd15=some-one/model@main", "is no model"),
        ("sd15; rm -rf /", "is no model"),
        ("sd15,sdxl,sd15", "named twice"),
        ("a:sd15,a:sdxl", "named twice"),
        ("sdxl:sd15,sdxl", "named twice"),
        ("-a:sd15", "is no model"),
        ("a:b:sd15", "is no model"),
        ("a:sd99", "unknown model 'sd99'"),
    ],
)
def test_models_that_cannot(models, said):
    done = arguments(models)
    assert done.returncode == 1
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
