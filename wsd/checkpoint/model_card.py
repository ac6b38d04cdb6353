"""What a checkpoint says of its licence: in its card, its licence files, or a file's metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cyclonedx.spdx import fixup_id

from wsd.errors import CheckpointError
from wsd.util.json_reader import read_text

CARD = "README.md"
# Files of a repository that state a licence, or that a licence asks to pass on.
LICENSE_FILES = (
    "LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt",
    "COPYING", "COPYING.txt", "NOTICE", "NOTICE.md", "NOTICE.txt", "USE_POLICY.md",
)  # fmt: skip
_MAX_BYTES = 1 << 20
_HINT = "it must be text in UTF-8; if it is not text, take it out of the folder"
# The table in YAML at the start of a card, of which three keys of plain text are read.
_TABLE = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*$", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"^(license|license_name|license_link):[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
# Longer than any name of a licence; what is longer is a text, or was made to be a nuisance.
_LONGEST = 200


@dataclass(frozen=True)
class ModelCard:
    """What is known of a checkpoint's licence.

    Attributes:
        license: SPDX identifier, or what the checkpoint calls it; empty if it says nothing.
        texts: stem of a file name → text, of the card and of the licence files.
    """

    license: str
    texts: dict[str, str]


class Described(Protocol):
    """What may have a card: a checkpoint, or a component that comes alone."""

    @property
    def stated_license(self) -> str:
        """The licence that a single file's own metadata names; empty for others."""

    def extra_file(self, name: str) -> Path | None:
        """Return a file that is kept beside the weights; None if it is not there.

        Args:
            name: of the file.
        """


def read_model_card(source: Described) -> ModelCard:
    """Read the card and the licences of a checkpoint, or of a component that comes alone.

    Raises:
        CheckpointError: if one of the files is no text.
    """
    texts = {}
    for name in (CARD, *LICENSE_FILES):
        path = source.extra_file(name)
        # The hub's cache may hold links to what was not fetched.
        if path is not None and path.is_file():
            stem = "model-card" if name == CARD else name.removesuffix(".txt")
            texts[stem] = read_text(path, CheckpointError, _HINT, _MAX_BYTES)
    return ModelCard(_name_license(texts.get("model-card", "")) or source.stated_license, texts)


def _name_license(card: str) -> str:
    """Return the licence that the table of a card names."""
    table = _TABLE.match(card)
    found = dict(_KEY.findall(table[1])) if table else {}
    said = {key: value.strip("'\"")[:_LONGEST] for key, value in found.items()}
    name = said.get("license", "")
    # "other" stands for a licence that the hub's list lacks; it has a name of its own.
    if name in ("", "other"):
        name = said.get("license_name", "") or said.get("license_link", "") or name
    return fixup_id(name) or name
