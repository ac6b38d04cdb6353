"""A bundle that `wsd verify` does not accept is not run: its scripts could do anything."""

import shutil

import pytest

from commands import exit_code
from marks import some_of

REQUEST = ("--prompt", "x", "--out")
COMMANDS = {
    "render": lambda bundle, out: ("render", bundle, *REQUEST, out),
    "parity": lambda bundle, out: ("parity", bundle, "--model", "tiny-sd15", *REQUEST, out),
    "parity in Node.js": lambda bundle, out: (
        "parity", bundle, "--model", "tiny-sd15", "--host", "node", *REQUEST, out),
    "bench": lambda bundle, out: ("bench", bundle, "--json", out),
    "bench in Node.js": lambda bundle, out: ("bench", bundle, "--host", "node", "--json", out),
}  # fmt: skip


def add_script(bundle):
    (bundle / "more.js").write_text("fetch('http://127.0.0.1/')")


def alter_client(bundle):
    with (bundle / "client.js").open("a") as file:
        file.write("\n// more")


def alter_driver(bundle):
    with (bundle / "driver" / "tvmjs.js").open("a") as file:
        file.write("\n")


def drop_integrity(bundle):
    (bundle / "SRI.json").unlink()


@pytest.fixture(scope="module")
def altered(bundle, tmp_path_factory):
    """Return copies of a bundle, each with another fault: name → folder."""
    folder = tmp_path_factory.mktemp("altered")
    copies = {}
    for alter in (add_script, alter_client, alter_driver, drop_integrity):
        copies[alter.__name__] = shutil.copytree(bundle, folder / alter.__name__)
        alter(copies[alter.__name__])
    return copies


@pytest.fixture
def no_programs(tmp_path, monkeypatch):
    """Leave no program to be found: looking for a browser or for Node.js is a ToolError."""
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.delenv("WSD_CHROMIUM", raising=False)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("fault", "said"),
    some_of(
        [
            ("add_script", "more.js"),
            ("alter_client", "client.js"),
            ("alter_driver", "driver/tvmjs.js"),
            ("drop_integrity", "SRI.json"),
        ],
        2,
    ),
)
@pytest.mark.usefixtures("no_programs")
def test_an_altered_bundle_is_not_run(altered, command, fault, said, tmp_path, capsys):
    out = tmp_path / "out"
    assert exit_code(*COMMANDS[command](altered[fault], out)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "hint: " in error
    assert "Chromium" not in error
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("no_programs")
def test_a_bundle_as_it_was_built_is_run(bundle, tmp_path, capsys):
    """It gets as far as to look for a browser."""
    assert exit_code(*COMMANDS["render"](bundle, tmp_path / "out")) == 2
    assert "no Chromium found" in capsys.readouterr().err
