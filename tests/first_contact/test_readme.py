"""The README's first command draws a picture in a pristine container of each Debian."""

import os
import re
import shlex
import subprocess

import pytest
from PIL import Image

from wsd.util.files import REPOSITORY

# Images of Debian as a newcomer has it; a site without a registry names its own.
IMAGES = os.environ.get("WSD_PRISTINE_IMAGES", "debian:12-slim debian:13-slim").split()


def first_command():
    """Return the first line of the first block of shell in the README."""
    text = (REPOSITORY / "README.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text, re.S)
    assert block is not None
    return block[1].splitlines()[0].partition("#")[0].strip()


@pytest.mark.parametrize("image", IMAGES)
def test_the_first_command_draws_a_picture(image, tmp_path):
    command = first_command()
    assert command.endswith("-s demo")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    sources = tmp_path / "sources.tar"
    subprocess.run(
        ["tar", "--create", "--file", sources, "--verbatim-files-from", "--files-from", "-"],
        cwd=REPOSITORY, input=tracked.stdout, text=True, check=True,
    )  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    script = (
        f"mkdir /wsd && cd /wsd && tar -xf /given/sources.tar && {command} && cp out/demo.* /out"
    )
    site = shlex.split(os.environ.get("WSD_RUN_OPTIONS", ""))
    # The container is thrown away: a cache of its downloads, of 3 GB, would only fill the disk.
    site.append("--env=PIP_NO_CACHE_DIR=1")
    done = subprocess.run(
        [os.environ["WSD_ENGINE"], "run", "--rm", "--shm-size=1g", *site,
         f"--volume={tmp_path}:/given:ro", f"--volume={out}:/out", image, "sh", "-ec", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout[-4000:], done.stderr[-4000:])
    with Image.open(out / "demo.png") as picture:
        assert picture.size == (128, 128)
        assert len(picture.convert("RGB").getcolors(1 << 16) or ()) > 100
    # What is downloaded is said before it is.
    said = done.stdout + done.stderr
    assert "downloads" in said
