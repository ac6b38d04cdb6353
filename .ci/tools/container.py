"""The container engine for nox sessions, and how images are built with it.

Standard library only: the nox sessions import this before anything is installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

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
    return [engine, "build", f"--target={target}", *LANES[find_lane()], *site, *options, "."]


def artifacts_command(engine: str, out: Path, *options: str) -> list[str]:
    """Return the command that writes the bundle to a folder."""
    return build_command(engine, "artifacts", f"--output=type=local,dest={out}", *options)
