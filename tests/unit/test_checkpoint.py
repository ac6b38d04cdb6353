"""Checkpoints that are not what they should be: each named, each with a hint."""

import json
import logging
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from wsd.bundle.builder import _digest_parameters
from wsd.checkpoint.checkpoint import open_checkpoint, read_configurations
from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import find_checkpoint, open_chosen
from wsd.errors import CheckpointError
from wsd.models.resolution import check_sizes
from wsd.models.schedulers import describe_noise_schedule
from wsd.spec.parameter import shapes

UNET_FILE = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    return folder


def read_unet(folder, family, library):
    source = open_checkpoint(folder, family).source
    return list(source.tensors(family.component("denoiser"), shapes(library.parameters["unet"])))


@pytest.mark.slow
def test_a_good_checkpoint_gives_every_tensor_in_order(checkpoint, family, library):
    tensors = read_unet(checkpoint, family, library)
    assert [tuple(t.shape) for t in tensors] == [p.shape for p in library.parameters["unet"]]
    stored = load_file(checkpoint / "unet" / UNET_FILE)
    for parameter, tensor in zip(library.parameters["unet"], tensors, strict=True):
        assert torch.equal(tensor, stored[parameter.name])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(family, tmp_path, monkeypatch):
    monkeypatch.setenv("WSD_CACHE", str(tmp_path / "one"))
    one = random_checkpoint(family, 0)
    monkeypatch.setenv("WSD_CACHE", str(tmp_path / "other"))
    again = random_checkpoint(family, 0)
    assert again != one
    for path in sorted(one.rglob("*.safetensors")):
        assert path.read_bytes() == (again / path.relative_to(one)).read_bytes()
    other = random_checkpoint(family, 1)
    assert (other / "unet" / UNET_FILE).read_bytes() != (again / "unet" / UNET_FILE).read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "checkpoint ./missing does not exist"),
        ("model.ckpt", "is a pickle"),
        ("model.safetensors", "checkpoint ./model.safetensors does not exist"),
    ],
)
def test_what_is_no_checkpoint_folder(family, name, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        find_checkpoint(f"./{name}", family)
    assert caught.value.hint


def test_a_missing_component(copy, family):
    shutil.rmtree(copy / "vae")
    with pytest.raises(CheckpointError, match=r"copy has no folder vae"):
        open_checkpoint(copy, family)


@pytest.mark.slow
def test_a_missing_weights_file(copy, family, library):
    (copy / "unet" / UNET_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"unet: no \.safetensors file here"):
        read_unet(copy, family, library)


@pytest.mark.parametrize("keep", [0, 7, 1000, -4])
def test_a_truncated_weights_file(copy, family, library, keep):
    path = copy / "unet" / UNET_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_unet(copy, family, library)


@pytest.mark.slow
def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(copy, family, library):
    path = copy / "unet" / UNET_FILE
    tensors = load_file(path)
    tensors["conv_in.weight"] = torch.zeros(64, 5, 3, 3)
    save_file(tensors, path)
    expected = r"tensor conv_in.weight has shape \[64, 5, 3, 3\], expected \[64, 4, 3, 3\]"
    with pytest.raises(CheckpointError, match=expected):
        read_unet(copy, family, library)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"),
    [
        (f"unet/{UNET_FILE}", "conv_out.bias"),
        (f"vae/{UNET_FILE}", "decoder.mid_block.attentions.0.to_q.weight"),
        ("text_encoder/model.safetensors", "final_layer_norm.weight"),
    ],
)
def test_a_missing_tensor_is_named_before_anything_is_compiled(copy, family, file, name):
    tensors = load_file(copy / file)
    del tensors[name]
    save_file(tensors, copy / file)
    with pytest.raises(CheckpointError, match=rf"{Path(file).parent}: tensor {name} is missing"):
        open_checkpoint(copy, family)


