"""What is fetched of a hub repository: exactly what is read, from a small hub on this machine."""

import json
import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from damage import append, cut_short, flip_a_bit, make_empty
from fake_hub import COMMIT, REPOSITORY, FakeHub, read_folder, serve
from marks import some_of
from original_layout import to_original
from rewritten import save_shards, weights_of
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import (
    find_checkpoint,
    find_vae,
    open_chosen,
    open_planned,
    read_variant,
)
from wsd.errors import CheckpointError, FileError

SHIPPED = {
    "README.md", "model_index.json", "scheduler/scheduler_config.json", "self-test.json",
    "text_encoder/config.json", "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
    *(f"example-pictures/{number}.png" for number in range(1, 7)),
    *(f"example-loras/{word}.safetensors" for word in ("dark-red", "pentagon")),
}  # fmt: skip
NEEDLESS = {
    ".gitattributes", "training.json", "v1-5-pruned.safetensors", "v1-5.ckpt",
    "feature_extractor/preprocessor_config.json", "safety_checker/config.json",
    "safety_checker/model.safetensors", "safety_checker/model.fp16.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/flax_model.msgpack",
    "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
    "vae/diffusion_pytorch_model.fp16.safetensors", "text_encoder/pytorch_model.bin",
    "text_encoder/model.fp16.safetensors", "text_encoder/model.onnx", "unet/[old].safetensors",
    "loras/pytorch_lora_weights.safetensors", "unet/._diffusion_pytorch_model.safetensors",
}  # fmt: skip


@pytest.fixture
def hub(checkpoint, tmp_path, monkeypatch):
    files = {**dict.fromkeys(NEEDLESS, b"needless"), "README.md": b"# A model\n"}
    files |= read_folder(checkpoint)
    with serve(FakeHub(files), monkeypatch, tmp_path / "cache") as running:
        yield running


@pytest.mark.slow
def test_exactly_what_is_read_is_fetched(hub, family, monkeypatch):
    path = find_checkpoint(REPOSITORY, family)
    assert open_checkpoint(path, family).source.provenance == f"{REPOSITORY}@{COMMIT}"
    assert set(hub.fetched) == SHIPPED
    # A second time nothing is, and without a network neither.
    assert find_checkpoint(REPOSITORY, family) == path
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for named in (REPOSITORY, f"{REPOSITORY}@main", f"{REPOSITORY}@{COMMIT}"):
        assert find_checkpoint(named, family) == path
    assert len(hub.fetched) == len(SHIPPED)


@pytest.mark.slow
@pytest.mark.parametrize("revision", some_of(["v1.0", "refs/pr/1", COMMIT], 3))
def test_a_revision_can_be_named(hub, family, revision):
    path = find_checkpoint(f"{REPOSITORY}@{revision}", family)
    assert open_checkpoint(path, family).source.provenance == f"{REPOSITORY}@{COMMIT}"
    assert set(hub.fetched) == SHIPPED


@pytest.mark.slow
def test_shards_are_fetched_with_their_index(hub, family, tmp_path):
    folder = tmp_path / "sharded"
    folder.mkdir()
    tensors = load_file(weights_of(family.weights, "unet"))
    save_shards(tensors, folder, "diffusion_pytorch_model", count=3)
    (folder / "diffusion_pytorch_model-00004-of-00004.safetensors").write_bytes(b"stale")
    hub.files.pop("unet/diffusion_pytorch_model.safetensors")
    hub.files |= {f"unet/{name}": data for name, data in read_folder(folder).items()}
    open_checkpoint(find_checkpoint(REPOSITORY, family), family)
    assert {name for name in hub.fetched if name.startswith("unet/")} == {
        "unet/config.json", "unet/diffusion_pytorch_model.safetensors.index.json",
        *(f"unet/diffusion_pytorch_model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)),
    }  # fmt: skip


@pytest.mark.slow
def test_a_variant_is_fetched_where_there_is_nothing_else(hub, family):
    hub.files.pop("unet/diffusion_pytorch_model.safetensors.index.fp16.json")
    for name in [n for n in hub.files if n.endswith(".safetensors") and n in SHIPPED]:
        hub.files[name.replace(".safetensors", ".fp16.safetensors")] = hub.files.pop(name)
    open_checkpoint(find_checkpoint(REPOSITORY, family), family)
    fetched = {name.replace(".fp16.", ".") for name in hub.fetched}
    assert fetched == SHIPPED


@pytest.mark.slow
def test_a_repository_without_safetensors_is_refused_before_its_weights(hub, family):
    hub.files.pop("vae/diffusion_pytorch_model.safetensors")
    hub.files.pop("vae/diffusion_pytorch_model.fp16.safetensors")
    hub.files["vae/diffusion_pytorch_model.bin"] = b"PK"
    with pytest.raises(CheckpointError, match=f"{REPOSITORY}/vae: .* only pickles"):
        find_checkpoint(REPOSITORY, family)
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", some_of(["tiny.safetensors", "old versions/v2/tiny.SAFETENSORS"], 2)
)
@pytest.mark.parametrize("revision", some_of(["", "@v1.0", f"@{COMMIT}"], 3))
def test_one_file_of_a_repository(hub, family, tmp_path, place, revision):
    to_original(family.weights, family, tmp_path / "one.safetensors")
    hub.files[place] = (tmp_path / "one.safetensors").read_bytes()
    path = find_checkpoint(f"{REPOSITORY}/{place}{revision}", family)
    assert hub.fetched == [place]
    source = open_checkpoint(path, family, family.weights / "tokenizer").source
    assert source.provenance == f"{REPOSITORY}/{place}@{COMMIT}"


