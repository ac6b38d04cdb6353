"""The Dockerfile's stage `kernels` copies all that its tests import."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from wsd.util.files import REPOSITORY

DOCKERFILE = re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"))


def stage(name):
    """Return the instructions of a stage of the Dockerfile."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
    assert found is not None
    return [line for line in found[1].splitlines() if line and not line.startswith("#")]


def copied():
    """Return what the stage and the one it is built from copy of the repository."""
    found = []
    for line in (*stage("toolchain"), *stage("kernels")):
        words = line.split()
        if words[0] == "COPY" and not words[1].startswith("--from"):
            found += words[1:-1]
    return found


@pytest.mark.slow
def test_its_tests_are_collected_from_what_it_copies(tmp_path):
    for name in copied():
        where = tmp_path / name
        where.parent.mkdir(parents=True, exist_ok=True)
        # A folder that no test writes to is not copied again.
        if (REPOSITORY / name).is_dir() and not name.startswith("tests/"):
            where.symlink_to(REPOSITORY / name)
        elif (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, where, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(REPOSITORY / name, where)
    (command,) = (line for line in stage("kernels") if "pytest" in line)
    for line in stage("kernels"):
        if argument := re.match("ARG (.*?)=(.*)", line):
            command = command.replace(f'"${argument[1]}"', argument[2])
    words = shlex.split(command.partition("python ")[2])
    assert words[:3] == ["-m", "pytest", "tests/kernels"]
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words, "--collect-only", "--quiet"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "test_winograd.py" in done.stdout
