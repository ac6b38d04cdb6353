"""Which TVM is installed, and how it names things, is known in `wsd/compiler/tvm_compat` alone."""

import re

import pytest

from wsd.util.files import PACKAGE

CONVENTIONS = {
    "TVM's version": r"tvm\.__version__|importlib\.metadata\.version\(.(apache-)?tvm",
    "the suffix of a kernel": r"""["']_kernel["']""",
    "the suffix of a buffer": r"""["']_ptr["']""",
    "the declaration of a buffer": r"var<storage",
    "the class of a load": r"""["']TensorLoad["']""",
}


@pytest.mark.parametrize("what", CONVENTIONS)
def test_no_other_file_knows_it(what):
    compat = PACKAGE / "compiler" / "tvm_compat"
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(CONVENTIONS[what], path.read_text())
    }
    inside = {name for name in knowing if (PACKAGE / name).is_relative_to(compat)}
    assert knowing == inside
    assert inside, f"the pattern for {what} finds nothing: it cannot fail"
