"""The image that serves, running as people run it; nox -s appliance builds it."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

# Nothing more is granted than docs/appliance.md names.
RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@dataclass(frozen=True)
class Container:
    """A running container: engine, image, id, address, and when it first answered (Unix time)."""

    engine: str
    image: str
    id: str
    url: str
    answered: float

    def run(self, *words):
        return subprocess.run(
            [self.engine, *words], check=True, capture_output=True, text=True
        ).stdout.strip()


def start(engine, image, *options, port=8080, arguments=()):
    """Run the image and wait until it answers on a port of this machine."""
    began = time.monotonic()
    # The host's network, or a port of it: engines without a bridge have only the former.
    network = os.environ.get("WSD_NETWORK", f"--publish=127.0.0.1:{port}:{port}").split()
    if processor := os.environ.get("WSD_PLATFORM"):
        options += (f"--platform={processor}",)
    command = [engine, "run", "--detach", "--rm", *RESTRICTED, *network, *options, image]
    command += arguments
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    url = f"http://127.0.0.1:{port}/"
    while True:
        try:
            with urllib.request.urlopen(f"{url}healthz", timeout=1):
                return Container(engine, image, found, url, time.time())
        except OSError:
            if time.monotonic() - began > 120:
                said = subprocess.run([engine, "logs", found], capture_output=True, check=False)
                raise AssertionError(f"the container does not answer: {said}") from None
            time.sleep(0.02)


@pytest.fixture(scope="session")
def container():
    started = start(os.environ["WSD_ENGINE"], os.environ["WSD_IMAGE"])
    yield started
    started.run("stop", started.id)


@pytest.fixture(scope="session")
def dist():
    return Path(os.environ["WSD_DIST"])


@pytest.fixture(scope="session")
def get(container):
    """Return a function that asks for a path and gives status, headers and body as sent."""

    def ask(path, method="GET", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(container.url + path, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    return ask
