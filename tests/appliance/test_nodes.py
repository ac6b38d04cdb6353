"""A fleet on two BuildKit nodes, which share their layers through a registry or a folder.

`.ci/engine nodes FOLDER` starts a second node and a registry beside the engine that runs.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from commands import exit_code
from wsd.util.files import REPOSITORY

NODES = os.environ.get("WSD_NODES", "").split()
pytestmark = pytest.mark.skipif(
    len(NODES) != 2,
    reason="not run: there is one BuildKit node; .ci/engine nodes FOLDER adds another",
)
MODELS = "one:tiny-sd15,two:tiny-sd15"
LANES = {
    "source": {"TVM_FROM": "source", "EMSCRIPTEN_FROM": "source"},
    "wheel": {"TVM_FROM": "wheel", "EMSCRIPTEN_FROM": "debian"},
}


def site_options():
    """Return what WSD_BUILD_OPTIONS says, as a file of bake and as options of its command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--network")
    found = parser.parse_args(shlex.split(os.environ.get("WSD_BUILD_OPTIONS", "")))
    common = {
        "args": dict(argument.split("=", 1) for argument in found.build_arg),
        "secret": found.secret,
    }
    allowed = []
    if found.network:
        common["network"] = found.network
        allowed.append(f"--allow=network.{found.network}")
    return {"target": {"_common": common}}, allowed


@pytest.fixture
def bake(tmp_path):
    """Return a function that bakes a target on a node; it returns what BuildKit said."""
    site, allowed = site_options()
    file = tmp_path / "site.json"
    file.write_text(json.dumps(site))

    def run(node, target, *options, **variables):
        command = [
            "docker", "--host", node, "buildx", "bake", "--progress=plain", *allowed,
            "--file=docker-bake.hcl", f"--file={file}", *options, target,
        ]  # fmt: skip
        # The site's file, secrets and outputs lie outside the repository.
        quiet = {"BUILDX_BAKE_ENTITLEMENTS_FS": "0", "MODELS": MODELS}
        lane = LANES[os.environ.get("WSD_LANE", "source")]
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False,
            env={**os.environ, **lane, **quiet, **variables},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stderr

    return run


def was_run(said, command):
    """Tell whether BuildKit ran the step of a command; fails if there is no such step."""
    numbers = {
        number for number, step in re.findall(r"^#(\d+) (\[.*)$", said, re.M) if command in step
    }
    assert numbers, f"{command} is no step of: {said[-4000:]}"
    return bool(numbers - set(re.findall(r"^#(\d+) CACHED$", said, re.M)))


def test_two_nodes_build_one_site(bake, tmp_path):
    cache = {"CACHE_REGISTRY": f"{os.environ['WSD_REGISTRY']}/wsd-cache"}
    bake(NODES[0], "library", **cache)
    # Each builds a checkpoint, at the same time, with the library that one of them compiled.
    with ThreadPoolExecutor(2) as pool:
        members = ("member-one-f32", "member-two-f32")
        said = list(pool.map(lambda node, name: bake(node, name, **cache), NODES, members))
    assert [was_run(text, "wsd compile") for text in said] == [False, False]
    dist = tmp_path / "dist"
    output = f"--set=fleet-artifacts.output=type=local,dest={dist}"
    joined = bake(NODES[0], "fleet-artifacts", output, **cache)
    # What the second node has built is taken from the registry.
    assert not was_run(joined, "wsd compile")
    assert not was_run(joined, "/stages/models.sh")
    assert exit_code("verify", dist) == 0
    components = []
    for entry in json.loads((dist / "models" / "index.json").read_text()):
        manifest = json.loads((dist / "models" / entry["manifest"] / "manifest.json").read_text())
        components.append(manifest["components"])
    # Both nodes wrote the same weights to the same bytes.
    assert len(components) == 2
    assert components[0] == components[1]


def test_a_folder_keeps_what_a_node_has_built(bake, tmp_path):
    cache = {"CACHE_FOLDER": str(tmp_path / "cache")}
    bake(NODES[1], "member-two-f32", **cache)
    prune = ["docker", "--host", NODES[1], "builder", "prune", "--all", "--force"]
    subprocess.run(prune, check=True, capture_output=True)
    assert not was_run(bake(NODES[1], "member-two-f32", **cache), "/stages/models.sh")
