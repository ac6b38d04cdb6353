"""What a library has for long prompts: functions of their own, and room in the planned memory."""

from dataclasses import replace

import pytest

from speck import LONG
from traced import MIB, cached_trace
from wsd.compiler.memory import image_peaks, parameter_bytes, peaks
from wsd.spec.roles import (
    CHUNKED_DENOISER,
    GUIDED_CHUNKED_DENOISER,
    LAYERED_TEXT_ENCODER,
    TEXT_STATES,
)

pytestmark = [pytest.mark.full, pytest.mark.slow]

OF_CHUNKS = (CHUNKED_DENOISER, GUIDED_CHUNKED_DENOISER)


@pytest.fixture(scope="module")
def library():
    return cached_trace(LONG)


def with_workspace(library, role, count):
    """Return a library whose last function of a role allocates so many bytes."""
    last = library.entries(role, *LONG.sizes)[-1]
    entries = [
        replace(entry, workspace_bytes=count) if entry == last else entry
        for entry in library.entry_points
    ]
    return replace(library, entry_points=tuple(entries))


@pytest.mark.exhaustive
def test_short_prompts_keep_their_functions_and_weights(library):
    one = cached_trace(replace(LONG, prompt_chunks=1))
    others = [entry for entry in library.entry_points if entry.role not in OF_CHUNKS]
    assert others == list(one.entry_points)
    assert library.parameters == one.parameters


def test_each_number_of_chunks_has_its_functions(library):
    for role in OF_CHUNKS:
        lengths = [
            spec.shape[1]
            for entry in library.entries(role, *LONG.sizes)
            for spec in entry.inputs
            if spec.name == TEXT_STATES
        ]
        # At least 225 tokens, between one that begins and one that ends each chunk.
        assert lengths == [2 * 77, 3 * 77]


@pytest.mark.parametrize("planned", [peaks, image_peaks], ids=["text", "picture"])
def test_the_planned_memory_has_room_for_any_number_of_chunks(library, planned):
    longest = with_workspace(library, GUIDED_CHUNKED_DENOISER, 5 * MIB)
    for before, after in zip(planned(library), planned(longest), strict=True):
        if after.offload:
            assert after.bytes == parameter_bytes(library, "unet") + 5 * MIB > before.bytes
        else:
            # The encoder's two functions needed most before, one MiB each.
            assert after.bytes - before.bytes == 3 * MIB


def test_the_planned_memory_has_room_for_clip_skip(library):
    """Of one picture, the prompt may skip layers and the negative one none."""
    more = with_workspace(library, LAYERED_TEXT_ENCODER, 9 * MIB)
    for before, after in zip(peaks(library), peaks(more), strict=True):
        if after.offload:
            assert after.bytes == parameter_bytes(library, "text_encoder") + 10 * MIB > before.bytes
        else:
            assert after.bytes - before.bytes == 8 * MIB
