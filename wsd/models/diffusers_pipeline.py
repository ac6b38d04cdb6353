"""Assemble the diffusers pipeline that is the reference of a family."""

from __future__ import annotations

from typing import Any

from wsd.models.registry import Family
from wsd.models.schedulers import build_scheduler


def silence_progress_bars() -> None:
    """Turn the libraries' progress bars off: WSD has its own."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def assemble_pipeline(family: Family, made: dict[str, Any]) -> Any:
    """Return the family's diffusers pipeline of modules and tokenizers, by their names."""
    import diffusers

    parts = {"scheduler": build_scheduler(family), **made}
    if family.pipeline == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    silence_progress_bars()
    return getattr(diffusers, family.pipeline)(**parts)
