"""What tests share: a built bundle, a page that has it loaded, diffusers' pipeline."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from timing import run_late_ones_again
from wsd.bundle.builder import build_bundle
from wsd.bundle.npm import install_packages, source_folder
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.compiler.library import Library
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.models.registry import Family, find_family
from wsd.util.process import find_program, run
from wsd.util.progress import Quiet

# So that a helper's assert shows the numbers that it compares, as a test's own does.
pytest.register_assert_rewrite("lowering", "matches", "paged", "pages", "served")

# The models of tests/e2e/test_parity.py.
_MODEL = re.compile(r"(tiny-sd15|tiny-sdxl|speck-xl|speck|broad)-(f32|f16|w8a16|w4a16)")
# Tests that have tiny-sd15 in a page, and those with tiny-sdxl.
_SHIPPED = ("test_tiny_sd15", "test_the_shipped_models")
_SHIPPED_XL = ("test_tiny_sdxl",)
# Groups that compile a model of their own, then other long ones. They begin, so that no worker
# waits for another that compiles the same, and no long one is left for the end.
_FIRST = (
    "tests/integration/test_golden.py",
    "tiny-sd15-f32",
    "speck-f32",
    "tests/e2e/test_sizes.py",
    "speck-xl-w8a16",
    "tests/e2e/test_checkpoint_variants.py",
    "broad-f16",
    "broad-w4a16",
    "speck-xl-f32",
    "speck-w8a16",
    "tests/e2e/test_guidance.py",
    # Long, and of one file.
    "tests/integration/test_matches.py",
    # Others wait meanwhile for the library of speck, which these need not.
    "tests/integration/test_trace.py",
    "tests/kernels/test_gemm.py",
    "tests/kernels/test_attention.py",
    "tests/e2e/test_long_prompts.py",
    "tests/e2e/test_sd35.py",
    "tests/unit/test_builds_together.py",
    "tests/e2e/test_resilience.py",
    "tests/e2e/test_visits.py",
)


def _group(nodeid: str) -> str:
    """Return what a test shares with others: a model in a page, else its file."""
    file, _, name = nodeid.partition("::")
    if Path(file).parent.name == "first_contact":
        return nodeid  # containers, which share nothing
    if Path(file).parent.name != "e2e":
        return file
    if found := _MODEL.search(name):
        return found.group()
    if name.startswith(_SHIPPED):
        return "tiny-sd15-f32"
    if Path(file).name == "test_own_kernels.py":
        return "broad-f16"
    return "tiny-sdxl-f32" if name.startswith(_SHIPPED_XL) else file


def pytest_configure() -> None:
    """Let each run of the tests try the same examples; `nox -s security` tries new ones.

    A change would otherwise now and then be held up by a fault that it has nothing to do with.

    Signals have the effect that they have on a program in a terminal: a shell lets what it runs in
    the background ignore SIGINT, nohup(1) lets it ignore SIGHUP, and both are inherited.
    """
    for name, default in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)
    settings.register_profile("same-examples", derandomize=True)
    if "WSD_FUZZ" not in os.environ:
        settings.load_profile("same-examples")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups of :data:`_FIRST` before the others; let late tests run again."""
    places = {group: place for place, group in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(_group(item.nodeid), len(places)))
    run_late_ones_again(items)


def pytest_collection_finish() -> None:
    """Keep what the imports made out of garbage collection: torch, diffusers and TVM stay.

    A collection would visit their million objects again and again while a model is compiled.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a group's tests in one worker, where several run."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByGroup(config, log)


@pytest.fixture(scope="session")
def family() -> Family:
    return find_family("tiny-sd15")


@pytest.fixture(scope="session")
def checkpoint(family: Family) -> Path:
    return choose_checkpoint(family, None, None)


@pytest.fixture(scope="session")
def shipped(family: Family, checkpoint: Path) -> Checkpoint:
    return open_checkpoint(checkpoint, family)


@pytest.fixture(scope="session")
def library(family: Family) -> Library:
    # Long prompts have tests of their own, with smaller models (tests/speck.py).
    return compile_library(replace(family, prompt_chunks=1), family.sizes, "f32", Quiet())


@pytest.fixture(scope="session")
def bundle(library: Library, shipped: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    return build_bundle(shipped, library, out, Quiet())


@pytest.fixture(scope="session")
def manifest(bundle: Path, family: Family) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (bundle / "models" / family.name / "manifest.json").read_text()
    )
    return found


@pytest.fixture(scope="session")
def pipeline(shipped: Checkpoint) -> Any:
    return load_pipeline(shipped)


Bridge = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """Call the page's pure modules in Node.js (web/tests/bridge.ts)."""
    install_packages(source_folder("web"))
    script = tmp_path_factory.mktemp("bridge") / "bridge.mjs"
    esbuild = source_folder("web") / "node_modules" / ".bin" / "esbuild"
    run([esbuild, "tests/bridge.ts", "--bundle", "--platform=node", "--format=esm",
         f"--outfile={script}"], cwd=source_folder("web"))  # fmt: skip
    node = find_program("node", "install Node.js")
    with subprocess.Popen(
        [node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def call(request: dict[str, Any]) -> Any:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.stdin.close()
        process.wait()
