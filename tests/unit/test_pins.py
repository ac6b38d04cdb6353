"""docker/pins.toml, the Dockerfile and the lock files say the same, and pin everything."""

import json
import re

import pytest
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from tools.container import source_date
from wsd.errors import UsageError
from wsd.supply_chain.pins import FILE, read_pins
from wsd.util.files import REPOSITORY

DOCKERFILE = re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text())
LOCKS = sorted((REPOSITORY / "docker" / "locks").glob("*.txt"))
PINS = read_pins()


def default(argument):
    (value,) = set(re.findall(rf"^ARG {argument}=(.*)$", DOCKERFILE, re.M))
    return value


def test_base_and_snapshot():
    assert default("BASE") == str(PINS.base)
    assert default("DEBIAN_SNAPSHOT") == PINS.snapshot.timestamp
    # Everything else is built upon these.
    images = re.findall(r"^FROM (?:--platform=\S+ )?(\$\{\w*BASE\}|[\w./-]+:\S+)", DOCKERFILE, re.M)
    assert set(images) == {"${BASE}", "${SERVE_BASE}"}
    assert default("SERVE_BASE") == "${BASE}"
    # The time of every file of an image (docker buildx bake archive).
    bake = (REPOSITORY / "docker-bake.hcl").read_text()
    assert f'default = "{source_date()}"' in bake


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


def test_what_is_built_was_measured():
    """Sources go through the stages that measure them, and from there into what is built."""
    takers = re.findall(r"^FROM \S+ AS (\S+)$|^COPY --from=(source-\S+) ", DOCKERFILE, re.M)
    stage, taken = "", {}
    for name, source in takers:
        stage = name or stage
        if source:
            taken.setdefault(stage, set()).add(source)
    measured = {"trees-tvm-source", "trees-emscripten-source"}
    assert set(taken) == measured
    assert set.union(*taken.values()) == set(
        re.findall(r"^FROM scratch AS (source-\S+)$", DOCKERFILE, re.M)
    )
    # Nor is one mounted.
    assert not re.findall(r"from=source-(?!\S+ / /(?:sources|patches)/)", DOCKERFILE)


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


def allowed_files():
    """Return the names of the files whose digests the lock files have, by digest."""
    lines = (LOCKS[0].parent / "files.tsv").read_text().splitlines()
    return dict(line.split("\t") for line in lines)


def fits(name, processor):
    """Tell whether pip of the image's Python can install a file there without a compiler."""
    if not name.endswith(".whl"):
        return False
    # Debian trixie has glibc 2.41.
    systems = [f"manylinux_2_{minor}_{processor}" for minor in range(41, 4, -1)]
    systems += [f"manylinux{year}_{processor}" for year in (2014, 2010, 1)]
    taken = {*cpython_tags((3, 13), platforms=systems), *compatible_tags((3, 13), "cp313", systems)}
    return not taken.isdisjoint(parse_wheel_filename(name)[3])


@pytest.mark.slow
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_python_package_can_be_installed_on_both_processors(lock):
    names = allowed_files()
    for name, version, rest in requirements(lock):
        line = f"{name}=={version} {rest.partition(chr(92))[0]}"
        marker = Requirement(line).marker
        files = [names[d] for d in re.findall(r"sha256:([0-9a-f]{64})", rest) if d in names]
        for processor in ("x86_64", "aarch64"):
            machine = {
                "platform_machine": processor, "sys_platform": "linux",
                "python_full_version": "3.13.5", "python_version": "3.13",
            }  # fmt: skip
            if marker is not None and not marker.evaluate(machine):
                continue
            wheels = [file for file in files if fits(file, processor)]
            # A package without any wheel is of Python alone, and its sources do.
            sources = [file for file in files if not file.endswith(".whl")]
            assert wheels or (sources and files == sources), f"{name} on {processor}: {files}"


def test_a_lock_of_one_processor_is_noticed():
    names = allowed_files().values()
    torch = [name for name in names if name.startswith("torch-")]
    assert len([name for name in torch if fits(name, "x86_64")]) == 1
    assert len([name for name in torch if fits(name, "aarch64")]) == 1
    assert not any(fits(name, "riscv64") for name in torch)


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
