"""What is locked is locked by digest, and comes from nowhere but the registries."""

import json
import re

import pytest

from tools.advisories import NOT_AUDITED, Audit, audit, read_npm, read_pip_audit, read_safety
from wsd.util.files import REPOSITORY

NPM = [p for p in REPOSITORY.glob("web/**/package-lock.json") if "node_modules" not in p.parts]
PYPI = list(REPOSITORY.glob("docker/locks/*.txt"))


def name(path):
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", NPM, ids=name)
def test_npm_packages_have_digests(path):
    packages = {k: v for k, v in json.loads(path.read_text())["packages"].items() if k}
    assert packages
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        # A registry is the machine's to choose; a lock file that names one would undo that.
        assert "resolved" not in package


@pytest.mark.parametrize("path", PYPI, ids=name)
def test_python_packages_have_digests(path):
    text = re.sub(r"#.*", "", path.read_text()).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert re.match(r"[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_an_audit_that_nobody_answered_is_no_pass(tmp_path):
    """As pip-audit, npm and a program that is not there say it without a source."""
    skipped = {"dependencies": [{"name": "torch", "skip_reason": "not found on PyPI"}]}
    assert read_pip_audit(skipped) == (0, [])
    refused = ("echo", '{"statusCode": 405, "error": {"summary": ""}}')
    for command in (refused, ("echo", "not found"), ("no-such-program",)):
        found = audit("it", command, read_npm, tmp_path)
        assert str(found) == f"it: {NOT_AUDITED}"
        assert found.advisories == ()


def test_advisories_are_read(tmp_path):
    pip = {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}
    assert read_pip_audit(pip) == (1, ["a 1: PYSEC-1"])
    entry = {"package_name": "a", "analyzed_version": "1", "vulnerability_id": "9"}
    assert read_safety({"scanned_packages": {"a": {}}, "vulnerabilities": [entry]}) == (
        1, ["a 1: 9"],
    )  # fmt: skip
    npm = {
        "metadata": {"dependencies": {"total": 2}},
        "vulnerabilities": {"b": {"severity": "high"}},
    }
    report = tmp_path / "report.json"
    report.write_text(json.dumps(npm))
    found = audit("npm", ("cat", str(report)), read_npm, tmp_path)
    assert found == Audit("npm", 2, ("b: high",))
    assert str(found) == "npm: 2 packages, b: high"