@pytest.mark.slow
def test_a_file_that_a_repository_has_not(hub, family):
    with pytest.raises(CheckpointError, match="has no file x/y.safetensors") as caught:
        find_checkpoint(f"{REPOSITORY}/x/y.safetensors", family)
    assert "safetensors" in caught.value.hint
    assert not hub.fetched


@pytest.mark.slow
def test_a_vae_of_a_repository_of_its_own(hub, family):
    hub.files = {
        name.removeprefix("vae/"): data
        for name, data in hub.files.items()
        if name.startswith("vae/") or name.endswith(".md")
    }
    path = find_vae(REPOSITORY, family)
    assert set(hub.fetched) == {"config.json", "diffusion_pytorch_model.safetensors"}
    source = open_checkpoint(family.weights, family, vae=path).source
    assert source.provenance == f"tiny-sd15 with VAE {REPOSITORY}@{COMMIT}"


@pytest.mark.slow
def test_a_vae_of_a_whole_repository(hub, family):
    find_vae(REPOSITORY, family)
    assert set(hub.fetched) == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}


@pytest.mark.slow
def test_of_a_checkpoint_with_another_vae_its_own_is_not_fetched(hub, family):
    open_chosen(family, REPOSITORY, vae=str(family.weights))
    assert set(hub.fetched) == {name for name in SHIPPED if not name.startswith("vae/")}


CONFIGURATIONS = {
    "model_index.json", "scheduler/scheduler_config.json",
    *(f"{name}/config.json" for name in ("text_encoder", "unet", "vae")),
}  # fmt: skip


def change_config(hub, name, **changes):
    path = f"{name}/config.json" if name else "config.json"
    if name == "scheduler":
        path = "scheduler/scheduler_config.json"
    hub.files[path] = json.dumps({**json.loads(hub.files[path]), **changes}).encode()


@pytest.mark.slow
def test_a_compiler_fetches_configurations_alone(hub, family):
    change_config(hub, "unet", freq_shift=1)
    variant = read_variant(family, f"{REPOSITORY}@v1.0")
    assert variant.component("denoiser").config["freq_shift"] == 1
    assert set(hub.fetched) == CONFIGURATIONS


@pytest.mark.slow
def test_a_plan_fetches_configurations_alone(hub, family):
    change_config(hub, "scheduler", timestep_spacing="trailing")
    planned = open_planned(family, f"{REPOSITORY}@v1.0")
    assert set(hub.fetched) == CONFIGURATIONS
    opened = open_chosen(family, f"{REPOSITORY}@v1.0")
    assert planned.family == opened.family
    assert planned.scheduler == opened.scheduler
    assert planned.scheduler["timestep_spacing"] == "trailing"


@pytest.mark.slow
def test_a_plan_says_that_it_reads_nothing_of_a_single_file(hub, family, caplog):
    planned = open_planned(family, f"{REPOSITORY}/v1-5-pruned.safetensors")
    assert planned.family == family
    assert "v1-5-pruned.safetensors is not fetched for a plan" in caplog.text
    assert not hub.fetched


@pytest.mark.slow
def test_a_compiler_refuses_what_a_build_refuses(hub, family):
    change_config(hub, "unet", in_channels=9)
    with pytest.raises(CheckpointError, match="in_channels is 9"):
        read_variant(family, REPOSITORY)


@pytest.mark.slow
def test_a_compiler_names_the_files_of_a_repository_of_single_files(hub, family):
    hub.files = {"model.safetensors": b""}
    with pytest.raises(CheckpointError, match="is no repository in the diffusers layout"):
        read_variant(family, f"{REPOSITORY}@v1.0")


@pytest.mark.slow
def test_a_compiler_reads_nothing_of_a_single_file(hub, family):
    assert read_variant(family, f"{REPOSITORY}/v1-5-pruned.safetensors") == family
    with pytest.raises(CheckpointError, match="has no file gone.safetensors"):
        read_variant(family, f"{REPOSITORY}/gone.safetensors")
    assert not hub.fetched


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "/vae/diffusion_pytorch_model.safetensors"])
def test_a_compiler_fetches_the_configuration_of_another_vae(hub, family, place):
    """As a build reads it, which fetches the weights too."""
    change_config(hub, "vae", scaling_factor=0.25)
    for weights in (None, f"{REPOSITORY}/v1-5-pruned.safetensors"):
        variant = read_variant(family, weights, REPOSITORY + place)
        assert variant.latent_space.scaling_factor == 0.25
    assert set(hub.fetched) == {"vae/config.json"}
    found = open_chosen(family, None, vae=REPOSITORY + place).family
    assert found.latent_space.scaling_factor == 0.25


