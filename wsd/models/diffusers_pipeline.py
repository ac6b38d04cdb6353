"""Assemble the diffusers pipeline that is the reference of a family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsd.models.family import Family
from wsd.models.schedulers import build_scheduler


def silence_progress_bars() -> None:
    """Turn off the progress bars of diffusers and transformers: WSD has its own."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def assemble_pipeline(
    family: Family, members: Mapping[str, Any], scheduler: Any | None = None
) -> Any:
    """Return the family's diffusers pipeline.

    Args:
        family: the model family.
        members: modules by component id, and tokenizers by folder.
        scheduler: a scheduler of diffusers; the family's own unless given.
    """
    silence_progress_bars()
    architecture = family.architecture
    return architecture.pipeline_class()(
        scheduler=build_scheduler(family.scheduler) if scheduler is None else scheduler,
        **members,
        **architecture.pipeline_options(family),
    )
