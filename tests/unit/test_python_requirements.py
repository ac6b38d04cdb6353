"""Every package that WSD imports is one that pip installs with it, or with an extra that it names.

Nobody would notice otherwise: the environment of the tests has all extras, and what they bring.
"""

import ast
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from distributions import required_distributions
from wsd.util.files import REPOSITORY

# Extras whose packages WSD's own commands import; the others are for tests and checks.
EXTRAS = {"appliance", "compare", "quick", "signatures"}


def imported_packages():
    """Yield each package that a statement in WSD imports, also in a function, and its file."""
    for path in (REPOSITORY / "wsd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                continue
            for name in names:
                yield name.partition(".")[0], path.name


@pytest.mark.slow
def test_every_import_is_of_a_required_package():
    # The reference lane builds TVM itself, as a distribution that is called tvm.
    needed = {"wsd", "tvm", *required_distributions(metadata.requires("wsd"), EXTRAS)}
    known = metadata.packages_distributions()
    found = {(name, file) for name, file in imported_packages() if name in known}
    assert len({name for name, _ in found}) > 20
    for name, file in found:
        if name not in sys.stdlib_module_names:
            distributions = {canonicalize_name(distribution) for distribution in known[name]}
            assert distributions & needed, f"{file} imports {name}"


@pytest.mark.slow
def test_packages_of_tests_are_not_among_the_required_ones():
    """What the test above relies on: it would find an import of such a package."""
    lines = metadata.requires("wsd")
    needed = required_distributions(lines, EXTRAS)
    (pytest,) = [line for line in lines if Requirement(line).name == "pytest"]
    assert "pytest" not in needed
    assert "pytest" in required_distributions([pytest], {"test"})
    # Requirements of requirements are found as well.
    assert "jinja2" in required_distributions(["torch"])
    assert "pydantic-core" in needed
