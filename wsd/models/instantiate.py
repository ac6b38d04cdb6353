"""The zoo's components as torch modules, and whole pipelines of diffusers."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from wsd.models.registry import Component


def build_module(component: Component) -> torch.nn.Module:
    """Build a component from its configuration, float32, in evaluation mode.

    Weights are whatever the global torch generator gives.
    """
    library = importlib.import_module(component.library)
    model_class = getattr(library, component.class_name)
    config: Any = dict(component.config)
    if component.library == "transformers":
        model = model_class(model_class.config_class(**config))
    else:
        model = model_class(**config)
    module: torch.nn.Module = model.float().eval()
    return module


def build_skeleton(component: Component) -> torch.nn.Module:
    """Build a component whose weights are memory that nobody has written to.

    Tracing needs names and shapes alone; untouched memory takes no room, so that
    SDXL's UNet is traced without its 10 GB.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        module = build_module(component)
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            setattr(owner, name, torch.nn.Parameter(torch.empty(parameter.shape)))
    return module
