"""LoRAs that programs load into a page by the driver, as measurements do."""

import shutil

import numpy as np
import pytest

from adapters_data import write_adapter
from speck import SPECK
from wsd.errors import RenderError, UsageError
from wsd.runtime.request import GenerationRequest

REQUEST = GenerationRequest("a star", steps=2, seed=3)


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
