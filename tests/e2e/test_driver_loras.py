"""LoRAs that programs load into a page by the driver, as measurements do."""

import shutil

import numpy as np
import pytest

from adapters_data import write_adapter
from speck import SPECK
from wsd.errors import RenderError, UsageError
from wsd.evaluate.lora_times import LORA, time_lora
from wsd.runtime.driver import open_stage_renderer
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

REQUEST = GenerationRequest("a star", steps=2, seed=3)


@pytest.mark.exhaustive
def test_scales_change_and_unloading_leaves_nothing(open_model, speck, tmp_path):
    bundle = shutil.copytree(speck[0], tmp_path / "speck")
    write_adapter(bundle / "loras.safetensors", SPECK, "locon")
    with open_model(bundle) as renderer:
        plain = renderer.draw(REQUEST).latents
        loaded = renderer.load_lora("loras.safetensors", 0.5)
        assert loaded["names"] == ["loras"]
        assert loaded["milliseconds"] > 0
        half = renderer.draw(REQUEST).latents
        renderer.set_adapters({"loras": 1.0})
        whole = renderer.draw(REQUEST).latents
        # From memory, and not from what is there: the same bits come back.
        assert renderer.set_adapters({"loras": 0.5})["names"] == ["loras"]
        np.testing.assert_array_equal(renderer.draw(REQUEST).latents, half)
        assert not np.array_equal(whole, half)
        assert not np.array_equal(plain, half)
        with pytest.raises(UsageError, match="other"):
            renderer.set_adapters({"other": 1.0})
        assert renderer.unload_lora("loras")["names"] == []
        np.testing.assert_array_equal(renderer.draw(REQUEST).latents, plain)
        with pytest.raises(RenderError, match=r"missing\.safetensors"):
            renderer.load_lora("missing.safetensors")


@pytest.mark.exhaustive
def test_what_a_lora_takes_is_measured(open_host, speck, tmp_path):
    path = write_adapter(tmp_path / "any name.safetensors", SPECK, "lora")
    opened = open_stage_renderer(speck[0], Quiet(), open_host=open_host, given={LORA: path})
    with opened as renderer:
        before = renderer.draw(REQUEST).latents
        found = time_lora(renderer, path.stat().st_size)
        assert found.bytes == path.stat().st_size
        times = (found.load_milliseconds, *found.scale_milliseconds, found.unload_milliseconds)
        assert min(times) > 0
        assert len(found.scale_milliseconds) > 1
        assert found.peak_gpu_bytes >= renderer.usage()["gpuBytes"]
        np.testing.assert_array_equal(renderer.draw(REQUEST).latents, before)
