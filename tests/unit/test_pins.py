"""docker/pins.toml, the Dockerfile and the lock files say the same, and pin everything."""

import json
import re

import pytest

from wsd.errors import UsageError
from wsd.supply_chain.pins import FILE, read_pins
from wsd.util.files import REPOSITORY

DOCKERFILE = re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text())
LOCKS = sorted((REPOSITORY / "docker" / "locks").glob("*.txt"))
PINS = read_pins()


def default(argument):
    (value,) = re.findall(rf"^ARG {argument}=(.*)$", DOCKERFILE, re.M)
    return value


def test_base_and_snapshot():
    assert default("BASE") == str(PINS.base)
    assert default("DEBIAN_SNAPSHOT") == PINS.snapshot.timestamp
    # Everything else is built upon these.
    assert set(re.findall(r"^FROM (\$\{BASE\}|[\w./-]+:\S+)", DOCKERFILE, re.M)) == {"${BASE}"}


def test_git_sources():
    fetched = {
        name: (url, commit)
        for name, url, commit in re.findall(
            r"^FROM fetch AS fetch-(\S+)\nRUN [^\n]*source\.sh (\S+) ([0-9a-f]{40}) ",
            DOCKERFILE, re.M,
        )
    }  # fmt: skip
    assert fetched == {name: (s.url, s.commit) for name, s in PINS.source.items()}
    # A build context of the name can take the place of each.
    assert set(re.findall(r"^FROM scratch AS source-(\S+)$", DOCKERFILE, re.M)) == {
        *fetched, "tvm-backports",
    }  # fmt: skip


def test_backports():
    found = re.findall(r"backport\.sh (\S+) ([0-9a-f]{40}) ", DOCKERFILE)
    expected = [
        (PINS.source[name].url, fix.commit)
        for name, fixes in PINS.backport.items()
        for fix in fixes.values()
    ]
    assert found == expected


def test_debian_packages():
    lines = re.findall(r"packages\.sh ([^\n]+)", DOCKERFILE)
    words = [word.strip('"') for line in lines for word in line.split()]
    assert all("=" in word for word in words)
    assert dict(word.split("=", 1) for word in words) == PINS.debian


def test_actions():
    found = {}
    for workflow in (REPOSITORY / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text()
        uses = re.findall(r"uses: (\S+)@([0-9a-f]{40}) # v[\d.]+$", text, re.M)
        own = re.findall(r"uses: \./(\.github/workflows/\S+)$", text, re.M)
        assert len(uses) + len(own) == text.count("uses:")
        assert all((REPOSITORY / name).is_file() for name in own)
        found.update(("/".join(name.split("/")[:2]), commit) for name, commit in uses)
        assert set(re.findall(r"container: (\S+)", text)) <= {str(PINS.base)}
    assert found == PINS.action


def test_workflows_install_nothing_without_a_hash():
    for workflow in (REPOSITORY / ".github" / "workflows").glob("*.yml"):
        for command in re.findall(r"(?:pip|pipx|npm) install\b[^\n]*", workflow.read_text()):
            assert re.fullmatch(
                r"pip install --require-hashes --requirement \.ci/locks/\w+\.txt", command
            )


def requirements(lock):
    return re.findall(r"^([\w.-]+)==(\S+)((?:[^\n]*\\\n)*[^\n]*)", lock.read_text(), re.M)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_python_package_has_a_hash(lock):
    found = requirements(lock)
    assert found
    assert len(found) == sum(1 for line in lock.read_text().splitlines() if line[0].isalnum())
    for name, _, rest in found:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", rest), name
    assert f"--require-hashes -r /{lock.name}" in DOCKERFILE


def test_lock_and_constraints_agree():
    text = (REPOSITORY / "constraints.txt").read_text()
    constraints = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in re.findall(r"^(\S+)==(\S+)$", text, re.M)
    }
    locked = {
        n: v for lock in LOCKS for n, v, _ in requirements(lock) if "tvm-build" not in lock.name
    }
    assert locked.pop("torch") == "2.7.1"
    both = locked.keys() & constraints.keys()
    assert len(both) > 50
    assert {name: locked[name] for name in both} == {name: constraints[name] for name in both}


def test_packages_of_the_page_have_an_integrity():
    for folder in ("web", "web/node"):
        table = json.loads((REPOSITORY / folder / "package-lock.json").read_text())["packages"]
        packages = [entry for place, entry in table.items() if place]
        assert packages
        assert all(entry["integrity"].startswith("sha512-") for entry in packages)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sha256:", "sha256:zz", r"\[base\] digest"),
        (
            PINS.source["rang"].commit,
            "main",
            r"\[source.rang\] commit = 'main' is not an exact pin",
        ),
        ('cmake = "3.31.6-2"', 'cmake = "latest"', r"\[debian\] cmake"),
        ("[snapshot]", "[snapshots]", r"\[snapshot\] is missing"),
        ("[base]", "[base", "not readable"),
        (f'tree = "{PINS.source["rang"].tree}"', "", r"\[source.rang\] tree is missing"),
        ("[snapshot]", "[snapshot]\nzone = 1", r"\[snapshot\]: zone is not known"),
    ],
)
def test_what_pins_nothing_is_refused(tmp_path, old, new, said):
    text = FILE.read_text()
    assert old in text
    altered = tmp_path / "pins.toml"
    altered.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=said):
        read_pins(altered)
