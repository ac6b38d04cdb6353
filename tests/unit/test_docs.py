"""The documentation and the command line say the same."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from peak_bounds import BOUNDS
from tools.readme_figures import FILE, README, with_figures
from wsd import errors
from wsd.cli.main import cli
from wsd.models.registry import FAMILIES
from wsd.util.files import REPOSITORY

PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
TEXT = (REPOSITORY / "docs" / "commands.md").read_text()


def rows(title):
    """Return the cells of the rows of a table of docs/commands.md, by the title of its column."""
    table = TEXT.partition(f"| {title} |")[2].partition("\n\n")[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table.splitlines()[2:]
    ]


def documented_options():
    """Yield command, option and meaning of every cell of the table of options."""
    for options, of, meaning in rows("option"):
        for command in of.split(", "):
            for option in re.findall(r"`(--[a-z0-9-]+)`", options):
                yield command, option, meaning


OPTIONS = {(command, option): meaning for command, option, meaning in documented_options()}
KNOWN = {
    (name, option): parameter
    for name, command in cli.commands.items()
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for option in (*parameter.opts, *parameter.secondary_opts)
}


def test_every_option_of_every_command_is_documented_and_exists():
    assert len(KNOWN) > 90
    assert OPTIONS.keys() == KNOWN.keys()


@pytest.mark.parametrize(("name", "option"), KNOWN)
def test_values_and_defaults_are_documented(name, option):
    parameter, meaning = KNOWN[name, option], OPTIONS[name, option]
    if isinstance(parameter.type, click.Choice):
        for value in parameter.type.choices:
            assert f"`{value}`" in meaning
    if isinstance(parameter.default, (int, float)) and not parameter.is_flag:
        assert re.search(rf"(?<!\d){parameter.default}(?! (to|or))\b", meaning)


def requirements(command):
    """Return the options and arguments that a command requires, as its usage shows them."""
    needed = [parameter for parameter in command.params if parameter.required]
    return {p.opts[0] if isinstance(p, click.Option) else p.metavar for p in needed}


def test_every_command_is_documented_with_what_it_requires():
    usages = [re.match(r"`wsd ([^`]+)`", cell)[1].split() for cell, _ in rows("command")]
    shown = {}
    for name, *words in usages:
        options = [word for word in words if word.startswith("--")]
        arguments = words[: words.index(options[0])] if options else words
        assert {(name, option) for option in options} <= KNOWN.keys()
        # Further rows of a command show options.
        shown.setdefault(name, {*arguments, *options})
    # Only a plan of a build needs no --out.
    assert shown == {
        name: requirements(command) | ({"--out"} if name == "build" else set())
        for name, command in cli.commands.items()
    }


def test_options_of_the_whole_program_are_documented():
    for parameter in cli.params:
        assert any(f"`wsd {option}" in TEXT for option in parameter.opts), parameter.opts


def test_links_of_the_documentation_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            # Code documentation is made when the site is.
            made = target.startswith("reference/")
            assert made or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    """A row that was put into the middle of another one shows nothing where it belongs."""
    for page in PAGES:
        width = 0
        for line in page.read_text().splitlines():
            # A stroke in code separates nothing here, as in `a|b`.
            bars = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line)))
            if not line.startswith("|"):
                width = 0
                continue
            assert bars == (width or bars), (page.name, line[:80])
            width = bars


def test_every_error_class_has_an_entry_in_troubleshooting():
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    python = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    page = re.findall(
        r"^export class (\w+)", (REPOSITORY / "web/src/util/errors.ts").read_text(), re.M
    )
    assert len(page) > 5
    for name in {*python, *page}:
        assert f"| `{name}` |" in text, name


def test_every_error_that_a_module_raises_is_one_of_them():
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    for path in (REPOSITORY / "wsd").rglob("*.py"):
        text = path.read_text()
        raised = set(re.findall(r"raise (\w+Error)\(", text))
        # A module catches its private errors itself.
        raised -= {name for name in raised if name[0] == "_" and f"except {name}" in text}
        # Refused by Python's own names: a digest of NaN, an engine that does not answer. Errors of
        # the file system are explained where a command ends. Tuning goes on where a native call
        # hangs or crashes.
        assert raised - known <= {
            "AssertionError", "KeyError", "TypeError", "ValueError",
            "OSError", "IsADirectoryError", "NotADirectoryError",
            "ChildProcessError", "TimeoutError",
        }, path.name  # fmt: skip


def commands(line):
    """Yield the words of each command of a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|"):
            yield words
            words = []
        elif words or not re.match(r"[A-Z_]+=", word):  # variables
            words.append(word)


