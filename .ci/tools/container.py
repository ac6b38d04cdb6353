"""The container engine for nox sessions, and how images are built with it.

Standard library only: the nox sessions import this before anything is installed.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tomllib
from datetime import datetime
from pathlib import Path

PINS = Path(__file__).parents[2] / "docker" / "pins.toml"
ENGINES = ("docker", "podman")
LANES = {
    "source": ("--build-arg=TVM_FROM=source", "--build-arg=EMSCRIPTEN_FROM=source"),
    "wheel": ("--build-arg=TVM_FROM=wheel", "--build-arg=EMSCRIPTEN_FROM=debian"),
}


def find_engine() -> str | None:
    """Return the engine that ``WSD_ENGINE`` names, or the first one that answers.

    Returns:
        ``docker``, ``podman``, or None for the host.

    Raises:
        ValueError: if the variable names anything else, or what does not answer.
    """
    wanted = os.environ.get("WSD_ENGINE", "")
    if wanted == "host":
        return None
    if wanted and wanted not in ENGINES:
        raise ValueError(f"WSD_ENGINE is {wanted!r}; it must be docker, podman or host")
    for engine in [wanted] if wanted else ENGINES:
        if _answers(engine):
            return engine
    if wanted:
        raise ValueError(
            f"WSD_ENGINE is {wanted}, but `{wanted} info` fails; start it, or say host"
        )
    return None


def _answers(engine: str) -> bool:
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0


def free_gigabytes(engine: str) -> float:
    """Return how many GB (10^9 bytes) are free where the engine keeps images and containers.

    Where that is inside a virtual machine, as on macOS, it is what this machine's disk has.

    Raises:
        ValueError: if the engine does not say where that is.
    """
    field = "{{.DockerRootDir}}" if engine == "docker" else "{{.Store.GraphRoot}}"
    command = [engine, "info", "--format", field]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0 or not done.stdout.strip():
        raise ValueError(f"`{shlex.join(command)}` fails: {done.stderr.strip()}")
    folder = Path(done.stdout.strip())
    return shutil.disk_usage(folder if folder.exists() else PINS.parent).free / 1e9


def find_lane() -> str:
    """Return the lane that ``WSD_LANE`` names; from source unless it is set.

    Raises:
        ValueError: if there is no such lane.
    """
    lane = os.environ.get("WSD_LANE", "source")
    if lane not in LANES:
        raise ValueError(f"WSD_LANE is {lane!r}; it must be one of {', '.join(LANES)}")
    return lane


def build_command(engine: str, target: str, *options: str) -> list[str]:
    """Return the command that builds a target of the Dockerfile.

    ``WSD_BUILD_OPTIONS`` holds further options, as on a command line: a site's base image,
    proxy, certificates and sources (docs/appliance.md).
    """
    site = shlex.split(os.environ.get("WSD_BUILD_OPTIONS", ""))
    named = [f"--build-arg=WSD_COMMIT={commit}" for commit in [find_commit()] if commit]
    lane = LANES[find_lane()]
    return [engine, "build", f"--target={target}", *lane, *named, *site, *options, "."]


def find_commit() -> str:
    """Return the commit that this clone is at; empty if it is none, or has changes."""
    git = ["git", "-C", str(PINS.parents[1])]
    if shutil.which("git") is None:
        return ""
    changes = [*git, "status", "--porcelain", "--untracked-files=no"]
    head, changed = (
        subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        for command in ([*git, "rev-parse", "HEAD"], changes)
    )
    clean = head.returncode == changed.returncode == 0 and not changed.stdout
    return head.stdout.strip() if clean else ""


def artifacts_command(engine: str, out: Path, *options: str) -> list[str]:
    """Return the command that writes the bundle to a folder."""
    return build_command(engine, "artifacts", f"--output=type=local,dest={out}", *options)


def runs_arm64() -> bool:
    """Tell whether this machine runs programs for arm64: by itself, or in an emulator.

    A container finds the emulator only if the kernel keeps it open, which the flag F says.
    """
    if platform.machine() in ("aarch64", "arm64"):
        return True
    try:
        found = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in found.splitlines() if line.startswith("flags:")), "")
    return found.startswith("enabled") and "F" in flags


def source_date() -> int:
    """Return the seconds since 1970 that stand for the time of every file of an image.

    It is the time of Debian's snapshot, which is before any checkout of the sources that pin it.
    """
    pinned = tomllib.loads(PINS.read_text(encoding="utf-8"))["snapshot"]["timestamp"]
    return int(datetime.strptime(f"{pinned}+0000", "%Y%m%dT%H%M%SZ%z").timestamp())


def archive_commands(engine: str, out: Path, *options: str) -> list[list[str]]:
    """Return the commands that write the serving image to an archive in the OCI layout.

    No time of the build is in it. Docker needs the image store of containerd, or a builder of
    ``docker buildx create``; its own old store cannot write the layout.
    """
    date = f"--build-arg=SOURCE_DATE_EPOCH={source_date()}"
    if engine == "docker":
        output = f"--output=type=oci,dest={out},rewrite-timestamp=true"
        return [build_command(engine, "serve", date, "--provenance=false", output, *options)]
    name = f"localhost/wsd:{out.stem}"
    dated = (f"--timestamp={source_date()}", f"--tag={name}")
    return [
        build_command(engine, "serve", *dated, *options),
        [engine, "save", "--format=oci-archive", f"--output={out}", name],
    ]
