"""``python -m tools.advisories``: look for known advisories of the locked packages.

Each tool asks a source of advisories on the network. If none answers, the report says so: that is
neither a pass nor a failure. Standard library only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsd.errors import ToolError
from wsd.util.files import REPOSITORY
from wsd.util.process import run

NOT_AUDITED = "not audited: no advisory source"
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Audit:
    """The result of one tool for one lock file.

    Attributes:
        what: tool and file.
        audited: how many packages were compared; 0 if no source answered.
        advisories: a line each.
    """

    what: str
    audited: int
    advisories: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line of a report."""
        if self.audited == 0:
            return f"{self.what}: {NOT_AUDITED}"
        found = "; ".join(self.advisories) or "no known advisory"
        return f"{self.what}: {self.audited} packages, {found}"


def read_pip_audit(report: Any) -> tuple[int, list[str]]:
    """Read pip-audit's JSON; packages that its source does not know were not audited."""
    known = [entry for entry in report["dependencies"] if "vulns" in entry]
    return len(known), [
        f"{entry['name']} {entry['version']}: {vulnerability['id']}"
        for entry in known
        for vulnerability in entry["vulns"]
    ]


def read_safety(report: Any) -> tuple[int, list[str]]:
    """Read the JSON of ``safety check``."""
    return len(report["scanned_packages"]), [
        f"{entry['package_name']} {entry['analyzed_version']}: {entry['vulnerability_id']}"
        for entry in report["vulnerabilities"]
    ]


def read_npm(report: Any) -> tuple[int, list[str]]:
    """Read the JSON of ``npm audit``."""
    return int(report["metadata"]["dependencies"]["total"]), [
        f"{name}: {entry['severity']}" for name, entry in report["vulnerabilities"].items()
    ]


def audit(
    what: str, command: Sequence[str], read: Callable[[Any], tuple[int, list[str]]], folder: Path
) -> Audit:
    """Run a tool and read its report; other output means that no source of advisories answered."""
    try:
        # check=False: the tools exit with another code than 0 when they find an advisory, and when
        # no source of advisories answers.
        said = run(command, cwd=folder, check=False, timeout=_TIMEOUT_S)
        audited, advisories = read(json.loads(said[said.index("{") :]))
    except (ToolError, ValueError, KeyError, TypeError):
        return Audit(what, 0)
    return Audit(what, audited, tuple(advisories))


def audits(root: Path) -> Iterator[Audit]:
    """Yield an audit of each lock file with each tool that reads it."""
    locks = [*sorted((root / "docker" / "locks").glob("*.txt")), root / "constraints.txt"]
    for lock in locks:
        name = lock.relative_to(root).as_posix()
        pip = ("pip-audit", "--disable-pip", "--no-deps", "--format=json", f"--requirement={lock}")
        yield audit(f"pip-audit {name}", pip, read_pip_audit, root)
        safety = ("safety", "check", "--output=json", f"--file={lock}")
        yield audit(f"safety {name}", safety, read_safety, root)
    for lock in sorted((root / "web").glob("**/package-lock.json")):
        if "node_modules" not in lock.parts:
            name = lock.relative_to(root).as_posix()
            npm = ("npm", "audit", "--json", "--package-lock-only")
            yield audit(f"npm audit {name}", npm, read_npm, lock.parent)


def main() -> int:
    """Print every audit; returns 1 if there is an advisory."""
    bad = 0
    for found in audits(REPOSITORY):
        print(found, flush=True)
        bad += bool(found.advisories)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
