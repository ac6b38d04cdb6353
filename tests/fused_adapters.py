"""Weights with adapters merged in: by WSD, and by diffusers, PEFT and LyCORIS."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.spec.roles import DENOISER, TEXT_ENCODER

# Sums of float32 in another order.
ROUNDING = 3e-6


def merged_weights(family, *adapters):
    """Return component id → name → weight, with adapters merged in, and without."""
    path = random_checkpoint(family, 0)
    opened = open_checkpoint(path, family, adapters=adapters)
    return [
        {
            c.id: {n: p.detach() for n, p in each.load(c).named_parameters()}
            for c in family.components
            if c.role in (DENOISER, TEXT_ENCODER)
        }
        for each in (opened, open_checkpoint(path, family))
    ]


def compare_all(found, expected, base):
    """Compare every weight; returns how many an adapter changed."""
    changed = 0
    for component, weights in expected.items():
        for name, weight in weights.items():
            have, before = found[component][name], base[component][name]
            error = float((have - weight).abs().max())
            assert error <= ROUNDING * float(weight.abs().max() + 1), (component, name, error)
            if not torch.equal(have, before):
                # What an adapter changes, it changes visibly.
                assert float((have - before).abs().max()) > 100 * error
                changed += 1
    return changed


def fused_by_diffusers(family, path, scale, names):
    """Return component id → name → weight, as diffusers loads and fuses an adapter."""
    pipeline = load_pipeline(open_checkpoint(random_checkpoint(family, 0), family))
    # Of SD 1.x, diffusers reads original names only if it is told how many blocks there are.
    told = {} if "text_encoder_2" in names else {"unet_config": pipeline.unet.config}
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name, **told)
    pipeline.fuse_lora(lora_scale=scale)
    return {
        component: own_weights(getattr(pipeline, component), weights)
        for component, weights in names.items()
    }


def own_weights(module, names):
    """Return the weights of a module that has PEFT's layers around its own."""
    found = {name.replace(".base_layer", ""): p for name, p in module.state_dict().items()}
    return {name: found[name] for name in names}


def fused_by_peft(module, component, path, scale):
    """Merge an adapter into a module with PEFT alone, and return it."""
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["lora_adapter_metadata"])
    prefix = f"{component}."
    own = {k.removeprefix(prefix): v for k, v in settings.items() if k.startswith(prefix)}
    state = {
        key.removeprefix(prefix): tensor
        for key, tensor in load_file(path).items()
        if key.startswith(prefix)
    }
    if not hasattr(module, "text_model"):
        state = {key.removeprefix("text_model."): tensor for key, tensor in state.items()}
    inject_adapter_in_model(LoraConfig(**own), module)
    result = set_peft_model_state_dict(module, state)
    assert not result.unexpected_keys
    for layer in module.modules():
        if hasattr(layer, "lora_magnitude_vector"):
            layer.scale_layer(scale)
            layer.merge()
    return module


def merged_by_lycoris(kind, tensors, name, weight, bias, scale):
    """Return weight and bias of one layer as LyCORIS computes its forward pass."""
    from lycoris.functional.lokr import kron_weight
    from lycoris.modules import get_module, make_module

    if kind.startswith("lokr-"):
        # LyCORIS' class of modules makes no factors of so few values.
        parts = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")
        found = [tensors.get(f"{name}.lokr_{part}") for part in parts]
        alpha = float(tensors[f"{name}.alpha"]) / len(tensors[f"{name}.lokr_w2_b"])
        difference = kron_weight(*found, scale=alpha).reshape(weight.shape)
        return weight + difference * scale, bias
    out, inner, *kernel = weight.shape
    layer = (
        torch.nn.Conv2d(inner, out, kernel, bias=bias is not None)
        if kernel
        else torch.nn.Linear(inner, out, bias=bias is not None)
    )
    layer.weight.data.copy_(weight)
    if bias is not None:
        layer.bias.data.copy_(bias)
    algorithm, parameters = get_module(tensors, name)
    with torch.no_grad():
        module = make_module(algorithm, parameters, name, layer)
        module.multiplier = scale
        if kind == "full":
            return module.get_merged_weight(scale)
        # As its forward pass does. get_merged_weight applies alpha twice for LoHa and LoKr.
        if hasattr(module, "make_weight"):
            difference = module.make_weight() * module.scale
        else:
            difference = module.get_weight(module.shape)
        difference = difference.reshape(weight.shape)
        if module.wd:
            # LyCORIS scales the lengths alone, so that a scale of 0 does not give the weight back.
            # ComfyUI's weight_decompose and A1111's finalize_updown take the share of the whole.
            whole = module.apply_weight_decompose(weight + difference, 1)
            return weight + scale * (whole - weight), bias
        return weight + difference * scale, bias
