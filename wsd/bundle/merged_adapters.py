"""Compare the adapters that a bundle was built with with those that are merged for a reference."""

from __future__ import annotations

from wsd.checkpoint.checkpoint import Checkpoint
from wsd.errors import UsageError
from wsd.spec.manifest import Manifest


def check_adapters(manifest: Manifest, checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint whose weights have other adapters merged in than a bundle's.

    Args:
        manifest: of the bundle's model.
        checkpoint: what it is to be compared with.

    Raises:
        UsageError: naming the adapters that the bundle was built with.
    """
    built = manifest.model.adapters or ()
    given = [(applied.adapter.sha256, applied.scale) for applied in checkpoint.adapters]
    if given == [(adapter.sha256, adapter.scale) for adapter in built]:
        return
    if not built:
        raise UsageError(
            f"{manifest.model.name} was built without adapters, and --lora is given",
            "leave --lora out, or build the bundle with it",
        )
    listed = " ".join(f"--lora {adapter.source}:{adapter.scale:g}" for adapter in built)
    named = ", ".join(f"{adapter.source} (sha256 {adapter.sha256})" for adapter in built)
    raise UsageError(
        f"{manifest.model.name} was built with {named}, and other adapters are given, or none",
        f"give the same files with the same scales, in the same order: {listed}",
    )