@pytest.mark.slow
def test_a_layer_that_the_configuration_has_and_the_file_has_not(copy, family):
    path = copy / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "time_cond_proj_dim": 32}))
    with pytest.raises(CheckpointError, match=r"time_embedding.cond_proj.weight is missing"):
        open_checkpoint(copy, family)
    path = copy / "unet" / UNET_FILE
    save_file({**load_file(path), "time_embedding.cond_proj.weight": torch.ones(64, 32)}, path)
    [unet] = (c for c in open_checkpoint(copy, family).family.components if c.id == "unet")
    assert unet.config["time_cond_proj_dim"] == 32


@pytest.mark.slow
def test_how_many_tensors_are_missing_is_told(copy, family):
    path = copy / "text_encoder" / "config.json"
    layers = json.loads(path.read_text())["num_hidden_layers"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": layers + 1}))
    with pytest.raises(CheckpointError, match=rf"encoder.layers.{layers}\S+ \(and 15 more\) is mi"):
        open_checkpoint(copy, family)


@pytest.mark.slow
def test_a_vae_without_its_encoder_draws(copy, family, library):
    """No picture is encoded."""
    path = copy / "vae" / UNET_FILE
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if not k.startswith(("encoder", "quant"))}, path)
    expected = shapes(library.parameters["vae"])
    source = open_checkpoint(copy, family).source
    read = source.tensors(family.component("vae_decoder"), expected)
    assert all(torch.equal(v, tensors[n]) for n, v in zip(expected, read, strict=True))


@pytest.mark.parametrize("name", ["mine@v2.safetensors", "me@host/model.safetensors"])
def test_a_path_with_an_at_sign(family, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert find_checkpoint(str(path), family) == path
    with pytest.raises(CheckpointError, match="does not exist"):
        find_checkpoint(f"{path}.safetensors", family)


@pytest.mark.slow
def test_a_tokenizer_that_is_not_read_is_said(copy, family, tmp_path, caplog):
    other = tmp_path / "tokenizer"
    shutil.copytree(copy / "tokenizer", other)
    with caplog.at_level(logging.WARNING):
        open_chosen(family, str(copy), tokenizer=other)
    assert "copy has a folder tokenizer, which is read, and not" in caplog.text
    caplog.clear()
    shutil.rmtree(copy / "tokenizer")
    with caplog.at_level(logging.WARNING):
        open_chosen(family, str(copy), tokenizer=other)
    assert not caplog.text


@pytest.mark.slow
def test_a_tensor_with_nan_is_named(copy, family):
    path = copy / "unet" / UNET_FILE
    tensors = load_file(path)
    tensors["conv_out.bias"][0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"conv_out.bias holds NaN"):
        open_checkpoint(copy, family).load(family.component("denoiser"))


def test_another_family(copy, family):
    path = copy / "unet" / "config.json"
    config = json.loads(path.read_text())
    config["cross_attention_dim"] = 768
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="cross_attention_dim is 768, but tiny-sd15 has 96"):
        open_checkpoint(copy, family)


def test_another_class(copy, family):
    path = copy / "unet" / "config.json"
    config = json.loads(path.read_text())
    config["_class_name"] = "UNet2DModel"
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="class is UNet2DModel"):
        open_checkpoint(copy, family)


@pytest.mark.slow
def test_the_old_clip_prefix_is_understood(copy, family, library):
    path = copy / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    plain = {name.removeprefix("text_model."): value for name, value in tensors.items()}
    component = family.component("text_encoder")
    expected = shapes(library.parameters["text_encoder"])
    read = []
    for prefix in ("", "text_model."):
        save_file({prefix + name: value for name, value in plain.items()}, path)
        read.append(list(open_checkpoint(copy, family).source.tensors(component, expected)))
    assert all(torch.equal(a, b) for a, b in zip(*read, strict=True))


@pytest.mark.slow
def test_bf16_weights_are_read(copy, family, library, tmp_path):
    from wsd.bundle.shards import write_shards

    path = copy / "unet" / UNET_FILE
    save_file({name: value.bfloat16() for name, value in load_file(path).items()}, path)
    (tmp_path / "out").mkdir()
    component = family.component("denoiser")
    expected = library.parameters["unet"]
    source = open_checkpoint(copy, family).source
    written = write_shards(
        "unet", expected, lambda wanted: source.tensors(component, shapes(wanted)),
        tmp_path / "out", lambda _: None,
    )  # fmt: skip
    assert all(record.dtype == "float32" for record in written.records)


