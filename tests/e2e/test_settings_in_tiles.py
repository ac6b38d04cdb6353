"""Settings in the browser: tiles of a chosen size and overlap, and stages that stay on the GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from speck import TILED
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifests, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.evaluate.metrics import psnr, relative_error
from wsd.evaluate.tiled_autoencoder import use_tiles
from wsd.evaluate.tiled_decode import decode_tiles, encode_tiles
from wsd.runtime.request import GenerationRequest
from wsd.runtime.settings import planned_peak
from wsd.spec.inference_settings import (
    DecodeSettings,
    DiffusionSettings,
    SwapperSettings,
    TilingSettings,
)
from wsd.spec.tolerances import PEAK_MEMORY_MARGIN
from wsd.util.progress import Quiet

DRAWING = GenerationRequest("a large red circle", seed=1, steps=2)
LATENTS = np.random.default_rng(5).standard_normal((4, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    checkpoint = open_checkpoint(choose_checkpoint(TILED, None, 0), TILED)
    library = compile_library(TILED, TILED.sizes, "f32", Quiet())
    folder = tmp_path_factory.mktemp("tiled") / "bundle"
    return build_bundle(checkpoint, library, folder, Quiet()), checkpoint


def tiling(edge, overlap):
    tiles = TilingSettings(enabled=True, tile_size=edge, overlap=overlap)
    return DiffusionSettings(decode=DecodeSettings(tiling=tiles))


def decoder_of(vae):
    def decode(cut):
        scaled = torch.tensor(cut[None]) / vae.config.scaling_factor
        with torch.no_grad():
            return vae.decode(scaled).sample[0].numpy()

    return decode


@pytest.mark.exhaustive
def test_tile_size_and_overlap_are_those_of_the_settings(open_model, tiled):
    bundle, checkpoint = tiled
    vae = load_pipeline(checkpoint).vae
    image = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    scaled = 2 * (np.moveaxis(image, -1, 0).astype(np.float32) / 255) - 1

    def encode(tile):
        with torch.no_grad():
            return vae.encode(torch.tensor(tile[None])).latent_dist.parameters[0].numpy()

    decoded = {}
    for edge, overlap in ((8, 0.0), (8, 0.25), (12, 0.25)):
        with open_model(bundle, settings=tiling(edge, overlap)) as renderer:
            found = decoded[edge, overlap] = renderer.decode_latents(LATENTS, (16, 16))
            moments = renderer.encode_image(image)
        expected = decode_tiles(decoder_of(vae), LATENTS, edge, 1, overlap).image
        assert relative_error(found, expected) < 1e-4
        encoded = encode_tiles(encode, scaled, edge, 1, overlap)
        assert relative_error(moments, encoded) < 1e-4
    assert relative_error(decoded[8, 0.0], decoded[8, 0.25]) > 1e-3
    assert relative_error(decoded[8, 0.25], decoded[12, 0.25]) > 1e-3
    # Where tiles fit side by side, diffusers' own tiles are the same.
    vae.enable_tiling()
    vae.tile_sample_min_size = vae.tile_latent_min_size = 8
    vae.tile_overlap_factor = 0
    assert relative_error(decoded[8, 0.0], decoder_of(vae)(LATENTS)) < 1e-4


@pytest.mark.exhaustive
def test_a_call_has_tiles_of_its_own(open_model, tiled):
    bundle, checkpoint = tiled
    pipeline = load_pipeline(checkpoint)
    use_tiles(pipeline.vae, 8, 1, 0.25)
    given = {"decode": {"tiling": {"enabled": True, "tileSize": 8}}}
    with open_model(bundle) as renderer:
        whole = renderer.draw(DRAWING)
        options = {"seed": 1, "numInferenceSteps": 2}
        drawn = renderer.draw_with(DRAWING.prompt, {**options, "settings": given})
        again = renderer.draw(DRAWING)
        steps = renderer.draw_with(DRAWING.prompt, {"seed": 1, "settings": {
            "scheduler": {"numSteps": 2}}})  # fmt: skip
        for bad, path in (
            ({"decode": {"tiling": {"overlap": 0.6}}}, "decode.tiling.overlap is 0.6"),
            ({"decode": {"tiling": {"tileSize": 10}}}, "decode.tiling.tileSize is 10"),
            ({"decode": {"tiling": {"tileSize": 24}}}, "decode.tiling.tileSize is 24"),
            ({"swapper": {"strategy": "lru"}}, 'swapper.strategy is "lru"'),
        ):
            with pytest.raises(UsageError) as refused:
                renderer.draw_with(DRAWING.prompt, {"settings": bad})
            assert f"inference.diffusion.{path}" in str(refused.value)
        with pytest.raises(UsageError, match="tileSize is 16"):
            renderer.draw_with(DRAWING.prompt, {"width": 8, "height": 8, "settings": {
                "decode": {"tiling": {"tileSize": 16}}}})  # fmt: skip
    np.testing.assert_array_equal(drawn.latents, whole.latents)
    np.testing.assert_array_equal(steps.latents, whole.latents)
    np.testing.assert_array_equal(again.images, whole.images)
    assert not np.array_equal(drawn.images, whole.images)
    latents = torch.tensor(drawn.latents.reshape(1, 4, 16, 16))
    with torch.no_grad():
        expected = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample[0]
    shown = np.moveaxis(np.clip(127.5 * expected.numpy() + 127.5, 0, 255), 0, -1)
    assert psnr(drawn.images[0], shown) > 40


@pytest.mark.exhaustive
def test_stages_that_are_kept_stay_on_the_gpu_as_planned(open_model, speck, speck_renderer):
    manifest = read_manifest(find_manifests(speck[0])[0])
    sizes = {c.role: c.bytes for c in manifest.components.values()}
    everything = DiffusionSettings(swapper=SwapperSettings(enabled=True))
    evict = ("denoiser", "vae_decoder", "vae_encoder")
    kept = DiffusionSettings(swapper=SwapperSettings(enabled=True, evict=evict))
    held, drawn = {}, {}
    for name, settings in (("all", everything), ("kept", kept)):
        with open_model(speck[0], settings=settings) as renderer:
            for _ in range(2):
                drawn[name] = renderer.draw(replace(DRAWING, images=2))
            usage = renderer.usage()
            held[name] = usage["gpuBytes"]
            assert usage["peakGpuBytes"] <= PEAK_MEMORY_MARGIN * planned_peak(manifest, settings)
            assert usage["peakGpuBytes"] > sizes["denoiser"]
    # Beside the decoder's weights and what it works in, those of the text encoder.
    assert abs(held["kept"] - held["all"] - sizes["text_encoder"]) < 8192
    assert planned_peak(manifest, kept) > planned_peak(manifest, everything)
    expected = speck_renderer.draw(replace(DRAWING, images=2))
    for name in ("all", "kept"):
        np.testing.assert_array_equal(drawn[name].images, expected.images)
