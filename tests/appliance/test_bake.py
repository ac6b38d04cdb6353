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


def options(entries):
    """Return entries such as ``type=local,dest=x`` as tables, which newer buildx prints itself."""
    return [
        dict(part.split("=", 1) for part in entry.split(",")) if isinstance(entry, str) else entry
        for entry in entries
    ]


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
    compiled = {name: target["args"] for name, target in found.items() if "library-" in name}
    assert {(args["FAMILY"], args["DTYPE"]) for args in compiled.values()} == libraries
    assert set(compiled) == {f"library-{family}-{dtype}" for family, dtype in libraries}
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
    (output,) = options(archive["output"])
    assert output == {
        "type": "oci", "dest": f"{tmp_path}/wsd.tar", "rewrite-timestamp": "true",
    }  # fmt: skip
    assert archive["args"]["SOURCE_DATE_EPOCH"].isdigit()


def test_platforms_lanes_and_a_cache(targets):
    variables = {
        "PLATFORMS": "linux/amd64,linux/arm64", "TVM_FROM": "wheel", "EMSCRIPTEN_FROM": "debian",
        "CACHE_REGISTRY": "site/cache",
    }  # fmt: skip
    serve = targets("serve", **variables)["serve"]
    assert serve["platforms"] == ["linux/amd64", "linux/arm64"]
    assert (serve["args"]["TVM_FROM"], serve["args"]["EMSCRIPTEN_FROM"]) == ("wheel", "debian")
    place = {"type": "registry", "ref": "site/cache:serve"}
    assert options(serve["cache-from"]) == [place]
    assert options(serve["cache-to"]) == [{**place, "mode": "max"}]


def test_each_target_of_a_fleet_has_a_place_of_its_own_in_the_cache(targets):
    """With one place for all, the target that ends last would replace what the others kept."""
    found = targets("fleet", MODELS="a:sd15,b:sd15", CACHE_REGISTRY="site/c", CACHE_FOLDER="/c")
    kept = {name: options(target.get("cache-to", [])) for name, target in found.items()}
    for name, mode in (("library-sd15-f32", "max"), ("member-a-f32", "min")):
        assert kept[name] == [
            {"type": "registry", "ref": f"site/c:{name}", "mode": mode},
            {"type": "local", "dest": f"/c/{name}", "mode": mode},
        ]
    places = [entry.get("ref", entry.get("dest")) for entries in kept.values() for entry in entries]
    assert len(places) == len(set(places)) > 0
    # A checkpoint finds its library and itself.
    assert options(found["member-b-f32"]["cache-from"]) == [
        {"type": "registry", "ref": "site/c:library-sd15-f32"},
        {"type": "registry", "ref": "site/c:member-b-f32"},
        {"type": "local", "src": "/c/library-sd15-f32"},
        {"type": "local", "src": "/c/member-b-f32"},
    ]
