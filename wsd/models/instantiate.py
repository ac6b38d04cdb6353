"""Build the torch module of a component, with or without memory for its weights."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from wsd.models.family import Component


def find_class(component: Component) -> Any:
    """Return the class of a component in diffusers, transformers or a family's own library."""
    return getattr(importlib.import_module(component.library), component.class_name)


def own_section(component: Component, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a ``config.json`` that the component's class reads.

    The configuration of a whole CLIP model has the text encoder's in ``text_config``, as
    transformers' ``from_pretrained`` finds it. A configuration class of WSD's own says by itself
    which keys it reads (``flatten``).
    """
    if component.layout == "transformers":
        kind = find_class(component).config_class
        if component.layout != component.library:
            own: Mapping[str, Any] = kind.flatten(config)
            return own
        section = config.get(kind.base_config_key)
        if isinstance(section, Mapping):
            return section
    return config


def build_module(component: Component, config: Mapping[str, Any] | None = None) -> torch.nn.Module:
    """Build a component from its configuration, float32, in evaluation mode.

    The global torch generator decides the weights.

    Args:
        component: what to build.
        config: a configuration in place of the component's, as ``config.json`` of a checkpoint
            has it.
    """
    model_class = find_class(component)
    chosen: Any = dict(component.config if config is None else own_section(component, config))
    if component.layout == "transformers":
        kind = model_class.config_class
        model = model_class(kind(**chosen) if config is None else kind.from_dict(chosen))
    else:
        with _without_notes():
            model = model_class(**chosen) if config is None else model_class.from_config(chosen)
    module: torch.nn.Module = model.float().eval()
    return module


@contextmanager
def _without_notes() -> Iterator[None]:
    """Keep diffusers from naming the keys that a class ignores: WSD does that where it matters.

    The configurations of some classes have such a key whenever diffusers writes them.
    """
    logger = logging.getLogger("diffusers.configuration_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def build_skeleton(
    component: Component, config: Mapping[str, Any] | None = None
) -> torch.nn.Module:
    """Build a component whose weights are memory that nobody has written to.

    Tracing needs only names and shapes, and the operating system gives no pages to memory that is
    not written: SDXL's UNet is traced without its 10 GB.

    Args:
        component: what to build.
        config: as for :func:`build_module`.
    """
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    # Keys about random weights mean nothing here, as in from_pretrained: whatever they say, no
    # random weights are made.
    with init_empty_weights(include_buffers=False), no_init_weights():
        module = build_module(component, config)
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            setattr(owner, name, torch.nn.Parameter(torch.empty(parameter.shape)))
    tie_parameters(module)
    return module


def tie_parameters(module: torch.nn.Module) -> None:
    """Let the names that a model of transformers has for one parameter mean one again.

    accelerate makes a parameter of its own for each name. T5's table of embeddings has two.
    """
    tie = getattr(module, "tie_weights", None)
    if tie is not None:
        tie()
