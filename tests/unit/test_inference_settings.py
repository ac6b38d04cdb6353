"""Settings of inference: their schema, files of them, and what a model refuses, by their path."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from commands import wsd
from tools.generate_types import settings_schema
from wsd.bundle.manifest import read_manifest
from wsd.errors import UsageError
from wsd.evaluate.tiled_decode import tile_starts, tile_weights
from wsd.runtime.driver import LoadOptions
from wsd.runtime.request import GenerationRequest
from wsd.runtime.settings import (
    check_settings,
    list_stages,
    planned_peak,
    read_settings,
    settle_request,
    tile_of,
    with_ways,
)
from wsd.spec.inference_settings import DEFAULTS, STAGES, DiffusionSettings, SettingsDocument
from wsd.spec.peak_memory import Way, plan_peak
from wsd.spec.tiles import find_tile, tile_sizes

FIXTURE = Path(__file__).parents[1] / "fixtures/manifest-v2.json"
# Every field that the settings have.
WHOLE = {
    "scheduler": {"type": "euler", "numSteps": 8, "guidanceScale": 2.5, "eta": 0},
    "latent": {"width": 24, "height": 24, "channels": 4, "dtype": "float32"},
    "textEncoder": {"maxLength": 77},
    "decode": {
        "outputDtype": "float32",
        "tiling": {"enabled": True, "tileSize": 96, "overlap": 0.5},
    },
    "swapper": {"enabled": True, "strategy": "sequential", "evict": ["denoiser"]},
    "quantization": {"weightDtype": "f32", "dequantize": "none"},
}
# What the schema refuses, and the path in the error.
BAD = [
    ({"decode": {"tiling": {"overlap": 0.51}}}, "decode.tiling.overlap"),
    ({"decode": {"tiling": {"overlap": -0.1}}}, "decode.tiling.overlap"),
    ({"decode": {"tiling": {"overlap": "0.2"}}}, "decode.tiling.overlap"),
    ({"decode": {"tiling": {"tileSize": 0}}}, "decode.tiling.tileSize"),
    ({"decode": {"tiling": {"tileSize": 96.5}}}, "decode.tiling.tileSize"),
    ({"decode": {"tiling": {"enabled": 1}}}, "decode.tiling.enabled"),
    ({"decode": {"tiling": {"tile_sizes": 1}}}, "decode.tiling.tile_sizes"),
    ({"decode": {"outputDtype": "uint8"}}, "decode.outputDtype"),
    ({"swapper": {"strategy": "lru"}}, "swapper.strategy"),
    ({"swapper": {"evict": ["unet"]}}, "swapper.evict.0"),
    ({"swapper": {"evict": ["denoiser", "denoiser"]}}, "swapper.evict"),
    ({"scheduler": {"guidanceScale": 51}}, "scheduler.guidanceScale"),
    ({"scheduler": {"eta": 1.5}}, "scheduler.eta"),
    ({"quantization": {"weightDtype": "q4"}}, "quantization.weightDtype"),
    ({"tiling": {}}, "tiling"),
]
# What the fixture's model refuses.
OF_MODEL = [
    ({"scheduler": {"type": "ddim"}}, 'scheduler.type is "ddim"', "euler"),
    ({"scheduler": {"numSteps": 101}}, "scheduler.numSteps is 101", "1 to 100"),
    ({"latent": {"width": 25}}, "latent.width", "24x24"),
    ({"latent": {"height": 48}}, "latent.height", "24x24"),
    ({"latent": {"channels": 16}}, "latent.channels is 16", "4"),
    ({"textEncoder": {"maxLength": 75}}, "textEncoder.maxLength is 75", "77"),
    ({"decode": {"tiling": {"tileSize": 128}}}, "decode.tiling.tileSize is 128", "96, 192"),
    ({"swapper": {"evict": ["vae_encoder"]}}, 'swapper.evict.0 is "vae_encoder"', "denoiser"),
    ({"quantization": {"weightDtype": "f16"}}, 'quantization.weightDtype is "f16"', '"f32"'),
    ({"quantization": {"dequantize": "kernel"}}, "quantization.dequantize", '"none"'),
]


@pytest.fixture(scope="module")
def manifest():
    return read_manifest(FIXTURE)


def write(folder, diffusion):
    path = folder / "settings.json"
    path.write_text(json.dumps({"inference": {"diffusion": diffusion}}), encoding="utf-8")
    return path


def parse(diffusion):
    document = {"inference": {"diffusion": diffusion}}
    return SettingsDocument.model_validate_json(json.dumps(document)).inference.diffusion


@pytest.mark.slow
def test_the_schema_takes_what_the_types_take():
    validator = jsonschema.Draft202012Validator(settings_schema())
    validator.check_schema(settings_schema())
    for given in (WHOLE, {}, DEFAULTS.model_dump(mode="json", by_alias=True)):
        validator.validate({"inference": {"diffusion": given}})
    for given, _ in BAD:
        assert list(validator.iter_errors({"inference": {"diffusion": given}})), given


def test_a_file_gives_every_field(tmp_path, manifest):
    settings = read_settings(write(tmp_path, WHOLE))
    assert settings.model_dump(mode="json", by_alias=True) == WHOLE
    check_settings(manifest, settings, (192, 192))
    # The page gets it as it is.
    assert LoadOptions(settings=settings).given() == {"settings": WHOLE}
    given = LoadOptions(offload=True, tiling=True, settings=settings).given()
    assert given == {"settings": WHOLE, "offload": True, "tiling": True}


@pytest.mark.parametrize("text", ["{}", '{"inference": {}}', '{"inference": {"diffusion": {}}}'])
def test_a_file_may_give_nothing(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text, encoding="utf-8")
    assert read_settings(path) == DiffusionSettings()


@pytest.mark.parametrize(("given", "path"), BAD)
def test_what_the_schema_refuses_is_named_by_its_path(tmp_path, given, path):
    with pytest.raises(UsageError) as refused:
        read_settings(write(tmp_path, given))
    assert f"inference.diffusion.{path}: " in str(refused.value)


def test_settings_without_their_root_are_refused(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(WHOLE), encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        read_settings(path)
    assert "inference.diffusion" in refused.value.hint


@pytest.mark.parametrize(("given", "message", "hint"), OF_MODEL)
def test_what_a_model_refuses_is_named_by_its_path(manifest, given, message, hint):
    with pytest.raises(UsageError) as refused:
        check_settings(manifest, parse(given))
    assert f"inference.diffusion.{message}" in str(refused.value)
    assert hint in refused.value.hint


def test_a_tile_must_not_be_larger_than_the_picture(manifest):
    settings = parse({"decode": {"tiling": {"tileSize": 192}}})
    check_settings(manifest, settings, (192, 192))
    with pytest.raises(UsageError, match=r"inference\.diffusion\.decode\.tiling\.tileSize is 192"):
        check_settings(manifest, settings, (192, 96))


def test_the_command_ends_with_2_and_names_the_path(tmp_path, capsys):
    path = write(tmp_path, {"decode": {"tiling": {"overlap": 0.6}}})
    code, _ = wsd("render", tmp_path, "--prompt", "a star", "--settings", path,
                     "--out", tmp_path / "a.png")  # fmt: skip
    assert code == 2
    assert "inference.diffusion.decode.tiling.overlap" in capsys.readouterr().err


@pytest.mark.slow
def test_the_reference_draws_in_the_same_tiles(tmp_path, capsys):
    def draw(name, *more):
        out = tmp_path / name
        words = ("--model", "speck", "--random-weights", 0, "--prompt", "a star", "--steps", 1)
        code, _ = wsd("reference", *words, "--out", out, *more)
        assert code == 0, capsys.readouterr().err
        return np.asarray(Image.open(out), np.float64)

    whole = draw("whole.png")
    tiling = {"enabled": True, "tileSize": 8, "overlap": 0}
    apart = draw("apart.png", "--settings", write(tmp_path, {"decode": {"tiling": tiling}}))
    tiling["overlap"] = 0.5
    shared = draw("shared.png", "--settings", write(tmp_path, {"decode": {"tiling": tiling}}))
    assert not np.array_equal(whole, apart)
    assert not np.array_equal(apart, shared)
    tiling["tileSize"] = 24
    settings = write(tmp_path, {"decode": {"tiling": tiling}})
    code, _ = wsd("reference", "--model", "speck", "--random-weights", 0, "--prompt", "a star",
                  "--out", tmp_path / "no.png", "--settings", settings)  # fmt: skip
    assert code == 2
    assert "inference.diffusion.decode.tiling.tileSize is 24" in capsys.readouterr().err


def test_settings_stand_for_what_a_request_leaves_open(manifest):
    request = GenerationRequest("a star", seed=1, steps=3)
    settled = settle_request(manifest, request, parse(WHOLE))
    expected = replace(request, guidance_scale=2.5, eta=0.0, scheduler="euler", size=(192, 192))
    assert settled == expected
    assert settle_request(manifest, request, DiffusionSettings()) == request


def test_tiles_are_those_that_a_bundle_has_functions_for(manifest):
    assert tile_sizes(manifest) == (96, 192)
    assert tile_sizes(manifest, (192, 128)) == (96,)
    assert [e.name for e in find_tile(manifest, "vae_decoder", 96)] == ["vae_decoder_tile"]
    assert [e.name for e in find_tile(manifest, "vae_decoder", 192)] == ["vae_decoder_192x192"]
    assert tile_of(manifest, None) == (96, 0.25)
    assert tile_of(manifest, parse({"decode": {"tiling": {"tileSize": 192}}})) == (192, 0.25)


def test_memory_is_planned_for_what_is_kept(manifest):
    def plan(**swapper):
        return planned_peak(manifest, parse({"swapper": swapper}))

    size = manifest.defaults.size
    whole = manifest.peak(size, offload=False, tiling=False)
    apart = manifest.peak(size, offload=True, tiling=False)
    assert plan(enabled=False, evict=["denoiser"]) == whole
    assert plan(enabled=True, evict=[]) == whole
    assert plan(enabled=True) == plan(enabled=True, evict=list(list_stages(manifest))) == apart
    # The UNet's stage is the largest, and the text encoders are kept beside it.
    texts = sum(c.bytes for c in manifest.components.values() if c.role == "text_encoder")
    assert plan(enabled=True, evict=["denoiser", "vae_decoder"]) == apart + texts
    settings = with_ways(parse(WHOLE), offload=True, tiling=False)
    assert apart < planned_peak(manifest, settings) < whole
    assert settings.swapper.evict == ("denoiser",)


def test_every_listed_peak_is_planned_alike(manifest):
    for peak in manifest.peak_bytes:
        way = Way(peak.size, STAGES if peak.offload else (), peak.tiling)
        planned = plan_peak(manifest.entries, lambda c: manifest.components[c].bytes, way)
        assert planned == peak.bytes


@pytest.mark.parametrize(("extent", "tile"), [(16, 12), (64, 48), (24, 12), (25, 12)])
@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5])
def test_tiles_cover_an_extent_and_share_what_is_asked(extent, tile, overlap):
    starts = tile_starts(extent, tile, overlap)
    assert (starts[0], starts[-1]) == (0, extent - tile)
    for one, other in itertools.pairwise(starts):
        assert one + tile - other >= np.floor(overlap * tile)
    np.testing.assert_allclose(tile_weights(starts, tile).sum(axis=0), 1)
