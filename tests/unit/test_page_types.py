"""What the driver's program in the page gives is what Python takes it for."""

import posixpath
import re
import typing

import pytest

from wsd.errors import RenderError
from wsd.runtime import page_types
from wsd.runtime.page_types import Usage, read_answer
from wsd.util.files import REPOSITORY

# Every type, and the file of web/src with the interface of this name.
WHOLE = {
    "Loaded": "driver/automation.ts",
    "Preview": "driver/automation.ts",
    "Timings": "api/types.ts",
    "SafetyReport": "api/types.ts",
    "Usage": "api/types.ts",
    "Drawn": "driver/automation.ts",
    "StageReport": "api/types.ts",
    "LoadedInversion": "api/inversion.ts",
    "LoraChange": "driver/automation.ts",
    "Roofline": "diagnostics/roofline.ts",
    "VariantTime": "diagnostics/benchmark.ts",
    "StageTimes": "diagnostics/benchmark.ts",
    "BenchmarkOptions": "diagnostics/benchmark.ts",
    "BenchmarkReport": "diagnostics/benchmark.ts",
    "AdapterDescription": "driver/automation.ts",
    "Feed": "driver/onnxruntime_web.ts",
    "OnnxModel": "driver/onnxruntime_web.ts",
    "OnnxMeasurement": "driver/onnxruntime_web.ts",
    "VariantChoice": "api/tuning.ts",
    "TunedFunction": "api/tuning.ts",
    "TuneReport": "api/tuning.ts",
}
# Types of which Python uses some fields: a page can pass callbacks too, for example.
IN_PART = {
    "LoadOptions": "api/types.ts",
    "GenerateOptions": "api/options.ts",
    "ProgressEvent": "api/progress.ts",
}
# A union in TypeScript: Python takes what all of its members have.
MEMBERS = {"ProgressEvent": ("LibraryStage", "DenoiseStage", "DecodeStage", "SelfTestStage")}
# A type of browsers, and a part of OnnxModel that Python names.
WITHOUT_INTERFACE = {"ImageData", "OnnxFiles"}


def interface_fields(name, file):
    """Return the fields of a TypeScript interface and of those that it extends."""
    text = re.sub(r"/\*.*?\*/", "", (REPOSITORY / "web/src" / file).read_text(), flags=re.S)
    parents, body = re.search(
        rf"interface {name}(?:\s+extends ([\w,\s]+))? \{{(.*?)\n\}}", text, re.S
    ).groups()
    fields = set(re.findall(r"^  (\w+)\??:", body, re.M))
    assert fields
    for parent in re.findall(r"\w+", parents or ""):
        imported = re.search(rf'import type {{[^}}]*\b{parent}\b[^}}]*}} from "(\.[./\w]+)"', text)
        folder = file.rpartition("/")[0]
        place = posixpath.normpath(f"{folder}/{imported[1]}.ts") if imported else file
        fields |= interface_fields(parent, place)
    return fields


def python_fields(name):
    return set(typing.get_type_hints(getattr(page_types, name)))


def test_every_type_is_compared():
    own = {
        name
        for name, kind in vars(page_types).items()
        if isinstance(kind, type) and kind.__module__ == page_types.__name__
    }
    assert own == WHOLE.keys() | IN_PART.keys() | WITHOUT_INTERFACE


@pytest.mark.parametrize("name", WHOLE)
def test_fields_are_those_of_typescript(name):
    assert python_fields(name) == interface_fields(name, WHOLE[name])


@pytest.mark.parametrize("name", IN_PART)
def test_fields_that_are_used_exist_in_typescript(name):
    for interface in MEMBERS.get(name, (name,)):
        assert python_fields(name) <= interface_fields(interface, IN_PART[name])


USAGE = {
    "gpuBytes": 1, "peakGpuBytes": 2, "gpuBuffers": 3, "pipelines": 4, "variants": {"generated": 4},
    "callbacks": 5, "wasmBytes": 6,
}  # fmt: skip


@pytest.mark.parametrize(
    "answer", [USAGE, {**USAGE, "later": 1}, {k: v for k, v in USAGE.items() if k != "variants"}]
)
def test_answers_of_other_versions_are_taken_as_they_are(answer):
    assert read_answer(Usage, answer) == answer


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (None, ""),
        ([], ""),
        ({**USAGE, "gpuBytes": "much"}, "gpuBytes"),
        ({**USAGE, "variants": {"generated": None}}, "variants.generated"),
        ({k: v for k, v in USAGE.items() if k != "pipelines"}, "pipelines"),
    ],
)
def test_an_answer_of_another_type_is_refused_by_name(answer, place):
    with pytest.raises(RenderError, match=f"something else than Usage: {place}") as caught:
        read_answer(Usage, answer)
    assert "this version of WSD" in caught.value.hint
