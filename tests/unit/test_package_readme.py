"""The npm package's README shows code that an example has, and that tests draw with."""

import re

from wsd.util.files import REPOSITORY

README = REPOSITORY / "web" / "README.md"
EXAMPLE = REPOSITORY / "examples" / "nextjs" / "app"


def without_indentation(text):
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_what_it_shows_for_react_is_the_code_of_the_example():
    section = README.read_text(encoding="utf-8").partition("### React\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```tsx?\n(.*?)```", section, re.S)
    paragraphs = [found for block in blocks for found in block.split("\n\n")]
    files = [path.read_text(encoding="utf-8") for path in EXAMPLE.glob("*.ts*")]
    shown = [without_indentation(text) for text in files]
    assert len(blocks) == 2
    for paragraph in paragraphs:
        assert any(without_indentation(paragraph) in text for text in shown), paragraph
    # The hook is there in full, with its imports.
    assert blocks[0] == (EXAMPLE / "use_pipeline.ts").read_text(encoding="utf-8")
