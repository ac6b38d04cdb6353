"""Encode prompts with weights by diffusers' own modules: the reference for the page's embeddings.

AUTOMATIC1111's web UI tokenizes the parts of each weight by themselves, multiplies the states of a
text encoder by the weights of their tokens, and brings their mean back to what it was. It encodes a
long prompt in chunks of as many tokens as the encoder takes, each by itself, weights and mean
included, and joins their states along the sequence; the pooled text of SDXL is that of the first
chunk, as it is (modules/sd_hijack_clip.py). diffusers' community pipeline ``lpw_stable_diffusion``
differs from it in two things: it brings back the mean of all chunks together, and it begins a chunk
in the middle of a phrase where the web UI begins it behind a comma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wsd.models.conditioning import Conditioning, ConditioningEncoder
from wsd.models.family import Family
from wsd.runtime.prompt_syntax import (
    COMMA_BACKTRACK,
    PromptSyntax,
    WeightedText,
    parse_weights,
)
from wsd.runtime.request import GenerationRequest


@dataclass(frozen=True)
class EncodedPrompt:
    """What the text encoders make of a prompt.

    Attributes:
        embeddings: (1, chunks * tokens, features), of all encoders side by side; for Stable
            Diffusion 3.5 those of CLIP side by side and padded, and T5's behind them.
        pooled: (1, features) of the encoders that have it, side by side; None for a model without.
    """

    embeddings: torch.Tensor
    pooled: torch.Tensor | None


def weighted_arguments(pipeline: Any, family: Family, request: GenerationRequest) -> dict[str, Any]:
    """Return the arguments of diffusers' pipeline that stand for a request's prompts.

    The one of two prompts that has fewer chunks is filled up with encodings of the empty text, as
    the web UI's setting "Pad prompt/negative prompt" does it.

    Args:
        pipeline: of :func:`wsd.evaluate.diffusers_reference.load_pipeline`, on any device.
        family: of the checkpoint; a prompt has at most as many chunks as it says.
        request: its syntax is ``a1111``.

    Raises:
        UsageError: for a prompt that cannot be read.
    """
    conditioning, chunks = family.conditioning, family.prompt_chunks
    skip = request.clip_skip
    words = request.texts()
    encoded = encode_prompt(pipeline, conditioning, words, clip_skip=skip, chunks=chunks)
    arguments: dict[str, Any] = {"prompt": None, "negative_prompt": None}
    if encoded.pooled is not None:
        arguments |= {"prompt_2": None, "negative_prompt_2": None}
        arguments["pooled_prompt_embeds"] = encoded.pooled
    negative = request.negative_prompt
    if negative is None and conditioning.empty_negative == "zeros":
        # diffusers makes zeros of the same shape.
        return {**arguments, "prompt_embeds": encoded.embeddings}
    texts = request.negative_texts()
    against = encode_prompt(
        pipeline, conditioning, texts, negative=True, clip_skip=skip, chunks=chunks
    )
    empty = encode_prompt(pipeline, conditioning, ("",), clip_skip=skip).embeddings
    length = max(each.embeddings.shape[1] for each in (encoded, against))
    arguments["prompt_embeds"] = _fill_up(encoded.embeddings, empty, length)
    arguments["negative_prompt_embeds"] = _fill_up(against.embeddings, empty, length)
    if against.pooled is not None:
        arguments["negative_pooled_prompt_embeds"] = against.pooled
    if "prompt_2" not in arguments:
        arguments.pop("negative_prompt_2", None)
    return arguments


def _fill_up(embeddings: torch.Tensor, empty: torch.Tensor, length: int) -> torch.Tensor:
    """Add encodings of the empty text (1, tokens, features) until there are ``length`` rows."""
    missing = (length - embeddings.shape[1]) // empty.shape[1]
    return torch.cat([embeddings, *[empty] * missing], dim=1)


def encode_prompt(
    pipeline: Any,
    conditioning: Conditioning,
    texts: Sequence[str],
    *,
    negative: bool = False,
    syntax: PromptSyntax = "a1111",
    clip_skip: int = 0,
    chunks: int = 1,
) -> EncodedPrompt:
    """Encode a prompt with each text encoder, and weigh what it gives.

    Args:
        pipeline: with the encoders and their tokenizers, as diffusers names them.
        conditioning: of the checkpoint's family.
        texts: what each encoder reads. One for which there is none reads what the first one does,
            as in diffusers.
        negative: whether it is a negative prompt.
        syntax: how the texts are read.
        clip_skip: how many of the encoders' last layers are left out.
        chunks: the most chunks that the prompt may have; a plain one has a single one.

    Raises:
        UsageError: for a prompt that cannot be read.
    """
    read = []
    for place, use in enumerate(conditioning.encoders):
        tokenizer = getattr(pipeline, use.component.replace("text_encoder", "tokenizer"))
        text, name = (
            texts[place if place < len(texts) else 0],
            "negative prompt" if negative else "prompt",
        )
        parts = [WeightedText(text, 1.0)]
        if syntax != "plain":
            parts = parse_weights(text, name, negative=negative)
        read.append(tokenize(tokenizer, parts, 1 if syntax == "plain" else chunks))
    # Another text may be longer for the other encoder.
    count = max(map(len, read))
    states: list[torch.Tensor] = []
    pooled: list[torch.Tensor] = []
    for use, found in zip(conditioning.encoders, read, strict=True):
        encoder = getattr(pipeline, use.component)
        tokenizer = getattr(pipeline, use.component.replace("text_encoder", "tokenizer"))
        device = next(encoder.parameters()).device
        [nothing] = tokenize(tokenizer, [], 1)
        joined: list[torch.Tensor] = []
        for ids, weights in [*found, *[nothing] * (count - len(found))]:
            with torch.no_grad():
                encoded = encoder(torch.tensor([ids], device=device), output_hidden_states=True)
                state = _choose_state(encoder, encoded, use, clip_skip)
            if use.pooled and not joined:
                pooled.append(encoded.text_embeds)
            joined.append(weigh_states(state, torch.tensor(weights, device=device)))
        states.append(torch.cat(joined, dim=1))
    return EncodedPrompt(
        _join(pipeline, conditioning, states), torch.cat(pooled, dim=-1) if pooled else None
    )


def _join(pipeline: Any, conditioning: Conditioning, states: list[torch.Tensor]) -> torch.Tensor:
    """Join the states of all encoders as the denoiser reads them."""
    if conditioning.join == "features":
        return torch.cat(states, dim=-1)
    width = pipeline.transformer.config.joint_attention_dim
    # The third encoder can be left out: zeros are in the place of its states then.
    side_by_side = torch.cat(states[:2], dim=-1)
    behind = states[2] if len(states) > 2 else side_by_side.new_zeros(1, conditioning.room, width)
    padded = torch.nn.functional.pad(side_by_side, (0, width - side_by_side.shape[-1]))
    return torch.cat([padded, behind], dim=1)


def _choose_state(
    encoder: Any, encoded: Any, use: ConditioningEncoder, clip_skip: int
) -> torch.Tensor:
    """Return the state that diffusers' pipelines take with ``clip_skip``."""
    state: torch.Tensor
    if use.hidden_state is not None:
        state = encoded.hidden_states[use.hidden_state - clip_skip]
    elif clip_skip == 0:
        state = encoded.last_hidden_state
    else:
        # transformers 5 has no level between CLIPTextModel and its modules.
        norm = getattr(encoder, "text_model", encoder).final_layer_norm
        state = norm(encoded.hidden_states[-1 - clip_skip])
    return state


