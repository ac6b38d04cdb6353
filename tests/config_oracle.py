"""Does a component that WSD compiles compute what diffusers computes for the same config.json?

WSD's side is the entry point of the variant that a configuration selects. diffusers' side is the
module that its own class builds from the file, used as its pipeline uses it. Both have the same
random weights and get the same inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from speck import SPECK, SPECK_XL, TINY_VAE
from wsd.checkpoint.config_comparison import apply_changes, compare_config
from wsd.evaluate.encoder_output import encoded_planes
from wsd.frontend.entry_points import make_entry_point, make_entry_points
from wsd.models.family import Component, Family
from wsd.models.instantiate import build_module, build_skeleton
from wsd.spec.roles import DENOISER, TEXT_ENCODER, VAE_DECODER

_SIZE = (16, 16)


def _with_middle_block(family: Family) -> Family:
    """Return a family whose UNet has the middle block that checkpoints have."""
    components = (
        replace(c, config={**c.config, "mid_block_type": "UNetMidBlock2DCrossAttn"})
        if c.id == "unet"
        else c
        for c in family.components
    )
    return replace(family, components=tuple(components))


FAMILIES = {"sd": _with_middle_block(SPECK), "sdxl": SPECK_XL, "taesd": TINY_VAE}


def component_of(family: Family, name: str) -> Component:
    return next(component for component in family.components if component.id == name)


def as_saved(component: Component) -> dict[str, Any]:
    """Return what diffusers or transformers writes for a component, without its version."""
    module = build_module(component)
    config = module.config.to_dict() if component.library == "transformers" else dict(module.config)
    # JSON has lists and no tuples.
    config |= {key: list(value) for key, value in config.items() if isinstance(value, tuple)}
    return {key: value for key, value in config.items() if not key.startswith("_")}


def find_variant(family: Family, name: str, found: dict[str, Any]) -> Family:
    """Return the variant of a family that a component's configuration selects.

    Raises:
        CheckpointError: if the configuration is refused.
    """
    findings = compare_config(family, component_of(family, name), found, "config.json")
    return apply_changes(family, {name: findings.changes})


def compute_both(
    family: Family, name: str, found: dict[str, Any]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return what WSD's function and diffusers' give for one configuration.

    Raises:
        CheckpointError: if the configuration is refused.
    """
    variant = find_variant(family, name, found)
    component = component_of(variant, name)
    torch.manual_seed(0)
    compiled, own = build_module(component), build_skeleton(component, found)
    with torch.no_grad():
        for parameter in compiled.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    own.load_state_dict(compiled.state_dict())
    compute = {TEXT_ENCODER: _encode, DENOISER: _denoise, VAE_DECODER: _decode}[component.role]
    with torch.no_grad(), _one_thread():
        return compute(variant, component, compiled, own)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: layers of a few numbers wait for the other threads longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _encode(variant: Family, component: Component, compiled: Any, own: Any) -> Any:
    """Encode a text with an added token, if the vocabulary has any; its end token is 719."""
    highest = own.config.vocab_size - 1
    added = highest if highest > 719 else 9
    ids = torch.tensor([[718, 5, added, 3, *[719] * 73]]).clamp(max=highest)
    end = torch.zeros(1, 77)
    end[0, 4] = 1
    made = make_entry_point(variant, component, compiled, _SIZE)
    width = component.config["hidden_size"]
    before = {"input_ids": ids.int(), "end_of_text": end, "text_embeddings": _random(1, 77, width)}
    found = made.module(*(before[spec.name] for spec in made.inputs))
    found = list(found) if isinstance(found, tuple) else [found]
    use = variant.conditioning.encoder(component.id)
    mask = None
    if use.hidden_state is None:
        # StableDiffusionPipeline.encode_prompt; it masks what the tokenizer padded.
        if getattr(own.config, "use_attention_mask", None):
            mask = torch.cat([torch.ones(1, 5), torch.zeros(1, 72)], dim=1)
        expected = [own(ids, attention_mask=mask)[0]]
    else:
        # StableDiffusionXLPipeline.encode_prompt.
        encoded = own(ids, output_hidden_states=True)
        expected = [encoded.hidden_states[use.hidden_state]]
        expected += [encoded[0]] if use.pooled else []
    found[0] = found[0][..., -width:]
    return found, expected


def _denoise(variant: Family, component: Component, compiled: Any, own: Any) -> Any:
    """Predict noise; how the guidance embedding is made is the denoiser's wrapper's matter."""
    latents = _random(1, 4, 8, 8)
    text = _random(1, 77, component.config["cross_attention_dim"], seed=2)
    given: dict[str, Any] = {}
    if own.config.time_cond_proj_dim is not None:
        given["timestep_cond"] = _random(1, own.config.time_cond_proj_dim, seed=3)
    if own.config.addition_embed_type == "text_time":
        pooled = variant.text_encoders()[-1].config["projection_dim"]
        given["added_cond_kwargs"] = {
            "text_embeds": _random(1, pooled, seed=4),
            "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]]),
        }
    found, expected = (
        model(latents, torch.tensor([10.0]), text, **given).sample for model in (compiled, own)
    )
    return [found], [expected]


def _decode(variant: Family, component: Component, compiled: Any, own: Any) -> Any:
    """Decode latents as the pipeline's ``__call__`` does, and encode a picture."""
    made, _, encoder, _ = make_entry_points(variant, component, compiled, [_SIZE])
    image = _random(*encoder.inputs[0].shape)
    latents = _random(*made.inputs[0].shape)
    config = own.config
    mean, std = (config.get(key) for key in ("latents_mean", "latents_std"))
    normalised = mean is not None and std is not None
    if normalised and variant.architecture.diffusers_pipeline == "StableDiffusionXLPipeline":
        mean, std = (torch.tensor(values).view(1, 4, 1, 1) for values in (mean, std))
        scaled = latents * std / config.scaling_factor + mean
    else:
        scaled = latents / config.scaling_factor
    expected = [own.decode(scaled).sample, encoded_planes(own.encode(image))]
    return [made.module(latents), encoder.module(image)], expected
