"""Encode prompts with weights by diffusers' own modules: the reference for the page's embeddings.

AUTOMATIC1111's web UI tokenizes the parts of each weight by themselves, multiplies the states of a
text encoder by the weights of their tokens, and brings their mean back to what it was. The pooled
text of SDXL stays as it is. diffusers' community pipeline ``lpw_stable_diffusion`` does the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from wsd.models.conditioning import Conditioning
from wsd.runtime.prompt_syntax import PromptSyntax, WeightedText, parse_weights
from wsd.runtime.request import GenerationRequest


@dataclass(frozen=True)
class EncodedPrompt:
    """What the text encoders make of a prompt.

    Attributes:
        embeddings: (1, tokens, features), of all encoders side by side.
        pooled: (1, features) of the encoder that has it; None for a model without one.
    """

    embeddings: torch.Tensor
    pooled: torch.Tensor | None


def weighted_arguments(
    pipeline: Any, conditioning: Conditioning, request: GenerationRequest
) -> dict[str, Any]:
    """Return the arguments of diffusers' pipeline that stand for a request's prompts.

    Args:
        pipeline: of :func:`wsd.evaluate.diffusers_reference.load_pipeline`, on any device.
        conditioning: of the checkpoint's family.
        request: its syntax is ``a1111``.

    Raises:
        UsageError: for a prompt that cannot be read.
    """
    encoded = encode_prompt(
        pipeline, conditioning, (request.prompt, request.prompt2 or request.prompt)
    )
    arguments: dict[str, Any] = {
        "prompt": None, "prompt_embeds": encoded.embeddings, "negative_prompt": None,
    }  # fmt: skip
    if encoded.pooled is not None:
        arguments |= {"prompt_2": None, "negative_prompt_2": None}
        arguments["pooled_prompt_embeds"] = encoded.pooled
    negative = request.negative_prompt
    if negative is None and conditioning.empty_negative == "zeros":
        return arguments
    texts = (negative or "", request.negative_prompt2 or negative or "")
    against = encode_prompt(pipeline, conditioning, texts, negative=True)
    arguments["negative_prompt_embeds"] = against.embeddings
    if against.pooled is not None:
        arguments["negative_pooled_prompt_embeds"] = against.pooled
    if "prompt_2" not in arguments:
        arguments.pop("negative_prompt_2", None)
    return arguments


def encode_prompt(
    pipeline: Any,
    conditioning: Conditioning,
    texts: tuple[str, str],
    *,
    negative: bool = False,
    syntax: PromptSyntax = "a1111",
) -> EncodedPrompt:
    """Encode a prompt with each text encoder, and weigh what it gives.

    Args:
        pipeline: with the encoders and their tokenizers, as diffusers names them.
        conditioning: of the checkpoint's family.
        texts: what the first encoder reads, and what the second one reads.
        negative: whether it is a negative prompt.
        syntax: how the texts are read.

    Raises:
        UsageError: for a prompt that cannot be read.
    """
    states = []
    pooled = None
    for place, use in enumerate(conditioning.encoders):
        encoder = getattr(pipeline, use.component)
        tokenizer = getattr(pipeline, use.component.replace("text_encoder", "tokenizer"))
        text, name = texts[min(place, 1)], "negative prompt" if negative else "prompt"
        parts = [WeightedText(text, 1.0)]
        if syntax != "plain":
            parts = parse_weights(text, name, negative=negative)
        ids, weights = tokenize(tokenizer, parts)
        device = next(encoder.parameters()).device
        with torch.no_grad():
            encoded = encoder(torch.tensor([ids], device=device), output_hidden_states=True)
        state = (
            encoded.last_hidden_state
            if use.hidden_state is None
            else encoded.hidden_states[use.hidden_state]
        )
        states.append(weigh_states(state, torch.tensor(weights, device=device)))
        if use.pooled:
            pooled = encoded.text_embeds
    return EncodedPrompt(torch.cat(states, dim=-1), pooled)


def tokenize(tokenizer: Any, parts: list[WeightedText]) -> tuple[list[int], list[float]]:
    """Return the ids of a text and the weight of each: as many as the encoder takes."""
    most = tokenizer.model_max_length - 2
    ids: list[int] = []
    weights: list[float] = []
    for part in parts:
        found = tokenizer(part.text, add_special_tokens=False).input_ids
        ids += found
        weights += [part.weight] * len(found)
    begin, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    missing = max(0, most - len(ids))
    return (
        [begin, *ids[:most], end, *[pad] * missing],
        [1.0, *weights[:most], 1.0, *[1.0] * missing],
    )


def weigh_states(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Multiply states by their tokens' weights, and bring their mean back to what it was.

    Args:
        states: (1, tokens, features) float32.
        weights: (tokens,).
    """
    if bool((weights == 1).all()):
        return states
    weighted = states * weights.to(states.dtype)[None, :, None]
    factor = states.mean() / weighted.mean()
    # A mean of 0 cannot be brought back.
    return weighted * factor if bool(torch.isfinite(factor)) else weighted
