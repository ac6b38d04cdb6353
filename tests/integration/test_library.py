"""A library compiled apart: bundles of other weights where no compiler is."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from commands import wsd
from matches import compare
from speck import SPECK
from timing import check_seconds
from wsd.bundle.precompiled import write_compiled
from wsd.compiler.driver import compile_library
from wsd.compiler.library import read_library
from wsd.compiler.library_check import check_library
from wsd.errors import UsageError
from wsd.models.registry import find_family
from wsd.util.hashing import sha256_file
from wsd.util.progress import Quiet

# Says how many seconds of the processor importing and the rest took, and what was imported.
WITHOUT_TVM = """
import json, sys, time
sys.modules["tvm"] = sys.modules["tvm_ffi"] = None
import wsd.bundle.builder, wsd.checkpoint.resolve
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer
from wsd.cli.main import main
imported = time.process_time()
code = main(sys.argv[1:])
rooms = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([imported, time.process_time() - imported, rooms]))
sys.exit(code)
"""
# Packages that other commands need.
NEEDLESS = {"aiohttp", "playwright", "matplotlib", "onnx", "onnxscript", "cv2", "pytest"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return a compiled library of the model that every run of the tests compiles."""
    library = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    return write_compiled(library, tmp_path_factory.mktemp("library") / "compiled", Quiet())


@pytest.fixture(scope="module")
def compiled_tiny(library, tmp_path_factory):
    return write_compiled(library, tmp_path_factory.mktemp("tiny") / "compiled", Quiet())


def build_without_tvm(compiled, out):
    """Run ``wsd build`` without TVM, Emscripten and Node.js."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TVM, "build", "--model", "tiny-sd15",
         "--library", compiled, "--out", out],
        check=False, capture_output=True, text=True, env={**os.environ, "PATH": "/nonexistent"},
    )  # fmt: skip


def files(folder):
    return {p.relative_to(folder): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.exhaustive
@pytest.mark.timed
def test_the_same_bundle_without_a_compiler(compiled_tiny, bundle, tmp_path):
    """And soon: most of its 8 s on a slow core are imports; issue 24 allows 15 s.

    Clocks differ between machines, and by what else they do. So the processor's time is compared
    with that of the imports on the same machine: while the rest takes less, 15 s are enough where
    imports take 7.
    """
    done = build_without_tvm(compiled_tiny, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == files(bundle)
    imports, rest, packages = json.loads(done.stdout.splitlines()[-1])
    assert not NEEDLESS & set(packages)
    check_seconds(rest, imports, "what is no import")


@pytest.mark.full  # compiles a model that no usual test compiles
def test_its_shards_are_the_golden_ones(bundle):
    found = (path.name.split(".") for path in bundle.rglob("*.bin"))
    compare("tiny-sd15-shards.json", {shard: digest for shard, digest, _ in found})


def test_other_weights_share_everything_else(compiled, tmp_path):
    first, other = (tmp_path / name for name in ("first", "other"))
    for seed, out in ((0, first), (5, other)):
        given = ("--model", SPECK.name, "--library", compiled, "--random-weights", seed)
        assert wsd("build", *given, "--out", out) == (0, [str(out)])
    new = {path.name for path in files(other)} - {path.name for path in files(first)}
    assert new
    assert all(name.endswith(".bin") for name in new)


@pytest.mark.parametrize("options", [("--dtype", "f16"), ("--size", "64x64")])
def test_what_the_library_decides_is_not_asked(compiled, tmp_path, options, capsys):
    given = ("--model", SPECK.name, "--library", compiled, *options)
    assert wsd("build", *given, "--out", tmp_path / "out") == (2, [])
    assert "leave them out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.full
def test_doubled_images_are_never_stored(library):
    assert not [name for name in library.shaders if "resize" in name]
    convolutions = [problem.conv for problem in library.gemm_problems if problem.conv]
    assert [conv for conv in convolutions if conv.upsample == 2]


def test_a_library_of_another_model(compiled):
    with pytest.raises(UsageError, match="was not compiled for tiny-sdxl"):
        check_library(read_library(compiled), find_family("tiny-sdxl"))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("library.json", None, "does not exist"),
        ("library.json", "{", "not JSON at line 1"),
        ("library.json", '{"sizes": 3}', "another version of WSD"),
        ("library.wasm", "cut", "missing or damaged"),
        ("library.wasm", None, "missing or damaged"),
    ],
)
def test_a_damaged_library(compiled, tmp_path, file, content, said):
    folder = shutil.copytree(compiled, tmp_path / "compiled")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(UsageError, match=said):
        read_library(folder)


def test_nothing_is_overwritten(compiled, tmp_path):
    with pytest.raises(UsageError, match="already exists"):
        write_compiled(read_library(compiled), tmp_path, Quiet())


@pytest.mark.parametrize(
    "planned",
    [SPECK, pytest.param(find_family("tiny-sd15"), marks=pytest.mark.full)],
    ids=lambda family: family.name,
)
def test_a_plan_writes_nothing(planned, tmp_path, monkeypatch):
    library = compile_library(replace(planned, prompt_chunks=1), planned.sizes, "f32", Quiet())
    monkeypatch.chdir(tmp_path)
    code, lines = wsd("build", "--model", planned.name, "--prompt-chunks", 1, "--plan")
    assert code == 0
    assert not list(tmp_path.iterdir())
    out = "\n".join(lines)
    width, height = planned.sizes[0]
    count = sum(math.prod(parameter.shape) for parameter in library.parameters["unet"])
    for words in (
        f"{count:,}",
        f"{planned.name}, f32, {width}x{height}",
        "download",
        "offload, tiles",
        "GPUs of 2 GiB and more",
    ):
        assert words in out
