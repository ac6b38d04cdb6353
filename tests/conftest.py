"""What tests share: a built bundle, a page that has it loaded, diffusers' pipeline."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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

# Files whose tests load the same model into a page: it takes a minute, so one worker has
# them all.
_SHIPPED = ("test_meaning", "test_page", "test_parity", "test_selftest")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together what shares a model, else a file's tests, where several workers run them."""
    from xdist.scheduler import LoadFileScheduling

    class ByModel(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            if Path(file).parent.name != "e2e":
                return file
            if "tiny_sdxl" in nodeid:
                return "tiny-sdxl"
            return "shipped" if Path(file).stem in _SHIPPED else file

    return ByModel(config, log)


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
    return compile_library(family, family.sizes, "f32", Quiet())


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