@pytest.mark.slow
def test_what_is_on_this_machine_is_opened_as_for_a_build(hub, family, tmp_path):
    assert read_variant(family, str(family.weights)) == open_chosen(family, None).family
    broken = tmp_path / "broken"
    shutil.copytree(family.weights, broken)
    weights_of(broken, "unet").write_bytes(b"")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_variant(family, str(broken))
    assert not hub.fetched


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
def test_another_family_has_other_folders(family):
    more = replace(family.components[0], id="text_encoder_2")
    other = replace(family, components=(*family.components, more))
    with pytest.raises(CheckpointError, match="text_encoder_2: no .safetensors file here"):
        find_checkpoint(REPOSITORY, other)


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("named", ["someone/other", f"{REPOSITORY}@gone"])
def test_what_the_hub_has_not(family, named):
    with pytest.raises(CheckpointError, match=f"cannot fetch '{named}' from the hub"):
        find_checkpoint(named, family)


@pytest.mark.slow
def test_a_repository_that_asks_for_consent(hub, family):
    hub.is_gated = True
    with pytest.raises(CheckpointError, match="cannot fetch") as caught:
        find_checkpoint(REPOSITORY, family)
    assert "HF_TOKEN" in caught.value.hint


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(hub, family, tmp_path):
    """The hint is not about the network."""
    assert hub.files
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(FileError) as caught:
        find_checkpoint(REPOSITORY, family)
    assert "network" not in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize(
    "named",
    some_of([
        "models/x.safetensors", "models/x.gguf", "x.safetensors", "./x", "../x/y", "~/x", "/x/y",
        "there/x", "there/sub/x.safetensors", "a/b/c", "name", "a//b", "x/",
    ], 3),
)  # fmt: skip
def test_what_looks_local_and_is_not_there(hub, family, named, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=f"checkpoint {named} does not exist") as caught:
        find_checkpoint(named, family)
    assert "--weights takes" in caught.value.hint
    assert ("while there is a folder there here" in caught.value.hint) == named.startswith("there")
    assert not hub.fetched


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/a/b",
        "https://huggingface.co/a/b/resolve/main/m.safetensors?download=true",
        "http://localhost:8000/m.safetensors",
        "hf://a/b",
        "huggingface.co/a/b",
    ],
)
def test_an_address_is_told_from_a_path(hub, family, address):
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(address, family)
    assert "addresses are not read" in caught.value.hint
    assert "owner/name" in caught.value.hint
    assert not hub.fetched


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
def test_a_cache_that_another_program_filled(family, tmp_path, monkeypatch):
    """Without a list of the repository's files, those that are there are taken."""
    snapshot = tmp_path / "cache" / "models--a--b" / "snapshots" / COMMIT
    shutil.copytree(family.weights, snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find_checkpoint("a/b", family) == snapshot
    weights_of(snapshot, "vae").unlink()
    with pytest.raises(CheckpointError, match=r"a/b/vae: no \.safetensors file here"):
        find_checkpoint("a/b", family)
    save_file({}, snapshot / "one.safetensors")
    assert find_checkpoint("a/b/one.safetensors", family) == snapshot / "one.safetensors"


@pytest.mark.slow
def test_a_repository_of_single_files_names_them(hub, family):
    hub.files = {name: data for name, data in hub.files.items() if "/" not in name}
    hub.files |= {"loras/x.safetensors": b"", "model.gguf": b""}
    with pytest.raises(CheckpointError, match="is no repository in the diffusers layout") as caught:
        find_checkpoint(f"{REPOSITORY}@v1.0", family)
    assert f"{REPOSITORY}/v1-5-pruned.safetensors@v1.0" in caught.value.hint
    assert f"{REPOSITORY}/model.gguf@v1.0" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("damage", some_of([flip_a_bit, cut_short, make_empty, append], 4))
def test_a_damaged_file_of_the_cache_is_fetched_again(hub, family, monkeypatch, caplog, damage):
    path = find_checkpoint(REPOSITORY, family)
    whole = read_folder(path)
    weights = "unet/diffusion_pytorch_model.safetensors"
    for name in (weights, "unet/config.json", "tokenizer/tokenizer.json"):
        hub.fetched.clear()
        damage((path / name).resolve())
        with monkeypatch.context() as patch:
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            with pytest.raises(CheckpointError, match=f"{name} is damaged"):
                open_checkpoint(find_checkpoint(REPOSITORY, family), family)
        assert find_checkpoint(REPOSITORY, family) == path
        assert hub.fetched == [name]
        assert read_folder(path) == whole
    assert "is damaged, and is fetched again" in caplog.text


@pytest.mark.slow
def test_a_damaged_file_that_cannot_be_fetched_again(hub, family):
    path = find_checkpoint(REPOSITORY, family)
    flip_a_bit((path / "unet" / "config.json").resolve())
    hub.files.pop("unet/config.json")
    with pytest.raises(CheckpointError, match="cannot fetch"):
        find_checkpoint(REPOSITORY, family)
    assert not (path / "unet" / "config.json").exists()
