"""LoRAs that the page offers with a model: the files beside a checkpoint's weights.

The small models have some in their folders. The page shows a button for each, which fetches it and
turns it on.
"""

from __future__ import annotations

from pathlib import Path

from wsd.bundle.adapter_bundle import copy_adapter, describe_adapter
from wsd.checkpoint.adapters.adapter import Adapter, open_adapter
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.checkpoint.links import check_inside
from wsd.errors import UsageError
from wsd.spec.manifest import MAX_EXAMPLE_LORAS, ExampleLora

# Folder beside a checkpoint's weights whose .safetensors files are offered with it.
FOLDER_NAME = "example-loras"


def find_example_loras(checkpoint: Checkpoint) -> tuple[Adapter, ...]:
    """Return the LoRAs beside a checkpoint's weights, in the order of their names; often none.

    Raises:
        CheckpointError: if one is damaged, for another model, or a link out of the checkpoint.
        UsageError: if there are more than the page has room for.
        OSError: if the folder or a file cannot be read.
    """
    folder = checkpoint.source.extra_file(FOLDER_NAME)
    if folder is None:
        return ()
    paths = sorted(folder.glob("*.safetensors"))
    if len(paths) > MAX_EXAMPLE_LORAS:
        raise UsageError(
            f"{folder} holds {len(paths)} LoRAs, and the page has room for {MAX_EXAMPLE_LORAS}",
            "leave some of them out",
        )
    family = checkpoint.family
    return tuple(open_adapter(check_inside(path, folder.parent), family) for path in paths)


def write_example_lora(adapter: Adapter, folder: Path) -> ExampleLora:
    """Copy a LoRA to a model's folder, as ``lora.<sha256>.safetensors``.

    Returns:
        what the manifest says of it.

    Raises:
        FileError: if the file changed after it was opened.
    """
    path = copy_adapter(adapter, folder, "lora")
    return ExampleLora(
        file=path.name,
        bytes=path.stat().st_size,
        sha256=adapter.sha256,
        **describe_adapter(adapter),
    )
