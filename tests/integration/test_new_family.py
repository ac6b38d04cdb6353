"""A family of a new architecture needs one line outside its own folder: ``register(FAMILY)``.

The toy family (``tests/toy``) shares no class, no shape and no name with Stable Diffusion. It is
traced, compiled, built into a bundle and drawn by its own reference by WSD's ordinary functions.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toy.family import FAMILY
from tvm_cpu import run_on_cpu
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import read_manifest
from wsd.bundle.self_test import write_fixtures
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler import tvm_compat
from wsd.compiler.driver import compile_library
from wsd.errors import CheckpointError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.frontend.entry_points import make_entry_points
from wsd.frontend.export import trace_component
from wsd.models.instantiate import build_module
from wsd.models.registry import FAMILIES, find_family, register
from wsd.runtime.request import GenerationRequest
from wsd.spec.roles import ROLES, SAFETY_CHECKER
from wsd.util.files import PACKAGE
from wsd.util.progress import Quiet

TOY = Path(__file__).parents[1] / "toy"


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Register the family: the one line that it takes."""
    register(FAMILY)
    yield
    del FAMILIES[FAMILY.name]


@pytest.fixture(scope="module")
def toy():
    return open_checkpoint(choose_checkpoint(find_family("toy"), None, 0), find_family("toy"))


def inputs_of(made):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 700, spec.shape, generator=generator, dtype=torch.int32)
        if spec.dtype == "int32"
        else torch.randn(spec.shape, generator=generator)
        for spec in made.inputs
    ]


@pytest.mark.exhaustive
def test_every_entry_point_computes_what_torch_computes():
    torch.manual_seed(0)
    roles = set()
    for component in FAMILY.components:
        model = build_module(component)
        for made in make_entry_points(FAMILY, component, model, FAMILY.sizes):
            roles.add(made.role)
            inputs = inputs_of(made)
            with torch.no_grad():
                expected = made.module(*inputs)
            trace = trace_component(component, made)
            state = dict(model.named_parameters())
            parameters = [state[p.name].detach().numpy() for p in trace.parameters]
            module = tvm_compat.import_program(trace.program)
            (found,) = run_on_cpu(module, [i.numpy() for i in inputs], parameters)
            np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
            assert found.shape == made.outputs[0].shape
    # It draws from text alone, and a safety checker is no component of a family.
    of_pictures = {"vae_encoder", "vae_encoder_tile", "rgba_to_image", "masked_blend"}
    others = of_pictures | {SAFETY_CHECKER}
    # Its prompts have one chunk, its text encoder's layers are all read, and it has no deep cache.
    others |= {"layered_text_encoder", "chunked_denoiser", "guided_chunked_denoiser"}
    others |= {"shallow_denoiser", "guided_shallow_denoiser"}
    assert roles | {"image_to_rgba", "linear_combination"} == set(ROLES) - others


@pytest.mark.full
def test_a_bundle_is_built_and_verified(toy, tmp_path):
    library = compile_library(toy.family, toy.family.sizes, "f32", Quiet())
    fixtures = write_fixtures(toy, (16, 16), "a red star", tmp_path / "fixtures.json", Quiet())
    bundle = build_bundle(toy, library, tmp_path / "bundle", Quiet(), fixtures)
    assert list(verify_bundle(bundle)) == []
    manifest = read_manifest(bundle / "models" / "toy" / "manifest.json")
    assert set(manifest.components) == {"words", "net", "pixels"}
    assert manifest.components["net"].role == "denoiser"
    assert manifest.conditioning.encoders == ("words",)
    assert manifest.latent_space.channels == 3
    assert manifest.latent_space.scale_factor == 2
    assert manifest.model.pipeline == "ToyPipeline"
    assert manifest.schedulers.default == "ddim"
    combination = next(e for e in manifest.entry_points if e.role == "linear_combination")
    assert combination.outputs[0].shape == (1, 3, 8, 8)
    stages = json.loads((bundle / "models" / "toy" / manifest.self_test.file).read_text())["stages"]
    assert len(stages) == 5


def test_the_reference_draws_it(toy):
    request = GenerationRequest("a red star", seed=1)
    images, latents = draw_reference(toy, load_pipeline(toy), request, Quiet())
    assert images.shape == (1, 16, 16, 3)
    assert images.std() > 1
    assert latents.shape == (3 * 8 * 8,)
    other = draw_reference(toy, load_pipeline(toy), GenerationRequest("x", seed=2), Quiet())[0]
    assert (images != other).any()


