"""Stable Diffusion 3.5's functions become one library: WGSL and WebAssembly."""

import pytest

from grain import GRAIN
from wsd.compiler.driver import compile_library
from wsd.spec.roles import DENOISER, GUIDED_DENOISER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER
from wsd.util.progress import Quiet


@pytest.mark.exhaustive
def test_every_function_compiles():
    library = compile_library(GRAIN, GRAIN.sizes[:1], "f32", Quiet())
    roles = {entry.role: entry for entry in library.entry_points}
    assert {DENOISER, GUIDED_DENOISER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER} <= set(roles)
    for role in (DENOISER, GUIDED_DENOISER):
        kernels = roles[role].kernels
        # Text and picture together, and in the first block the picture alone.
        assert len([name for name in kernels if name.startswith("attention_statistics")]) == 2
        # Queries and keys are normalised by sums of rows, of text and of picture.
        assert any(name.startswith("row_total") for name in kernels)
    assert set(library.parameters) == {
        "text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "vae", "vae_encoder"
    }  # fmt: skip
    names = {parameter.name for parameter in library.parameters["transformer"]}
    assert {"pos_embed.columns", "pos_embed.rows"} <= names
    assert "shared.weight" in {p.name for p in library.parameters["text_encoder_3"]}
