"""The targets of docker-bake.hcl, as buildx reads them."""

import json
import os
import subprocess

import pytest

from wsd.util.files import REPOSITORY

COMMIT = "0" * 40


@pytest.fixture
def targets():
    """Return a function that gives the targets which `docker buildx bake NAME` would build."""

    def read(name, *options, **variables):
        command = ["docker", "buildx", "bake", "--print", *options, name]
        done = subprocess.run(
            command, cwd=REPOSITORY, check=True, capture_output=True, text=True,
            env={**os.environ, **variables},
        )  # fmt: skip
        return json.loads(done.stdout)["target"]

    return read


def test_a_fleet_builds_each_checkpoint_on_its_own(targets):
    models = f"anime:sd15=a/b@{COMMIT},photo:sd15=c/d@{COMMIT},sdxl"
    found = targets("fleet", MODELS=models, DTYPE="f16,w8a16")
    members = {name: target["args"] for name, target in found.items() if name.startswith("member")}
    assert set(members) == {
        f"member-{name}-{dtype}"
        for name in ("anime", "photo", "sdxl") for dtype in ("f16", "w8a16")
    }  # fmt: skip
    one = members["member-photo-w8a16"]
    assert (one["MODELS"], one["DTYPE"]) == (f"photo:sd15=c/d@{COMMIT}", "w8a16")
    # One library for all of a family in a precision.
    libraries = {(args["FAMILY"], args["DTYPE"]) for args in members.values()}
    assert libraries == {(f, d) for f in ("sd15", "sdxl") for d in ("f16", "w8a16")}
    assert {args["MODELS_FROM"] for args in members.values()} == {"library"}
    # Every one of them is joined, for the files and for the image.
    joined = {f"target:{name}" for name in members} | {"target:toolchain"}
    assert set(found["fleet-artifacts"]["contexts"].values()) == joined
    for name in members:
        stage = name.removeprefix("member-")
        copied = f"COPY --from=bundle-{stage} / /bundles/{stage}/"
        assert copied in found["fleet-artifacts"]["dockerfile-inline"]
    assert found["fleet-serve"]["contexts"] == {"artifacts": "target:joined"}


def test_a_list_in_a_file(targets, tmp_path):
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps({"variable": {"MODELS": {"default": "a:sd15,b:sd15"}}}))
    found = targets("fleet", "--file=docker-bake.hcl", f"--file={fleet}")
    assert {"member-a-f32", "member-b-f32"} < set(found)


def test_an_archive_has_no_time_of_its_build(targets, tmp_path):
    archive = targets("archive", ARCHIVE=f"{tmp_path}/wsd.tar")["archive"]
    assert archive["output"] == [f"type=oci,dest={tmp_path}/wsd.tar,rewrite-timestamp=true"]
    assert archive["args"]["SOURCE_DATE_EPOCH"].isdigit()


def test_platforms_lanes_and_a_cache(targets):
    variables = {
        "PLATFORMS": "linux/amd64,linux/arm64", "TVM_FROM": "wheel", "EMSCRIPTEN_FROM": "debian",
        "CACHE": "type=registry,ref=site/cache",
    }  # fmt: skip
    serve = targets("serve", **variables)["serve"]
    assert serve["platforms"] == ["linux/amd64", "linux/arm64"]
    assert (serve["args"]["TVM_FROM"], serve["args"]["EMSCRIPTEN_FROM"]) == ("wheel", "debian")
    assert serve["cache-from"] == ["type=registry,ref=site/cache"]
    assert serve["cache-to"] == ["type=registry,ref=site/cache,mode=max"]
