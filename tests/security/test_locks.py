"""What is locked is locked by digest, and comes from nowhere but the registries."""

import json
import re

import pytest

from tools.advisories import (
    NOT_AUDITED,
    VEX,
    Advisory,
    Audit,
    audit,
    npm_locks,
    read_npm,
    read_pip_audit,
    read_safety,
    read_vex,
)
from wsd.util.files import REPOSITORY

NPM = npm_locks(REPOSITORY)
PYPI = [*REPOSITORY.glob("docker/locks/*.txt"), *REPOSITORY.glob(".ci/locks/*.txt")]


def name(path):
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", NPM, ids=name)
def test_npm_packages_have_digests(path):
    packages = {k: v for k, v in json.loads(path.read_text())["packages"].items() if k}
    # Examples and tests install the package that is packed here, whose bytes change.
    packed = packages.pop("node_modules/web-stable-diffusion", None)
    assert packages or packed
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
    assert read_pip_audit(pip) == (1, [Advisory("a", "1", ("PYSEC-1",))])
    entry = {"package_name": "a", "analyzed_version": "1", "vulnerability_id": "9"}
    assert read_safety({"scanned_packages": {"a": {}}, "vulnerabilities": [entry]}) == (
        1, [Advisory("a", "1", ("9",))],
    )  # fmt: skip
    npm = {
        "metadata": {"dependencies": {"total": 2}},
        "vulnerabilities": {"b": {"severity": "high"}},
    }
    report = tmp_path / "report.json"
    report.write_text(json.dumps(npm))
    found = audit("npm", ("cat", str(report)), read_npm, tmp_path)
    assert found == Audit("npm", 2, (Advisory("b", "", ("high",)),))
    assert str(found) == "npm: 2 packages, b: high"


def test_what_the_vex_document_explains_does_not_count(tmp_path):
    """Only for the package that it names, under any of the advisory's ids, and if settled."""
    statement = {
        "vulnerability": {"name": "CVE-2026-1", "aliases": ["GHSA-a"]},
        "products": [{"@id": "pkg:generic/wsd", "subcomponents": [{"@id": "pkg:pypi/torch@2"}]}],
        "status": "not_affected",
    }
    vex = tmp_path / "vex.json"
    vex.write_text(json.dumps({"statements": [statement, {**statement, "status": "affected",
                   "vulnerability": {"name": "CVE-2026-2"}}]}))  # fmt: skip
    settled = read_vex(vex)
    assert settled == {("torch", "CVE-2026-1"), ("torch", "GHSA-a")}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"dependencies": [
        {"name": "torch", "version": "2", "vulns": [
            {"id": "PYSEC-1", "aliases": ["CVE-2026-1"]}, {"id": "CVE-2026-2"}]},
        {"name": "numpy", "version": "2", "vulns": [{"id": "GHSA-a"}]},
    ]}))  # fmt: skip
    found = audit("pip", ("cat", str(report)), read_pip_audit, tmp_path, settled)
    assert [str(advisory) for advisory in found.advisories] == [
        "torch 2: CVE-2026-2", "numpy 2: GHSA-a",
    ]  # fmt: skip
    assert str(found).endswith("; not affected by torch 2: PYSEC-1")


def test_the_vex_document_is_one():
    """OpenVEX 0.2.0: what it asks of a document, and of a statement that nothing is affected."""
    document = json.loads(VEX.read_text())
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    assert {"@id", "author", "timestamp", "version", "statements"} <= document.keys()
    locked = {
        found[1].lower()
        for path in PYPI
        for found in re.finditer(r"^([\w.-]+)==", path.read_text(), re.M)
    }
    for statement in document["statements"]:
        assert statement["status"] in ("not_affected", "affected", "fixed", "under_investigation")
        if statement["status"] == "not_affected":
            assert statement["justification"]
            assert statement["impact_statement"]
    # About packages that are here: others are forgotten in it.
    assert {package for package, _ in read_vex(VEX)} <= locked
    # What the statement about torch says.
    sources = [path.read_text() for path in (REPOSITORY / "wsd").rglob("*.py")]
    assert not [text for text in sources if re.search(r"torch\.load\(|pickle\.load", text)]
