"""The description of an adapter's bundle: ``adapter.json``, which ``wsd lora`` writes."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, PositiveInt

from wsd.spec.entry import Entry
from wsd.spec.manifest import MAX_TRIGGER_WORDS, Sha256
from wsd.spec.paths import Name

ADAPTER_FILE: Final = "adapter.json"
ADAPTER_VERSION: Final = 1


class AdapterBundle(Entry):
    """An adapter, such as a LoRA, that pages load while they run; its file lies beside it."""

    version: Literal[1]
    """Version of this format."""
    name: str = Field(min_length=1, max_length=200)
    """What people call it."""
    family: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Name of the model family that it was checked against, as ``wsd build --model`` takes it."""
    file: Name
    """Name of the ``.safetensors`` file, without a folder."""
    bytes: PositiveInt
    """Size of the file in bytes."""
    sha256: Sha256
    """SHA-256 of the file in lower-case hexadecimal."""
    layers: PositiveInt
    """Number of parameters that it changes."""
    trigger_words: tuple[str, ...] = Field(default=(), max_length=MAX_TRIGGER_WORDS)
    """Words that it was trained with, as its metadata names them."""
    license: str = ""
    """Its licence as its metadata states it; empty if it states none."""
