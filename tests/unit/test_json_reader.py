"""JSON that anybody may have written: what is read, and what is refused, with its place."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from mutations import MOST_BYTES, MOST_SECONDS_OF_LARGE, peak_bytes
from timing import at_most
from wsd.bundle.attestations import read_integrity
from wsd.bundle.manifest import read_index, read_manifest
from wsd.bundle.model_files import read_self_test
from wsd.compiler.library import read_library
from wsd.errors import UsageError, WsdError
from wsd.util.json_reader import MAX_DEPTH, MAX_MARKS, read_json
from wsd.util.typed_json import read_typed

DEEP = 100_000


def read(path, **options):
    return read_json(path, UsageError, "do this", **options)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, -2.5e3, "\xc3\xbc", null, true]}', {"a": [1, -2500.0, "ü", None, True]}),
        # Windows' editors put a mark first.
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        # transformers' "no limit".
        (b'{"model_max_length": 1000000000000000019884624838656}',
         {"model_max_length": 10**30 + 19884624838656}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    ],
)  # fmt: skip
def test_what_is_read(tmp_path, data, value):
    path = tmp_path / "config.json"
    path.write_bytes(data)
    found = read(path)
    if value is None:
        value = json.loads(data)
    assert found == value


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "line 1, column 1"),
        (b'{"a":\n1,}', "line 2, column 3"),
        (b"nope", "line 1"),
        (b"{} {}", "line 1, column 4"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' is there twice"),
        (b'{"a": [1, NaN]}', "a/1: number nan is not finite"),
        (b'{"a": -Infinity}', "a: number -inf is not finite"),
        (b'{"a": 1e999}', "a: number inf is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": -' + b"9" * 50 + b"}", "too many digits"),
        (b'{"a": {"b": "\\ud800"}}', "a/b: text"),
        (b'{"\\udfff": 1}', "half of a character"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b"[" * DEEP + b"]" * DEEP, "nested deeper"),
        (b'{"a":' * DEEP, "nested deeper"),
        (b'{"a": "\xfc"}', "not UTF-8 at byte 7"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": "\x00"}', "line 1, column 8"),
    ],
)
def test_what_is_refused(tmp_path, data, place):
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert place in caught.value.message
    assert len(caught.value.message) < 300
    assert caught.value.hint == "do this"


def test_infinite_numbers_where_they_are_meant(tmp_path):
    path = tmp_path / "scheduler_config.json"
    path.write_text('{"lambda_min_clipped": -Infinity}')
    assert read(path, infinities=True) == {"lambda_min_clipped": float("-inf")}
    path.write_text('{"lambda_min_clipped": NaN}')
    with pytest.raises(UsageError, match="nan is not finite"):
        read(path, infinities=True)


def test_only_regular_files_are_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    for path, reason in (
        (pipe, "not a regular file"),
        (tmp_path, "not a regular file"),
        (link, "not a regular file"),
        (dangling, "does not exist"),
        (tmp_path / "none", "does not exist"),
        (link / "below", "does not exist"),
    ):
        with pytest.raises(UsageError, match=reason):
            read(path)


def test_a_size_limit_that_the_file_system_cannot_hide(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps("x" * 1000))
    with pytest.raises(UsageError, match="larger than 1000 bytes"):
        read(path, max_bytes=1000)
    assert read(path, max_bytes=1002) == "x" * 1000


@pytest.mark.slow
def test_a_huge_file_costs_no_memory(tmp_path):
    """A sparse file of 1 TB is refused by a process that has 1 GB of address space."""
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    program = (
        "import resource, sys, pathlib\n"
        "from wsd.errors import UsageError\n"
        "from wsd.util.json_reader import read_json\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try: read_json(pathlib.Path(sys.argv[1]), UsageError, 'hint')\n"
        "except UsageError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert "larger than" in done.stdout


LARGE = {
    "objects": lambda n: "[" + "{}," * n + "{}]",
    "lists in a table": lambda n: '{"a":[' + "[1]," * n + "[1]]}",
    "keys": lambda n: "{" + ",".join(f'"{number}":[]' for number in range(n)) + "}",
    "numbers": lambda n: "[" + "0.5," * n + "1]",
    "commas in a text": lambda n: json.dumps(",[{" * n),
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_more_values_than_any_file_needs_are_refused(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text(100))
    read(path, max_marks=401)
    with pytest.raises(UsageError, match=r"table\.json: more than 99 commas and brackets"):
        read(path, max_marks=99)
    path.write_text(text(MAX_MARKS))
    with pytest.raises(UsageError, match=f"more than {MAX_MARKS} commas and brackets"):
        read(path)


class Row(BaseModel):
    """A table of which a file holds many, with many fields that may be missing."""

    model_config = ConfigDict(extra="forbid")
    a: int
    b: str
    c: list[int]
    d: dict[str, "Row"]
    e: float = 0.5


class Typed(TypedDict):
    """A table that is no model."""

    rows: list[Row]
    more: NotRequired[dict[str, int | list[Row]]]


@dataclass(config=ConfigDict(extra="forbid"))
class Data:
    """A class that is no model, with a name that differs in files."""

    a: int
    b: str = Field(alias="bom-ref", default="x")


class Closed(TypedDict):
    """A table that is no model and takes no other fields."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    a: int
    b: NotRequired[tuple[int, ...]]


