"""``python -m tools.advisories``: look for known advisories of the locked packages.

Each tool asks a source of advisories on the network. If none answers, the report says so: that is
neither a pass nor a failure. Advisories that ``sbom/wsd.openvex.json`` explains (OpenVEX,
https://openvex.dev) are shown and do not count. Standard library only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsd.errors import ToolError
from wsd.util.files import REPOSITORY
from wsd.util.process import run

NOT_AUDITED = "not audited: no advisory source"
VEX = REPOSITORY / "sbom" / "wsd.openvex.json"
_NPM_FOLDERS = ("web", "examples", "tests/bundlers", "tests/firefox")
# Statuses of OpenVEX that ask for nothing to be done.
_SETTLED = ("not_affected", "fixed")
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a package.

    Attributes:
        package: its name.
        version: its version; empty if the tool does not say it.
        names: ids of the advisory, the most usual first.
    """

    package: str
    version: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        """Return package, version and id."""
        return f"{self.package} {self.version}".strip() + f": {self.names[0]}"


@dataclass(frozen=True)
class Audit:
    """The result of one tool for one lock file.

    Attributes:
        what: tool and file.
        audited: how many packages were compared; 0 if no source answered.
        advisories: those that something has to be done about.
        explained: those that do not affect WSD, as its VEX document says.
    """

    what: str
    audited: int
    advisories: tuple[Advisory, ...] = ()
    explained: tuple[Advisory, ...] = ()

    def __str__(self) -> str:
        """Return the line of a report."""
        if self.audited == 0:
            return f"{self.what}: {NOT_AUDITED}"
        found = "; ".join(map(str, self.advisories)) or "no known advisory"
        explained = "".join(f"; not affected by {advisory}" for advisory in self.explained)
        return f"{self.what}: {self.audited} packages, {found}{explained}"


def read_vex(path: Path) -> set[tuple[str, str]]:
    """Return (package, id of an advisory) of everything that a VEX document calls settled.

    Raises:
        KeyError: if a statement lacks what OpenVEX asks for.
    """
    return {
        (part["@id"].partition("@")[0].rpartition("/")[2], name)
        for statement in json.loads(path.read_text(encoding="utf-8"))["statements"]
        if statement["status"] in _SETTLED
        for product in statement["products"]
        for part in product["subcomponents"]
        for name in (
            statement["vulnerability"]["name"],
            *statement["vulnerability"].get("aliases", ()),
        )
    }


def read_pip_audit(report: Any) -> tuple[int, list[Advisory]]:
    """Read pip-audit's JSON; packages that its source does not know were not audited."""
    known = [entry for entry in report["dependencies"] if "vulns" in entry]
    return len(known), [
        Advisory(entry["name"], entry["version"], (found["id"], *found.get("aliases", ())))
        for entry in known
        for found in entry["vulns"]
    ]


def read_safety(report: Any) -> tuple[int, list[Advisory]]:
    """Read the JSON of ``safety check``."""
    return len(report["scanned_packages"]), [
        Advisory(
            entry["package_name"],
            entry["analyzed_version"],
            (entry["vulnerability_id"], *filter(None, [entry.get("CVE")])),
        )
        for entry in report["vulnerabilities"]
    ]


def read_npm(report: Any) -> tuple[int, list[Advisory]]:
    """Read the JSON of ``npm audit``."""
    return int(report["metadata"]["dependencies"]["total"]), [
        Advisory(name, "", tuple(_npm_names(entry)))
        for name, entry in report["vulnerabilities"].items()
    ]


def _npm_names(entry: Any) -> Iterator[str]:
    """Yield the ids of a package's advisories, which npm gives as addresses, or its severity."""
    for via in entry.get("via", ()):
        if isinstance(via, dict) and "url" in via:
            yield via["url"].rpartition("/")[2]
    yield entry["severity"]


def audit(
    what: str,
    command: Sequence[str],
    read: Callable[[Any], tuple[int, list[Advisory]]],
    folder: Path,
    settled: Set[tuple[str, str]] = frozenset(),
) -> Audit:
    """Run a tool and read its report; other output means that no source of advisories answered."""
    try:
        # check=False: the tools exit with another code than 0 when they find an advisory, and when
        # no source of advisories answers.
        said = run(command, cwd=folder, check=False, timeout=_TIMEOUT_S)
        audited, advisories = read(json.loads(said[said.index("{") :]))
    except (ToolError, ValueError, KeyError, TypeError):
        return Audit(what, 0)
    explained = [a for a in advisories if any((a.package, name) in settled for name in a.names)]
    rest = tuple(advisory for advisory in advisories if advisory not in explained)
    return Audit(what, audited, rest, tuple(explained))


def audits(root: Path) -> Iterator[Audit]:
    """Yield an audit of each lock file with each tool that reads it."""
    settled = read_vex(VEX)
    locks = [
        *sorted((root / "docker" / "locks").glob("*.txt")),
        *sorted((root / ".ci" / "locks").glob("*.txt")),
        root / "constraints.txt",
    ]
    for lock in locks:
        name = lock.relative_to(root).as_posix()
        pip = ("pip-audit", "--disable-pip", "--no-deps", "--format=json", f"--requirement={lock}")
        yield audit(f"pip-audit {name}", pip, read_pip_audit, root, settled)
        safety = ("safety", "check", "--output=json", f"--file={lock}")
        yield audit(f"safety {name}", safety, read_safety, root, settled)
    for lock in npm_locks(root):
        name = lock.relative_to(root).as_posix()
        npm = ("npm", "audit", "--json", "--package-lock-only")
        yield audit(f"npm audit {name}", npm, read_npm, lock.parent, settled)


def npm_locks(root: Path) -> list[Path]:
    """Return the lock files of npm: the page's, the tools', the examples' and the tests'."""
    found = (lock for name in _NPM_FOLDERS for lock in (root / name).glob("**/package-lock.json"))
    return sorted(lock for lock in found if "node_modules" not in lock.parts)


def main() -> int:
    """Print every audit; returns 1 if there is an advisory."""
    bad = 0
    for found in audits(REPOSITORY):
        print(found, flush=True)
        bad += bool(found.advisories)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