def documented_commands():
    """Yield the words of every command line of `wsd` in a block of shell."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                for words in commands(line):
                    if words[:1] == ["wsd"]:
                        yield pytest.param(words[1:], id=f"{page.name}: {shlex.join(words)}")


@pytest.mark.parametrize("words", list(documented_commands()))
def test_documented_commands_are_understood(words, tmp_path, monkeypatch):
    # Options name folders that a reader has.
    monkeypatch.chdir(tmp_path)
    for option, word in zip(["", *words], words, strict=False):
        if option != "--out" and re.fullmatch(r"[A-Za-z0-9-]+", word):
            (tmp_path / word).mkdir(exist_ok=True)
    command = cli.commands[words[0]]
    command.make_context(words[0], words[1:])  # raises what the command would say


def test_the_readmes_figures_are_those_that_were_measured():
    assert README.read_text() == with_figures(README.read_text(), json.loads(FILE.read_text()))


def test_the_memory_of_every_family_has_a_bound():
    """``tests/integration/test_matches.py`` compares them with what is planned."""
    kept = json.loads(BOUNDS.read_text())
    assert [name for name in FAMILIES if "w8a16" not in kept.get(name, {})] == []


def test_the_peaks_of_large_models_are_those_that_bounds_are_kept_of():
    text = (REPOSITORY / "docs" / "checkpoints.md").read_text()
    kept = json.loads(BOUNDS.read_text())
    found = re.findall(r"^\| `(\S+)` (\S+) `(\S+)` \|[^|]+\|(.+)\|$", text, re.MULTILINE)
    assert len(found) == 3
    for name, size, dtype, peaks in found:
        ways = [f"{size} {way}" for way in ("resident", "resident tiles", "offload")]
        expected = [f"{kept[name][dtype][way] / 1024:.2f} GiB" for way in ways]
        assert [peak.strip() for peak in peaks.split("|")] == expected


def test_the_quick_checks_before_a_commit_are_those_of_the_sessions():
    text = (REPOSITORY / ".pre-commit-config.yaml").read_text()
    constraints = (REPOSITORY / "constraints.txt").read_text().split()
    for pin in re.findall(r"[\w-]+==[\d.]+", text):
        assert pin in constraints
    lint = json.loads((REPOSITORY / "web" / "lint" / "package.json").read_text())
    assert f"prettier@{lint['devDependencies']['prettier']}" in text


def test_every_session_is_documented():
    sessions = re.findall(
        r"^@nox\.session(?:\((?:name=\"([\w-]+)\")?.*\))?\ndef (\w+)",
        (REPOSITORY / "noxfile.py").read_text(), re.M,
    )  # fmt: skip
    assert len(sessions) > 10
    text = "".join(page.read_text() for page in PAGES)
    for name, function in sessions:
        assert f"nox -s {name or function}" in text or f"`{name or function}`" in text, function


def test_every_page_is_in_the_sites_menu():
    menu = (REPOSITORY / "mkdocs.yml").read_text()
    for page in REPOSITORY.glob("docs/**/*.md"):
        assert f"- {page.relative_to(REPOSITORY / 'docs').as_posix()}\n" in menu


CODE = REPOSITORY / "docs" / "code"


def rooms():
    """Yield each room of the code as its folder and its page."""
    for package in (REPOSITORY / "wsd").glob("*/__init__.py"):
        folder = package.parent
        yield pytest.param(folder, CODE / "wsd" / f"{folder.name}.md", id=f"wsd/{folder.name}")
    source = REPOSITORY / "web" / "src"
    # The folder of tvmjs is a room of its own, which lies in another one.
    for folder in [*filter(Path.is_dir, source.iterdir()), source / "gpu" / "tvm"]:
        name = folder.relative_to(source).as_posix()
        yield pytest.param(folder, CODE / "web" / f"{name.replace('/', '_')}.md", id=f"web/{name}")


def test_every_page_of_a_room_has_its_room():
    pages = {room.values[1] for room in rooms()}
    assert len(pages) > 20
    assert {*CODE.glob("*/*.md")} == pages
    listed = re.findall(r"\]\((w[a-z]+/\w+\.md)\)", (CODE / "index.md").read_text())
    assert sorted(listed) == sorted(page.relative_to(CODE).as_posix() for page in pages)


@pytest.mark.parametrize(("room", "page"), list(rooms()))
def test_the_page_of_a_room_is_short_and_names_files_that_exist(room, page):
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# `{room.relative_to(REPOSITORY).as_posix()}`\n")
    titles = re.findall(r"^## (.+)$", text, re.M)
    assert {"What always holds", "Where to look first", "Tests"} <= set(titles)
    assert {"In and out", "What is where"} & set(titles)
    assert 30 <= len(text.splitlines()) <= 80
    words = re.findall(r"`([^`\n]+)`", text)
    files = [word for word in words if re.fullmatch(r"[\w./]+\.(py|ts|mjs|j2|html|css)", word)]
    folders = [word for word in words if re.fullmatch(r"[\w./]+/", word)]
    tests = [word for word in files if re.match(r"(tests|web/tests)/", word)]
    assert len(files) > 5
    assert tests
    # What a bundle has is named as a bundle has it.
    made = {"client.js", "index.html", "licenses/"}
    for name in {*files, *folders} - made:
        places = [room / name, REPOSITORY / name, REPOSITORY / "web" / "src" / name]
        assert any(place.exists() for place in places), name


def test_the_least_versions_of_browsers_follow_from_what_is_called():
    text = (REPOSITORY / "docs" / "browsers.md").read_text()
    table = text.partition("## From which version on")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if re.search(r"\| [*\d.]+", line)]
    cells = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines]
    versions = {name: found for name, *found in cells}
    draw = versions.pop("together: draw")
    ask = versions.pop("together: import the package, ask `preflight`, read settings")

    def newest(rows):
        # The version of a computer, where a phone's is another one.
        columns = zip(*([float(cell.split(",")[0]) for cell in row] for row in rows), strict=True)
        return [f"{max(column):g}" for column in columns]

    assert len(versions) > 5
    assert newest(versions.values()) == draw
    without = [row for name, row in versions.items() if "GPU" not in name]
    assert newest(without) == ask
    chrome, firefox, safari = draw
    needs = f"Chrome or Edge {chrome}, Firefox {firefox} on Windows"
    for name in ("docs/requirements.md", "web/README.md"):
        said = " ".join((REPOSITORY / name).read_text(encoding="utf-8").split())
        assert needs in said
        assert f"Safari {safari}" in said
        assert f"Firefox {ask[1]}" in said
    for path in (REPOSITORY / "web/src/app/strings").glob("*.ts"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "Chrome" in line and "chrome://flags" in line:
                assert chrome in re.findall(r"\d+", line), path.name


def test_extras_name_what_the_sessions_install():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    text = (REPOSITORY / "noxfile.py").read_text()
    for package in extras["optional-dependencies"]["docs"]:
        assert re.split(r"[<>=]", package)[0] in text
