"""Guidance by one call of the UNet, and by two where a GPU has no buffers for one."""

import json
import shutil

from wsd.bundle.manifest import find_manifests
from wsd.evaluate.metrics import relative_error
from wsd.runtime.request import GenerationRequest

DRAWING = GenerationRequest("a large red circle", guidance_scale=6.0, seed=1, steps=2)


def test_two_calls_give_what_one_gives(open_model, speck, speck_renderer, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(speck[0], copy)
    (path,) = find_manifests(copy)
    manifest = json.loads(path.read_text())
    (guided,) = [e for e in manifest["entry_points"] if e["role"] == "guided_denoiser"]
    guided["largest_buffer_bytes"] = 1 << 50
    path.write_text(json.dumps(manifest))
    at_once = speck_renderer.draw(DRAWING)
    with open_model(copy) as renderer:
        apart = renderer.draw(DRAWING)
    left_out = ("guided_denoiser", "vae_decoder_tile")
    used = [set(e["kernels"]) for e in manifest["entry_points"] if e["role"] not in left_out]
    assert apart.usage["pipelines"] == len(set.union(*used)) != at_once.usage["pipelines"]
    assert relative_error(apart.latents, at_once.latents) < 1e-5
