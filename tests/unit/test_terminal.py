"""Text that leaves and enters: what a terminal would obey is taken out, files are UTF-8."""

import ast
import io
import logging
import os
import re
import subprocess
import sys
import threading
import warnings

import pytest

from wsd.cli.main import main
from wsd.util.files import REPOSITORY
from wsd.util.foreign_messages import show_foreign_messages
from wsd.util.progress import Progress
from wsd.util.terminal import printable, printable_line, say

# Each does something to a terminal, or to the order in which a line is read.
COMMANDS = ["\x1b[31m", "\x1b]0;title\x07", "\r", "\b\b", "\x9b2J", "\x7f", "\u202e", "\u2066",
            "\u200f", "\u2028", "\ufeff", "\U000e0041", "\udcff", "\0"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_terminal_would_obey_is_replaced(command):
    assert command not in printable(f"a{command}b")
    assert printable(f"a{command}b").startswith("a?")


def test_other_text_stays():
    text = "Ü Ψ 漢字 👍🏽 a\tb\nc “quoted” … नमस्ते"
    assert printable(text) == text
    assert printable_line("a\nhint: b\t c") == "a hint: b c"
    assert len(printable_line("x" * 1000)) == 200


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8", "cp1252"])
@pytest.mark.parametrize("error", [False, True])
def test_a_stream_that_lacks_a_character(monkeypatch, encoding, error):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stderr" if error else "stdout", stream)
    say("ü … 漢", error=error)
    stream.flush()
    assert len(stream.buffer.getvalue().decode(encoding).rstrip("\r\n")) == 5


def test_a_stream_that_is_not_there(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    say("x")


def test_names_in_errors_cannot_pass_for_hints(tmp_path, capsys):
    folder = tmp_path / "a\nhint: rm -rf ~\x1b[31m"
    folder.mkdir()
    assert main(["verify", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [
        "error", "hint",
    ]  # fmt: skip
    assert "\x1b" not in "".join(lines)


def test_stages_of_a_page_are_shown_in_one_line_each(capsys):
    with Progress() as progress:
        for number in range(1000):
            progress.report(f"\x1b[2J[red]stage {number}\nerror: no", 0, 1)
        progress.report("x" * 5000, 0, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "?[2J[red]stage 0 error: no …"
    assert len(lines) == 50
    assert max(map(len, lines)) < 50


# What each of these prints holds a text of somebody else.
PROGRAM = """
import logging, sys, threading, warnings
import click
from wsd.cli.error_report import run_command
from wsd.errors import CheckpointError

text = "\\x1b]0;owned\\x07 \\u202e\\x9b2J\\rname"

class Lost:
    def __del__(self):
        raise ValueError(text)

def fail():
    raise ValueError(text)

def warn_of_library():
    warnings.warn(text)

def log_of_library():
    logging.getLogger("elsewhere").warning("%s", text)

def log_with_handler():
    logger = logging.getLogger("transformers.models")
    logger.addHandler(logging.StreamHandler())
    try:
        fail()
    except ValueError:
        logger.exception("while reading %s", text)

def end_thread():
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

def lose():
    Lost()

def fail_with_cause():
    try:
        fail()
    except ValueError as error:
        raise KeyError("x") from error

def fail_in_group():
    raise ExceptionGroup(text, [ValueError(text)])

def fail_on_purpose():
    raise CheckpointError(text, "hint")

@click.command()
@click.argument("way")
def work(way):
    globals()[way]()

sys.exit(run_command(work, "work"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("fail", 1), ("fail_with_cause", 1), ("fail_in_group", 1), ("fail_on_purpose", 1),
        ("warn_of_library", 0), ("log_of_library", 0), ("log_with_handler", 0), ("end_thread", 0),
        ("lose", 0),
    ],
)  # fmt: skip
def test_what_python_and_libraries_print_commands_no_terminal(way, code):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way],
        env={**os.environ, "WSD_DEBUG": "1"}, capture_output=True, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == code
    assert "owned" in said
    assert ("Traceback" in said) == (way not in ("warn_of_library", "log_of_library"))
    assert printable(said) == said
    assert done.stdout == b""


def test_a_program_that_uses_wsd_keeps_its_own_ways_of_warning():
    ways = (warnings.showwarning, threading.excepthook, logging.getLogRecordFactory())
    with show_foreign_messages():
        assert warnings.showwarning is not ways[0]
    assert ways == (warnings.showwarning, threading.excepthook, logging.getLogRecordFactory())


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


SHIPPED = sorted((REPOSITORY / "wsd").rglob("*.py"))
# What makes the serving image prints nginx's settings, which hold no name of anybody's.
PRINTS = {"wsd/util/terminal.py", "wsd/runtime/http_headers.py"}
WAYS_TO_PRINT = ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")


@pytest.mark.slow
def test_one_module_prints():
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for path in SHIPPED
        for _, name in calls(path)
        if name in WAYS_TO_PRINT
    }
    assert found == PRINTS


def has(node, *names):
    return any(keyword.arg in names for keyword in node.keywords)


def modes(node):
    values = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
    texts = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    return [text for text in texts if re.fullmatch("[rwaxbt+]{1,3}", text)]


def is_of_the_locale(node, name):
    """Tell whether a call reads or writes text in the encoding of whoever runs it."""
    if has(node, "encoding"):
        return False
    method = name.rpartition(".")[2]
    if method == "read_text" and "." in name:
        return not node.args
    if method == "write_text":
        return len(node.args) < 2
    if name in ("open", "os.fdopen", "io.open", "tempfile.NamedTemporaryFile"):
        return not any("b" in mode for mode in modes(node))
    if method == "open":
        return any("b" not in mode for mode in modes(node))
    return name.startswith("subprocess.") and has(node, "text", "universal_newlines")


# ruff's PLW1514 sees only what it knows to be a path. The tuning table is ASCII, as json.dumps
# writes it.
ASCII = {"wsd/kernels/tuning/table.py"}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("p.read_text()", True), ("p.read_text(encoding='utf-8')", False),
        ("p.write_text(t)", True), ("open(p)", True), ("open(p, 'rb')", False),
        ("p.open('w')", True), ("p.open('wb')", False), ("chosen.open(schedule)", False),
        ("subprocess.run(c, text=True)", True), ("subprocess.run(c, encoding='utf-8')", False),
        ("os.fdopen(h, 'w')", True),
    ],
)  # fmt: skip
def test_the_check_itself(code, found):
    node = ast.parse(code).body[0].value
    assert is_of_the_locale(node, ast.unparse(node.func)) == found


@pytest.mark.slow
def test_text_files_are_utf_8_whatever_the_locale():
    folders = (".ci", "docker", "docs")
    others = [path for name in folders for path in sorted((REPOSITORY / name).rglob("*.py"))]
    found = {
        f"{path.relative_to(REPOSITORY).as_posix()}:{node.lineno}: {name}"
        for path in (*SHIPPED, *others, REPOSITORY / "noxfile.py")
        for node, name in calls(path)
        if is_of_the_locale(node, name)
    }
    assert {line for line in found if line.partition(":")[0] not in ASCII} == set()