class Other(BaseModel):
    """Another table than a row, with a row among its fields."""

    model_config = ConfigDict(extra="forbid")
    x0: int
    d: dict[str, Row | Data] = {}


TYPES = {
    "list": list[Row], "tuple": tuple[Row, ...], "table": dict[str, Row], "model": Row,
    "typed table": Typed, "list of tables": list[Typed], "either": list[Row] | Typed,
    "one of two": Row | Other, "lists of one of two": list[Closed | Row] | dict[str, Other | Row],
    "class": Data, "closed table": Closed, "table of one of three": dict[str, Row | Data | Closed],
}  # fmt: skip
HOSTILE = {
    "objects": "[" + ",".join(["{}"] * 100_000) + "]",
    "numbers": "[" + ",".join(["1"] * 200_000) + "]",
    "table of objects": json.dumps({str(number): {} for number in range(100_000)}),
    "unknown keys": json.dumps({f"x{number}": 1 for number in range(200_000)}),
    "objects in a field": '{"d":' + json.dumps({str(n): {"a": "x"} for n in range(60_000)}) + "}",
    "objects in an unknown field": '{"x":[' + ",".join(["{}"] * 100_000) + "]}",
    "a row with unknown keys": json.dumps(
        {"k": {"a": 1, **{f"x{number}": [] for number in range(120_000)}}}
    ),
    "rows": '{"rows":[' + ",".join(["{}"] * 100_000) + "]}",
}


# Each text for the first types; for the others, those that differ most. The usual test takes one
# of each type, so that each text occurs, and the full test another of the first types.
FAULTS = [
    pytest.param(
        HOSTILE[text],
        TYPES[type_],
        id=f"{text}-{type_}",
        marks=()
        if place == number % 8 or (number > 7 and place == 0)
        else pytest.mark.full
        if place == (number + 3) % 8
        else pytest.mark.exhaustive,
    )
    for number, type_ in enumerate(TYPES)
    for place, text in enumerate(HOSTILE)
    if number < 8 or text in ("objects", "unknown keys", "a row with unknown keys")
]


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(("text", "type_"), FAULTS)
def test_a_file_with_a_hundred_thousand_faults_costs_little(tmp_path, text, type_):
    """pydantic alone takes a gigabyte for some of these."""
    path = tmp_path / "table.json"
    path.write_text(text)
    adapter = TypeAdapter(type_)
    before = peak_bytes()
    with at_most(MOST_SECONDS_OF_LARGE):
        with pytest.raises(UsageError, match=r"table\.json: ") as caught:
            read_typed(path, adapter, UsageError, "do this")
        assert peak_bytes() - before < MOST_BYTES
    assert len(caught.value.message) < 500


ROW = {"a": 1, "b": "x", "c": [1, 2], "d": {}}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([{**ROW, "d": {"k": {**ROW, "b": 1}}}], "0/d/k/b: Input should be a valid string"),
        ([ROW, {key: ROW[key] for key in "abd"}], "1/c: Field required"),
        ([{**ROW, "c": [1, "2", "3"]}], "0/c/1: Input should be a valid integer"),
        ([{**ROW, "x": 1}], "0/x: Extra inputs"),
        ({}, "top level: Input should be a valid"),
    ],
)
@pytest.mark.parametrize("type_", [list[Row], tuple[Row, ...]], ids=["list", "tuple"])
def test_the_first_fault_is_told_with_its_place(tmp_path, type_, value, fault):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UsageError, match=f"table.json: {fault}"):
        read_typed(path, TypeAdapter(type_), UsageError, "do this")