def change_scheduler(folder, **options):
    path = folder / "scheduler" / "scheduler_config.json"
    config = {**json.loads(path.read_text()), **options}
    path.write_text(json.dumps({key: value for key, value in config.items() if value != "gone"}))


@pytest.mark.slow
def test_a_checkpoint_brings_its_own_scheduler(copy, family):
    change_scheduler(copy, prediction_type="v_prediction", beta_end=0.02)
    found = describe_noise_schedule(open_checkpoint(copy, family).scheduler)
    assert found.prediction_type == "v_prediction"
    assert found.alphas_cumprod[-1] < describe_noise_schedule(family.scheduler).alphas_cumprod[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"_class_name": "CMStochasticIterativeScheduler"}, "CMStochasticIterativeScheduler"),
        ({"_class_name": "gone"}, "_class_name is missing"),
        ({"thresholding": True}, "thresholding=True of .* is not supported"),
    ],
    ids=["class", "nameless", "option"],
)
def test_a_scheduler_that_the_browser_has_not(copy, family, options, message):
    change_scheduler(copy, **options)
    # It would name the scheduler's class too.
    (copy / "model_index.json").unlink()
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(copy, family)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("edge", "said"),
    [(16, None), (33, "--size 264x264"), (256, "--size 2048x2048"), (257, "does not compile"),
     (10**30, "does not compile"), (1, "does not compile"), ([16, 16], None)],
)  # fmt: skip
def test_the_size_that_a_checkpoint_is_of_is_said(copy, family, caplog, edge, said):
    """A size that can be compiled, with the option for it; only then."""
    path = copy / "unet" / "config.json"
    found = {**json.loads(path.read_text()), "sample_size": edge, "_diffusers_version": "0.30.0"}
    path.write_text(json.dumps(found))
    read_configurations(family, DiffusersFolder(copy, family))
    notes = [
        record.getMessage() for record in caplog.records if "sample_size" in record.getMessage()
    ]
    assert len(notes) == (said is not None)
    for note in notes:
        assert said in note
        for size in re.findall(r"--size (\d+)x(\d+)", note):
            assert check_sizes(family, [tuple(map(int, size))])


@pytest.mark.slow
def test_a_hub_id_is_read_from_the_cache_and_its_commit_recorded(
    checkpoint, family, tmp_path, monkeypatch
):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--some-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(checkpoint, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for named in ("someone/some-model", "someone/some-model@main", f"someone/some-model@{commit}"):
        found = open_checkpoint(find_checkpoint(named, family), family)
        assert found.source.provenance == f"someone/some-model@{commit}"
    with pytest.raises(CheckpointError, match="cannot fetch 'someone/other' from the hub"):
        find_checkpoint("someone/other", family)


def test_a_file_that_is_no_checkpoint(family, tmp_path):
    (tmp_path / "model.zip").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"model.zip is not a \.safetensors or \.gguf"):
        find_checkpoint(str(tmp_path / "model.zip"), family)


@pytest.mark.slow
def test_weights_are_told_apart_by_content(copy, family, library):
    """Path, size and times are the same in a Nix store, after `cp -p`, and after `unzip`."""
    path = copy / "unet" / UNET_FILE
    component = family.component("denoiser")
    save_file(load_file(path), path)
    before = path.stat()
    keys, digests = [], []
    for _ in range(2):
        found = open_checkpoint(copy, family)
        keys.append(_digest_parameters(found, library))
        digests.append(found.source.digests(component))
        tensors = load_file(path)
        save_file({name: value + 1 for name, value in tensors.items()}, path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (
            before.st_size,
            before.st_mtime_ns,
        )
    assert len(set(keys)) == 2
    assert digests[0] != digests[1]
