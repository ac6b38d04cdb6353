"""Digests of the code that a result depends on, with comments, docstrings and layout left out.

A cached result must be made anew when the code that made it changes, and only then. Which files
that is follows from the imports; what counts in a file is its syntax tree without docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wsd.util.files import PACKAGE
from wsd.util.hashing import sha256_bytes, sha256_file

# A comment of Jinja. A template begins with one that documents the shader.
_JINJA_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest_code(*modules: str, package: Path = PACKAGE) -> dict[str, str]:
    """Return the digest of every module that some modules need, themselves included.

    Args:
        modules: full names, such as ``wsd.compiler.driver``. A module outside the package must
            have been imported.
        package: folder of the package; what its modules import from elsewhere does not count.

    Returns:
        path relative to the package's parent → SHA-256 of its code (:func:`digest_file`). A
        module outside the package stands under its name.

    Raises:
        FileNotFoundError: if a module of the package does not exist.
    """
    digests: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if module.partition(".")[0] == package.name:
            path = _module_path(module, package)
            name = path.relative_to(package.parent).as_posix()
        else:
            path, name = Path(sys.modules[module].__file__ or ""), module
        digests[name] = digest_file(path)
        waiting += _resolve(_read_python(path.read_bytes()).imports, package)
    return digests


def digest_data(folder: Path, package: Path = PACKAGE) -> dict[str, str]:
    """Return the digest of every data file below a folder: all files but Python and Markdown.

    Args:
        folder: where the files are, inside the package.
        package: folder of the package.

    Returns:
        path relative to the package's parent → SHA-256 of what counts in it
        (:func:`digest_file`).
    """
    return {
        path.relative_to(package.parent).as_posix(): digest_file(path)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".md")
    }


def digest_file(path: Path) -> str:
    """Return the SHA-256 of what counts in a file.

    Of Python that is the syntax tree without docstrings; of a Jinja template its lines without
    Jinja's comments, indentation and empty lines; of any other file every byte.

    Args:
        path: of a file of the package.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    if path.suffix == ".py":
        return _read_python(path.read_bytes()).digest
    if path.suffix == ".j2":
        lines = _JINJA_COMMENT.sub("", path.read_text(encoding="utf-8")).splitlines()
        return sha256_bytes("\n".join(filter(None, map(str.strip, lines))).encode())
    return sha256_file(path)


@dataclass(frozen=True)
class _Python:
    """A Python file: the digest of its code, and its imports as (module, names from it)."""

    digest: str
    imports: tuple[tuple[str, tuple[str, ...]], ...]


@cache
def _read_python(source: bytes) -> _Python:
    tree = ast.parse(source)
    imports = tuple(_imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return _Python(sha256_bytes(ast.dump(tree).encode()), imports)


def _imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every import of a file but those under ``if TYPE_CHECKING:``, which never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, ()) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, tuple(name.name for name in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from _imports(other)
        else:
            yield from _imports(node)


def _resolve(imports: Sequence[tuple[str, tuple[str, ...]]], package: Path) -> Iterator[str]:
    """Yield the modules of the package among some imports.

    A package's ``__init__.py`` counts where a name is imported from it, and not for being the
    parent of a module.
    """
    for module, names in imports:
        if module.partition(".")[0] != package.name:
            continue
        if not names:
            yield module
        for name in names:
            full = f"{module}.{name}"
            yield full if _module_path(full, package).is_file() else module


def _module_path(module: str, package: Path) -> Path:
    """Return a module's file: ``name.py``, or ``__init__.py`` of a package."""
    path = package.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
