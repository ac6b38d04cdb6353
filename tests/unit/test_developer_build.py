"""What times kernels and calls single stages is in the developers' build, and in no bundle."""

import json
from pathlib import Path

import pytest

from developer_words import REMOTE_CALLS, WORDS
from wsd.bundle.web_page import build_page
from wsd.compiler.tvm_compat import tvmjs_source, version
from wsd.errors import ToolError
from wsd.runtime.developer_build import (
    STAGE_CLIENT,
    find_developer_build,
    find_developer_files,
)
from wsd.spec.manifest import Manifest

FIXTURE = Path(__file__).parents[1] / "fixtures" / "manifest-v2.json"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the page's scripts: address → text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WSD_COVERAGE", raising=False)
        folder = tmp_path_factory.mktemp("page")
        build_page(folder, tvmjs_source())
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.suffix in (".js", ".html")
    }


@pytest.fixture(scope="module")
def tools():
    """Return the texts of the developers' build as one."""
    files = find_developer_build()
    assert STAGE_CLIENT in files
    return "".join(path.read_text(encoding="utf-8") for path in files.values())


@pytest.fixture
def manifest():
    """Return a manifest, with the version of TVM here as its compiler's."""
    table = json.loads(FIXTURE.read_text())
    table["toolchain"]["tvm"] = version()
    return Manifest.model_validate_json(json.dumps(table))


@pytest.mark.slow
@pytest.mark.parametrize("tool", WORDS)
def test_a_tool_is_in_the_developers_build_and_in_no_page(page, tools, tool):
    assert [name for name in page if name.startswith("assets/worker.")]
    assert [word for word in WORDS[tool] if word not in tools] == []
    found = [(name, word) for name, text in page.items() for word in WORDS[tool] if word in text]
    assert found == []


@pytest.mark.slow
def test_no_script_takes_remote_procedure_calls(page, tools):
    """The whole of tvmjs, for pages on tvmjs alone, included."""
    assert "driver/tvmjs.js" in page
    texts = {**page, "the developers' build": tools}
    assert [name for name, text in texts.items() for word in REMOTE_CALLS if word in text] == []


@pytest.mark.slow
def test_the_page_has_the_self_test_of_its_visitors(page):
    assert any("selfTest" in text for name, text in page.items() if "worker." in name)


@pytest.mark.slow
def test_it_is_served_beside_a_bundle(manifest, tmp_path):
    files = find_developer_files(tmp_path, manifest)
    assert STAGE_CLIENT in files
    assert all(path.is_file() for path in files.values())


def test_a_bundle_of_an_earlier_version_has_its_own(manifest, tmp_path):
    (tmp_path / "driver").mkdir()
    (tmp_path / STAGE_CLIENT).write_text("")
    assert find_developer_files(tmp_path, manifest) == {}


@pytest.mark.slow
def test_a_bundle_of_another_tvm_is_refused(manifest, tmp_path):
    other = manifest.model_copy(update={"toolchain": {"tvm": "0.0.1"}})
    with pytest.raises(ToolError, match=r"compiled with TVM 0\.0\.1, and tvmjs is here") as caught:
        find_developer_files(tmp_path, other)
    assert "wsd render" in caught.value.hint
