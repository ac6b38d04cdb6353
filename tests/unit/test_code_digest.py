"""What counts as a change of code: no comment, docstring or layout, and only what is imported."""

import importlib
import sys

import pytest

from wsd.util.cache_key import CacheKey, explain_miss, write_key
from wsd.util.code_digest import digest_code, digest_data

MODULE = '''"""What it is."""

from toy.inner import table  # why


def scale(x):
    """Return it doubled."""
    return 2 * x  # twice
'''


@pytest.fixture
def toy(tmp_path):
    package = tmp_path / "toy"
    files = {
        "__init__.py": "",
        "main.py": MODULE,
        "inner/__init__.py": "from toy.inner.table import ROWS\n",
        "inner/table.py": "ROWS = 3\n",
        "apart.py": "X = 1\n",
        "templates/a.wgsl.j2": "{# Adds. #}\nlet x = {{ a }};\n",
        "templates/README.md": "What they are.\n",
    }
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def digests(toy):
    return digest_code("toy.main", package=toy) | digest_data(toy / "templates", toy)


def test_only_what_is_imported_counts(toy):
    # A package's __init__.py does not count for being the parent of a module.
    assert set(digests(toy)) == {"toy/main.py", "toy/inner/table.py", "toy/templates/a.wgsl.j2"}


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("import toy.apart", "toy/apart.py"),
        ("from toy import apart", "toy/apart.py"),
        ("from toy.apart import X", "toy/apart.py"),
        ("def late():\n    from toy.apart import X", "toy/apart.py"),
        ("if True:\n    pass\nelse:\n    import toy.apart", "toy/apart.py"),
        ("from toy.inner import ROWS", "toy/inner/__init__.py"),
    ],
)
def test_every_way_to_import(toy, line, file):
    (toy / "main.py").write_text(f"{line}\n")
    assert file in digests(toy)


def test_imports_for_types_do_not_count(toy):
    (toy / "main.py").write_text("if TYPE_CHECKING:\n    from toy.apart import X\n")
    assert set(digest_code("toy.main", package=toy)) == {"toy/main.py"}


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("# twice", "# two times", "main.py"),
        ("\n\ndef", "\n\n\n# Why it is here.\ndef", "main.py"),
        ("Return it doubled.", "Return twice the number.", "main.py"),
        ('"""What it is."""', '"""What it was."""', "main.py"),
        ("2 * x", "(2*x)", "main.py"),
        ("Adds.", "Adds\nnumbers.", "templates/a.wgsl.j2"),
        ("let x", "  let x", "templates/a.wgsl.j2"),
        ("What they are.", "Templates.", "templates/README.md"),
    ],
)
def test_what_changes_nothing(toy, old, new, file):
    assert digests(toy) == changed(toy, old, new, file)


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("2 * x", "3 * x", "main.py"),
        ("ROWS = 3", "ROWS = 4", "inner/table.py"),
        ("{{ a }}", "{{ b }}", "templates/a.wgsl.j2"),
    ],
)
def test_what_is_a_change(toy, old, new, file):
    before = digests(toy)
    after = changed(toy, old, new, file)
    assert {name for name in before if before[name] != after[name]} == {f"toy/{file}"}


def changed(toy, old, new, file):
    path = toy / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return digests(toy)


def test_a_module_outside_the_package_counts_with_what_it_imports(toy, tmp_path, monkeypatch):
    (tmp_path / "outside.py").write_text("import json\n\n\ndef late():\n    import toy.apart\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "outside", importlib.import_module("outside"))
    assert set(digest_code("outside", package=toy)) == {"outside", "toy/apart.py"}


def test_a_key_says_what_differs(tmp_path):
    key = CacheKey({"dtype": "f32", "tools": {"a": "1", "b": "2"}, "sizes": [[1, 2]]})
    assert explain_miss(key, tmp_path) == "nothing is cached yet"
    near = CacheKey({"dtype": "f32", "tools": {"a": "1", "b": "3"}, "sizes": [[1, 2]]})
    far = CacheKey({"dtype": "f16", "tools": {"a": "0", "c": "3"}, "sizes": []})
    assert len({key.digest, near.digest, far.digest}) == 3
    assert key.differences(far) == ["dtype", "sizes", "tools.a", "tools.b", "tools.c"]
    for name, other in (("near", near), ("far", far)):
        (tmp_path / name).mkdir()
        write_key(other, tmp_path / name)
    assert explain_miss(key, tmp_path) == "changed since the nearest cached one: tools.b"
    (tmp_path / "near" / "key.json").write_text("{")
    assert "dtype, sizes, tools.a" in explain_miss(key, tmp_path)
