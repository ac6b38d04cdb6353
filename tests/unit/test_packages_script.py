"""The script that installs Debian's packages, with other programs in the place of apt."""

import subprocess

import pytest

from wsd.util.files import REPOSITORY

SCRIPT = REPOSITORY / "docker" / "stages" / "base" / "packages.sh"
# Answers as Debian's programs give them on arm64: ninja-build was built again there.
APT_CACHE = """#!/bin/sh
case "$*" in
  "show --quiet=0 git=1:2.47.3-0+deb13u1") echo "Package: git" ;;
  show*) exit 100 ;;
  "madison ninja-build") echo "ninja-build | 1.12.1-1+b1 | http://x trixie/main arm64 Packages" ;;
  "madison busybox-static") echo "busybox-static | 1:1.37.0-6+b8 | http://x trixie/main arm64" ;;
  "madison nginx") echo "     nginx | 1.26.3-3+deb13u12 | http://x trixie/main arm64 Packages" ;;
esac
"""
APT_GET = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in *=1.26.3-3+deb13u11*) exit 100 ;; esac
"""


@pytest.fixture
def install(tmp_path):
    """Return a function that runs the script; it gives exit code, packages and errors."""
    for name, text in (("apt-get", APT_GET), ("apt-cache", APT_CACHE), ("rm", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(snapshot, *pins):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(log)}
        done = subprocess.run(
            [SCRIPT, *pins], check=False, capture_output=True, text=True,
            env={**variables, "DEBIAN_SNAPSHOT": snapshot},
        )  # fmt: skip
        (line,) = (line for line in log.read_text().splitlines() if line.startswith("install"))
        words = line.split()
        return done.returncode, [word for word in words[1:] if word[0] != "-"], done.stderr

    return run


@pytest.mark.parametrize(
    ("pin", "taken"),
    [
        ("git=1:2.47.3-0+deb13u1", "git=1:2.47.3-0+deb13u1"),
        # The same source, built again for one processor or for the other.
        ("ninja-build=1.12.1-1", "ninja-build=1.12.1-1+b1"),
        ("busybox-static=1:1.37.0-6+b9", "busybox-static=1:1.37.0-6+b8"),
        ("busybox-static=1:1.37.0-6", "busybox-static=1:1.37.0-6+b8"),
    ],
)
def test_one_pin_is_for_every_processor(install, pin, taken):
    assert install("20261122T000000Z", pin) == (0, [taken], "")


def test_another_source_is_refused(install):
    code, taken, said = install("20261122T000000Z", "nginx=1.26.3-3+deb13u11")
    assert (code, taken) == (2, ["nginx=1.26.3-3+deb13u11"])
    assert said.startswith("error: cannot install from 20261122T000000Z: nginx=1.26.3-3+deb13u11")
    assert "hint: " in said


def test_a_site_without_a_snapshot_takes_what_its_mirror_has(install):
    assert install("", "nginx=1.26.3-3+deb13u11", "git=1") == (0, ["nginx", "git"], "")