def tokenize(
    tokenizer: Any, parts: list[WeightedText], chunks: int = 1
) -> list[tuple[list[int], list[float]]]:
    """Return the chunks of a text: ids and the weight of each, as many as the encoder takes.

    Args:
        tokenizer: of a text encoder.
        parts: of the text.
        chunks: the most chunks; what does not fit is cut.
    """
    capacity = tokenizer.model_max_length - len(_begin(tokenizer)) - 1
    comma = tokenizer(",", add_special_tokens=False).input_ids
    read: list[list[tuple[int, float]]] = [[]]
    last_comma = -1
    for part in parts:
        if part.new_chunk:
            read.append([])
            last_comma = -1
        for token in tokenizer(part.text, add_special_tokens=False).input_ids:
            full = len(read[-1]) == capacity
            if [token] == comma:
                last_comma = len(read[-1])
            elif (
                full
                and len(read) < chunks
                and last_comma >= 0
                and len(read[-1]) - last_comma <= COMMA_BACKTRACK
            ):
                # The phrase behind the comma goes with what follows it.
                read.append(read[-1][last_comma + 1 :])
                del read[-2][last_comma + 1 :]
                last_comma = -1
            if len(read[-1]) == capacity:
                read.append([])
                last_comma = -1
            read[-1].append((token, part.weight))
    if not read[-1] and len(read) > 1:
        read.pop()
    return [_complete(tokenizer, chunk, capacity) for chunk in read[:chunks]]


def _complete(
    tokenizer: Any, chunk: list[tuple[int, float]], capacity: int
) -> tuple[list[int], list[float]]:
    """Add what begins, ends and fills a chunk, and weighs 1."""
    missing = capacity - len(chunk)
    begin = _begin(tokenizer)
    ids, weights = [token for token, _ in chunk], [weight for _, weight in chunk]
    return (
        [*begin, *ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * missing],
        [*[1.0] * len(begin), *weights, 1.0, *[1.0] * missing],
    )


def _begin(tokenizer: Any) -> list[int]:
    """Return the ids that begin a text; none for T5's tokenizer."""
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


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
