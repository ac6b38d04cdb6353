"""What a self-test expects: made by PyTorch, of these weights, for these functions."""

import json
import math
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from speck import SPECK
from wsd.bundle.self_test import FILE_NAME, find_fixtures, select_stages, write_fixtures
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.errors import CheckpointError
from wsd.models.registry import FAMILIES
from wsd.util.progress import Quiet

SHIPPED = [name for name, family in FAMILIES.items() if family.weights is not None]


@pytest.mark.slow
@pytest.mark.parametrize("model", SHIPPED)
def test_what_ships_is_what_pytorch_gives(model, tmp_path):
    family = FAMILIES[model]
    checkpoint = open_checkpoint(family.weights, family)
    shipped = json.loads((family.weights / FILE_NAME).read_text())
    out = tmp_path / "again.json"
    write_fixtures(checkpoint, family.sizes[0], shipped["prompt"], out, Quiet())
    again = json.loads(out.read_text())
    for ours, anew in zip(shipped.pop("stages"), again.pop("stages"), strict=True):
        for name, output in ours.pop("outputs").items():
            found = anew["outputs"][name]
            assert found["stride"] == output["stride"]
            np.testing.assert_allclose(found["samples"], output["samples"], rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(found["rms"], output["rms"], rtol=1e-4)
        del anew["outputs"]
        assert ours == anew
    assert shipped == again


def test_samples_are_of_the_whole_result():
    family = FAMILIES["tiny-sd15"]
    table = json.loads((family.weights / FILE_NAME).read_text())
    for stage in table["stages"]:
        for output in stage["outputs"].values():
            values = output["stride"] * len(output["samples"])
            assert (
                0
                <= output["block"] * len(output["rms"]) - values
                < max(output["block"], values / 10)
            )
            assert math.isfinite(sum(output["samples"]))


@pytest.mark.slow
def test_a_checkpoint_of_its_own(family, library, checkpoint):
    opened = open_checkpoint(checkpoint, family)
    path = find_fixtures(opened, None)
    assert path == checkpoint / FILE_NAME
    stages = select_stages(path, opened, library).stages
    assert [stage.entry_point for stage in stages] == [
        "text_encoder", "denoiser_128x128", "guided_denoiser_128x128", "vae_decoder_128x128",
        "vae_decoder_tile", "vae_encoder_128x128", "vae_encoder_tile",
    ]  # fmt: skip


@pytest.mark.slow
def test_only_functions_that_are_there(family, library, checkpoint, tmp_path):
    path = tmp_path / "expected.json"
    table = json.loads((checkpoint / FILE_NAME).read_text())
    for stage in table["stages"]:
        stage["entry_point"] = stage["entry_point"].replace("128", "64")
    path.write_text(json.dumps(table))
    opened = open_checkpoint(checkpoint, family)
    kept = select_stages(path, opened, library).stages
    assert [stage.entry_point for stage in kept] == [
        "text_encoder", "vae_decoder_tile", "vae_encoder_tile",
    ]  # fmt: skip
    table["stages"] = [s for s in table["stages"] if "64" in s["entry_point"]]
    path.write_text(json.dumps(table))
    assert select_stages(path, opened, library) is None


@pytest.mark.slow
def test_stages_by_names_of_an_older_version(family, library, checkpoint, tmp_path):
    table = json.loads((checkpoint / FILE_NAME).read_text())
    table["stages"][1]["entry_point"] = "unet_128x128"
    path = tmp_path / "old.json"
    path.write_text(json.dumps(table))
    with pytest.raises(CheckpointError, match="old.json has values of unet_128x128") as caught:
        select_stages(path, open_checkpoint(checkpoint, family), library)
    assert caught.value.hint == "make it anew with: wsd expect"


def test_other_weights(family, library, checkpoint, tmp_path):
    table = json.loads((checkpoint / FILE_NAME).read_text())
    table["weights"]["unet"] = ["0" * 64]
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(table))
    with pytest.raises(CheckpointError, match="of other weights of unet"):
        select_stages(path, open_checkpoint(checkpoint, family), library)


@pytest.mark.parametrize("text", ["", "[]", '{"stages": []}', "{"])
def test_no_expectation_at_all(family, library, checkpoint, tmp_path, text):
    path = tmp_path / "expected.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="Input should be|Field required|is missing|not JSON"):
        select_stages(path, open_checkpoint(checkpoint, family), library)


def test_random_weights_bring_none():
    assert find_fixtures(open_checkpoint(choose_checkpoint(SPECK, None, 0), SPECK), None) is None


@pytest.mark.slow
def test_a_self_test_beside_weights_that_were_changed_is_left_out(
    family, checkpoint, tmp_path, caplog
):
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    assert find_fixtures(open_checkpoint(folder, family), None) == folder / FILE_NAME
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path)
    assert find_fixtures(open_checkpoint(folder, family), None) is None
    assert "of other weights of unet, so the bundle has no self-test" in caplog.text
