"""From `wsd tune` over `wsd compile --database` to a bundle that draws with tuned schedules."""

import json

import numpy as np
import pytest

from commands import wsd
from speck import SPECK
from wsd.compiler.driver import compile_library, fuse_family
from wsd.compiler.passes.tuned_schedules import apply_tuned_schedules
from wsd.compiler.schedule_database import read_database
from wsd.compiler.tvm_compat import function_of_kernel, is_scheduled, normalized, tir
from wsd.evaluate import tune_schedules
from wsd.evaluate.tune_schedules import agree, scheduled_by_rules
from wsd.runtime.kernel_runner import open_kernel_host
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

pytestmark = pytest.mark.exhaustive

REQUEST = GenerationRequest(prompt="a red circle", steps=4, guidance_scale=5.0, seed=7)
# Kernels are timed in turns, and the fastest time of each counts.
TURNS, REPEAT = 5, 20


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Return the folder of a database with schedules of normalisations, which gain most."""
    folder = tmp_path_factory.mktemp("tuned") / "database"
    find_functions = tune_schedules._functions

    def find_normalisations(*given):
        return [pair for pair in find_functions(*given) if "normalize" in pair[0]][:3]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_schedules, "_functions", find_normalisations)
        code, lines = wsd("tune", "--model", SPECK.name, "--database", folder, "--seconds", 300)
    assert code == 0
    assert len(lines) == 1 + len(read_database(folder).kernels) > 1
    return folder


@pytest.fixture(scope="module")
def bundle(database, tmp_path_factory):
    """Return a bundle of a library that was compiled with the database."""
    folder = tmp_path_factory.mktemp("bundle")
    library, out = folder / "library", folder / "tuned"
    made = wsd("compile", "--model", SPECK.name, "--database", database, "--out", library)
    assert made[0] == 0
    code, _ = wsd("build", "--model", SPECK.name, "--random-weights", 0, "--library", library,
                  "--out", out)  # fmt: skip
    assert code == 0
    return out


def scheduled_functions(module):
    return {
        str(variable.name_hint): function
        for variable, function in module.functions_items()
        if isinstance(function, tir.PrimFunc) and is_scheduled(function)
    }


def test_the_applied_schedules_are_faster_than_those_of_the_rules(database):
    """On the adapter they were tuned on, in one run, what `wsd compile` applies."""
    found = read_database(database)
    module, _ = fuse_family(SPECK, SPECK.sizes, "f32", Quiet())
    tuned = scheduled_functions(apply_tuned_schedules(module, found))
    # One schedule may be of several functions that compute the same.
    assert tuned.keys() >= {kernel.function for kernel in found.kernels}
    before, after = 0.0, 0.0
    with open_kernel_host() as host:
        for kernel in found.kernels:
            function = normalized(module[kernel.function])["main"]
            own, other = (
                tune_schedules._kernel(kernel.function, scheduled, function)
                for scheduled in (scheduled_by_rules(function), tuned[kernel.function])
            )
            assert own.code != other.code
            assert tune_schedules._hold_inputs(host, own, function, 1)
            runs = [
                (host.run_generated(own, REPEAT), host.run_generated(other, REPEAT))
                for _ in range(TURNS)
            ]
            (expected, _), (results, _) = runs[0]
            assert agree(results, expected)
            before += min(ms for (_, ms), _ in runs)
            after += min(ms for _, (_, ms) in runs)
    print(f"{len(found.kernels)} kernels: {before:.3f} ms, tuned {after:.3f} ms")
    assert before > tune_schedules.LEAST_GAIN * after


def test_the_bundle_and_its_provenance_name_the_database(database, bundle):
    assert wsd("verify", bundle) == (0, [f"{bundle}: good"])
    expected = f"sha256:{read_database(database).digest}"
    manifest = json.loads((bundle / "models" / SPECK.name / "manifest.json").read_text())
    assert manifest["toolchain"]["schedule_database"] == expected
    statement = json.loads((bundle / "provenance.json").read_text())
    (model,) = statement["predicate"]["buildDefinition"]["externalParameters"]["models"]
    assert model["toolchain"]["schedule_database"] == expected


def test_only_the_kernels_of_the_database_are_others(database):
    found = read_database(database)
    plain = compile_library(SPECK, SPECK.sizes, "f32", Quiet()).shaders
    tuned = compile_library(SPECK, SPECK.sizes, "f32", Quiet(), database=found).shaders
    changed = {name for name in plain.keys() | tuned.keys() if plain.get(name) != tuned.get(name)}
    module, _ = fuse_family(SPECK, SPECK.sizes, "f32", Quiet())
    applied = scheduled_functions(apply_tuned_schedules(module, found))
    assert changed
    assert {function_of_kernel(name) for name in changed} == applied.keys()


def test_the_tuned_bundle_draws_the_same_picture(bundle, speck, open_model):
    pictures = []
    for folder in (speck[0], bundle):
        with open_model(folder) as renderer:
            pictures.append(renderer.draw(REQUEST).images[0].astype(int))
    # A flat picture would agree too easily.
    assert pictures[0].std() > 5
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
