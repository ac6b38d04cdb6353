"""A hook of mkdocs: a page of code documentation for each module, made of its docstrings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# What typedoc wrote of web/src (nox -s docs).
TYPESCRIPT = ROOT / "out" / "typedoc"


def python_modules() -> Iterator[tuple[str, str]]:
    """Yield (dotted name, page) of every module of the package."""
    for path in sorted((ROOT / "wsd").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if path.name != "__main__.py":
            yield name, f"reference/{name}.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""

    def add(page: str, text: str) -> None:
        files.append(File.generated(config, page, content=text))

    listed = []
    for name, page in python_modules():
        add(page, f"# {name}\n\n::: {name}\n    options:\n      show_root_heading: false\n")
        listed.append(f"- [`{name}`]({Path(page).name})")
    typescript = sorted(TYPESCRIPT.rglob("*.md"))
    for path in typescript:
        add(
            f"reference/web/{path.relative_to(TYPESCRIPT).as_posix()}",
            path.read_text(encoding="utf-8"),
        )
    package = "## TypeScript\n\n[The JavaScript package](web/README.md)\n" if typescript else ""
    text = "# Code\n\n## Python\n\n" + "\n".join(listed) + "\n\n" + package
    add("reference/index.md", text)
    return files
