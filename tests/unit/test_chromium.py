"""How Chromium is started: in its sandbox unless root starts it, and what is said if it fails."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from wsd.errors import ToolError
from wsd.runtime.chromium import CHROMIUM_HINT, SANDBOX_HINT, open_browser

# A browser that records how it was started, says something and ends.
BROWSER = """#!/bin/sh
echo "$@" > '{record}'
echo '{said}' >&2
exit 1
"""
NO_SANDBOX = "FATAL:zygote_host_impl_linux.cc(129) No usable sandbox! If this is a Debian system"


def open_and_close():
    with open_browser():
        pass


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start the browser as a user; return its arguments and the error."""

    def start(user, said):
        program, record = tmp_path / "browser", tmp_path / "arguments"
        program.write_text(BROWSER.format(record=record, said=said))
        program.chmod(0o755)
        monkeypatch.setenv("WSD_CHROMIUM", str(program))
        monkeypatch.setattr(os, "geteuid", lambda: user)
        # In a thread of its own: tests of pages keep a browser open in this one.
        with ThreadPoolExecutor(1) as pool:
            failed = pool.submit(open_and_close).exception()
        assert isinstance(failed, ToolError)
        return record.read_text().split(), failed

    return start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "said", "sandboxed", "hint"),
    [
        (1000, NO_SANDBOX, True, SANDBOX_HINT),
        (1000, "missing X server", True, CHROMIUM_HINT),
        (0, "missing X server", False, CHROMIUM_HINT),
    ],
)
def test_the_sandbox_is_on_unless_root_starts_it(start, user, said, sandboxed, hint):
    arguments, error = start(user, said)
    assert ("--no-sandbox" not in arguments) is sandboxed
    assert "--enable-unsafe-webgpu" in arguments
    assert "did not start" in error.message
    assert error.hint == hint