def test_it_has_no_single_file_layout(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no single-file layout is known for toy"):
        open_checkpoint(path, FAMILY)


@pytest.mark.exhaustive
def test_in_a_copy_of_the_sources_they_touch_one_registry_in_each_language(tmp_path):
    """The family and its pipeline get folders of their own; the lines outside are counted."""
    web = PACKAGE.parent / "web"
    shutil.copytree(PACKAGE, tmp_path / "wsd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(web / "src", tmp_path / "web" / "src")
    for name in ("tsconfig.json", "types"):
        copy = shutil.copytree if (web / name).is_dir() else shutil.copyfile
        copy(web / name, tmp_path / "web" / name)
    (tmp_path / "web" / "node_modules").symlink_to(web / "node_modules")
    before = read_sources(tmp_path)

    family = tmp_path / "wsd" / "models" / "toy"
    family.mkdir()
    for path in TOY.glob("*.py"):
        own = re.sub(r"\btoy\.(?=modules|family)", "wsd.models.toy.", path.read_text())
        (family / path.name).write_text(own)
    append(tmp_path / "wsd/models/registry.py", "from wsd.models.toy import family as toy",
           "register(toy.FAMILY)")  # fmt: skip
    pipeline = tmp_path / "web" / "src" / "pipeline" / "toy"
    pipeline.mkdir()
    text = (web / "tests" / "toy_pipeline.ts").read_text()
    own = text.replace("../src/pipeline", "..").replace("../src", "../..")
    (pipeline / "toy.ts").write_text(own)
    append(tmp_path / "web/src/pipeline/index.ts", 'import { ToyPipeline } from "./toy/toy";',
           'registerPipeline("toy", (source) => ToyPipeline.load(source));')  # fmt: skip

    after = read_sources(tmp_path)
    outside = {
        path: len(set(text.splitlines()) - set(before.get(path, "").splitlines()))
        for path, text in after.items()
        if before.get(path) != text and path.parent not in (family, pipeline)
    }
    # The registry's line, and the import of what it names.
    assert outside == {
        tmp_path / "wsd/models/registry.py": 2,
        tmp_path / "web/src/pipeline/index.ts": 2,
    }
    picture = tmp_path / "toy.png"
    asked = ("reference", "--model", "toy", "--random-weights", "0", "--prompt", "a red star")
    subprocess.run(
        [sys.executable, "-m", "wsd", *asked, "--out", str(picture)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "WSD_CACHE": str(tmp_path / "cache")},
        check=True,
    )
    with Image.open(picture) as drawn:
        assert drawn.size == (16, 16)
    subprocess.run([web / "node_modules/.bin/tsc"], cwd=tmp_path / "web", check=True)


def read_sources(folder):
    """Return path → text of the Python and TypeScript files below a folder."""
    found = [*folder.glob("wsd/**/*.py"), *folder.glob("web/src/**/*.ts")]
    assert len(found) > 150
    return {path: path.read_text() for path in found}


def append(path, *lines):
    """Add lines at the end of a file."""
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def test_nothing_in_the_package_or_the_page_names_it():
    sources = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "web" / "src").rglob("*.ts")]
    assert len(sources) > 100
    naming = [path for path in sources if re.search(r"\btoy", path.read_text(), re.IGNORECASE)]
    assert naming == []


def test_one_name_is_registered_once():
    with pytest.raises(ValueError, match="two model families are called 'sd15'"):
        register(type(FAMILY)(**{**vars(FAMILY), "name": "sd15"}))


def test_each_family_of_the_registry_is_one_line():
    tree = ast.parse((PACKAGE / "models" / "registry.py").read_text())
    calls = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    assert len(calls) == len(FAMILIES) - 1
    assert {call.func.id for call in calls} == {"register"}


def test_only_models_know_the_names_of_families():
    """No command, no compiler pass and no bundle branches on a family or an architecture."""
    families = [family for family in FAMILIES.values() if family is not FAMILY]
    names = {family.name for family in families}
    names |= {family.architecture.name for family in families}
    names |= {family.architecture.diffusers_pipeline for family in families}
    # Manifests of version 1 say less than those of version 2, and no new ones are written. The
    # original project had names for the files of two models, and gets none for others.
    closed = {PACKAGE / "bundle" / "manifest_v1.py", PACKAGE / "spec" / "classic_names.py"}
    for path in PACKAGE.rglob("*.py"):
        if PACKAGE / "models" in path.parents or path in closed:
            continue
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not strings & names, path


@pytest.mark.parametrize("module", ["wsd.models.registry", "toy.family"])
def test_the_registry_needs_the_standard_library_alone(module):
    """``nox`` reads it before anything is installed."""
    code = f"""
import sys
before = set(sys.modules)
import {module}
from wsd.models.registry import FAMILIES
for family in FAMILIES.values():
    family.latent_space, family.size_multiple
own = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(own - set(sys.stdlib_module_names) - {{"wsd", "toy"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{PACKAGE.parent}:{TOY.parent}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
