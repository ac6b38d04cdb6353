"""Each fault that docs/testing.md lists has the tests that it names."""

import re

import pytest

from wsd.util.files import REPOSITORY

TEXT = (REPOSITORY / "docs" / "testing.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("| no. | fault | test |\n|---|---|---|\n")[2].partition("\n\n")[0]
# `file`: "name", "name"; `file`: "name"
FILE = re.compile(r'`([^`]+)`: ("[^`]+?")(?=; `|$)')


def named_tests(cell):
    """Yield file and name of each test in a cell of the table."""
    for file, names in FILE.findall(cell):
        for name in re.findall(r'"([^"]+)"', names):
            yield file, name


ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in TABLE.splitlines()]


def test_no_fault_is_left_out():
    assert [number for number, _, _ in ROWS] == [str(number) for number in range(1, 38)]


@pytest.mark.parametrize(("number", "fault", "cell"), ROWS)
def test_tests_of_a_reported_fault_exist(number, fault, cell):
    found = list(named_tests(cell))
    # Nothing of the cell was passed over.
    assert len(found) == cell.count('"') // 2 > 0, f"{number}: {fault}"
    for file, name in found:
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        definition = f"def {name}(" if name.startswith("test_") else f'"{name}"'
        assert definition in text, f"{number}: {file} has no test {name!r}"