@pytest.mark.slow
def test_what_is_good_is_read_as_pydantic_reads_it(tmp_path):
    """Small files and large ones, which are read by another copy of the schema."""
    path = tmp_path / "table.json"
    for count in (1, 3000):
        value = {"rows": [{**ROW, "d": {"k": ROW}}] * count, "more": {"a": 1, "b": [ROW]}}
        path.write_text(json.dumps(value))
        adapter = TypeAdapter(Typed)
        expected = adapter.validate_json(path.read_text(), strict=True)
        assert read_typed(path, adapter, UsageError, "do this") == expected


@dataclass(config=ConfigDict(extra="forbid", strict=True))
class Both:
    """Tables of several kinds, of which each value may be one or another."""

    rows: tuple[Row | Other | Data | Closed, ...]
    tables: dict[str, Closed | list[Data]]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, pytest.param(3000, marks=pytest.mark.full)])
def test_each_type_of_a_union_is_tried_in_files_of_any_size(tmp_path, count):
    path = tmp_path / "table.json"
    good = {
        "rows": [ROW, {"x0": 1, "d": {"k": {"a": 1, "bom-ref": "y"}, "l": ROW}}, {"a": 1, "b": [1]},
                 {"a": 1, "bom-ref": "y"}] * count,
        "tables": {"a": {"a": 1}, "b": [{"a": 1}]},
    }  # fmt: skip
    path.write_text(json.dumps(good))
    adapter = TypeAdapter(Both)
    found = read_typed(path, adapter, UsageError, "do this")
    assert found == adapter.validate_json(path.read_text(), strict=True)
    assert [type(row) for row in found.rows[:4]] == [Row, Other, dict, Data]
    for bad in ({"a": 1, "b": [1], "x": 1}, {"x0": 1, "a": 1}, {"bom-ref": "y"}, {}):
        path.write_text(json.dumps({**good, "rows": [*good["rows"], bad]}))
        with pytest.raises(UsageError, match=rf"table.json: rows/{4 * count}/Row"):
            read_typed(path, adapter, UsageError, "do this")


MANY = {f"seed{number}": [] for number in range(120_000)}


def manifest_with(*place):
    """Return a manifest one of whose records has many more fields."""
    fixture = Path(__file__).parents[1] / "fixtures" / "manifest-v2.json"
    manifest = json.loads(fixture.read_bytes())
    record = manifest
    for key in place:
        record = record[key]
    record.update(MANY)
    return manifest


def self_test_with(given):
    stage = {"entry_point": "denoiser", "inputs": {"latents": given}, "outputs": {}}
    return {"stages": [stage]}


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    ("read_file", "name", "value"),
    [
        (read_self_test, "self-test.json", self_test_with({"seed": 0, **MANY})),
        (read_self_test, "self-test.json", self_test_with({"values": [0], **MANY})),
        (read_self_test, "self-test.json", self_test_with(MANY)),
        (read_manifest, "manifest.json", manifest_with("entry_points", 0)),
        (read_manifest, "manifest.json", manifest_with("entry_points", 0, "inputs", 0)),
        (read_manifest, "manifest.json", manifest_with("peak_bytes", 0)),
        (read_manifest, "manifest.json", manifest_with("defaults")),
        (lambda path: read_index(path.parents[1]), "models/index.json", [MANY]),
        (lambda path: read_integrity(path.parent), "SRI.json", MANY),
    ],
)
def test_readers_refuse_a_record_of_a_hundred_thousand_fields_soon(
    tmp_path, read_file, name, value
):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
    before = peak_bytes()
    with at_most(MOST_SECONDS_OF_LARGE):
        with pytest.raises(WsdError, match=f"{path.name}: ") as caught:
            read_file(path)
        assert peak_bytes() - before < MOST_BYTES
    assert len(caught.value.message) < 500


LIBRARIES = {
    "empty objects": {"materials": [{}] * 300_000},
    "unknown fields": {"entry_points": [MANY]},
    "unknown tables": MANY,
}


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("table", LIBRARIES.values(), ids=LIBRARIES)
def test_a_library_that_is_full_of_faults_costs_some_hundred_megabytes(tmp_path, table):
    """pydantic alone takes up to two gigabytes for as many as are read."""
    (tmp_path / "library.json").write_text(json.dumps({"wasm_sha256": "0" * 64, **table}))
    before = peak_bytes()
    with pytest.raises(UsageError, match=r"library\.json is of another version of WSD"):
        read_library(tmp_path)
    assert peak_bytes() - before < 2 * MOST_BYTES
