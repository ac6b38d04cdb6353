"""`--safety-checker`: which ones are read and which refused, and what a bundle has of one."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from checker import EDGE, PROJECTION, VISION, make_checker, save_checker
from commands import wsd
from fake_hub import COMMIT, REPOSITORY, FakeHub, read_folder, serve
from speck import SPECK, SPECK_XL
from traced import cached_trace
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_index, read_manifest
from wsd.bundle.merge import join_bundles
from wsd.bundle.plan import describe_plan
from wsd.bundle.self_test import find_fixtures
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.image_processor import read_image_processor
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import find_safety_checker, read_variant
from wsd.compiler.library import architecture
from wsd.errors import CheckpointError, UsageError
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.evaluate.safety_reference import SafetyReference
from wsd.models.architecture import Architecture
from wsd.models.registry import FAMILIES
from wsd.models.stable_diffusion.components import safety_checker
from wsd.models.stable_diffusion.config_rules import RULES
from wsd.spec.parameter import choose_storage
from wsd.spec.roles import SAFETY_CHECKER
from wsd.util.progress import Quiet

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def weights():
    return random_checkpoint(SPECK, 0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_checker(tmp_path_factory.mktemp("checkers") / "checker")


@pytest.fixture
def folder(saved, tmp_path):
    """Return a copy of the checker, to be changed."""
    return shutil.copytree(saved, tmp_path / "checker")


def change(path, **changes):
    """Change keys of a JSON file; None takes one away."""
    found = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in found.items() if v is not None}))


def open_with(weights, folder):
    return open_checkpoint(weights, SPECK, safety_checker=folder)


def digests(checkpoint):
    """Return a digest of each of the checker's tensors, as they are packed."""
    component = checkpoint.family.component(SAFETY_CHECKER)
    state = checkpoint.load(component).state_dict()
    return {name: (tuple(t.shape), t.double().sum().item()) for name, t in state.items()}


@pytest.mark.slow
def test_the_checkers_own_configuration_is_compiled(weights, saved):
    checkpoint = open_with(weights, saved)
    assert [c.id for c in checkpoint.family.components] == [
        "text_encoder", "unet", "vae", "safety_checker",
    ]  # fmt: skip
    config = checkpoint.family.component(SAFETY_CHECKER).config
    assert {key: config[key] for key in VISION} == VISION
    assert config["projection_dim"] == PROJECTION
    state = make_checker().state_dict()
    assert digests(checkpoint) == {
        name: (tuple(t.shape), t.double().sum().item()) for name, t in state.items()
    }


@pytest.mark.slow
def test_everything_else_stays_the_checkpoints(weights, saved):
    plain, checked = open_checkpoint(weights, SPECK), open_with(weights, saved)
    assert checked.family.drawing_components == plain.family.components
    assert checked.source.provenance == plain.source.provenance
    for component in plain.family.components:
        assert checked.source.digests(component) == plain.source.digests(component)
    assert architecture(plain.family) != architecture(checked.family)
    assert find_fixtures(checked, None) == find_fixtures(plain, None)
    assert load_pipeline(checked).safety_checker is None


def as_published(folder):
    """Write the checker's files as those of 2022 are: other names, older keys."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    old = {
        "add_cross_attention": False, "bad_words_ids": None, "num_beams": 1, "dropout": 0.0,
        "torch_dtype": None, "transformers_version": "4.22.0.dev0", "top_k": 50,
    }  # fmt: skip
    config["vision_config"] = {**config["vision_config"], **old}
    # The old table replaces every key of the new one.
    config["vision_config_dict"] = {**VISION}
    config["architectures"] = ["SafetyChecker"]
    path.write_text(json.dumps(config))
    tensors = load_file(folder / WEIGHTS)
    renamed = {
        f"vision_model.{name}" if name.startswith("vision_model.") else name: tensor
        for name, tensor in tensors.items()
    }
    renamed["vision_model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(renamed, folder / WEIGHTS)
    preprocessor = {
        "crop_size": EDGE, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "size": EDGE,
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def in_a_diffusers_folder(folder):
    """Move the checker into a folder like that of a whole checkpoint."""
    inside = folder / "safety_checker"
    inside.mkdir()
    for name in ("config.json", WEIGHTS):
        (folder / name).rename(inside / name)
    (folder / "feature_extractor").mkdir()
    (folder / "preprocessor_config.json").rename(
        folder / "feature_extractor" / "preprocessor_config.json"
    )


def in_half_precision(folder):
    tensors = {name: t.half() for name, t in load_file(folder / WEIGHTS).items()}
    (folder / WEIGHTS).unlink()
    save_file(tensors, folder / "model.fp16.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", [as_published, in_a_diffusers_folder])
def test_other_layouts_mean_the_same(weights, saved, folder, rewrite):
    rewrite(folder)
    ours, theirs = open_with(weights, saved), open_with(weights, folder)
    assert digests(theirs) == digests(ours)
    assert theirs.family == ours.family
    assert theirs.safety_checker.image_processor(EDGE) == ours.safety_checker.image_processor(EDGE)


def test_half_precision_is_read(weights, folder):
    in_half_precision(folder)
    assert open_with(weights, folder).safety_checker.files() == [folder / "model.fp16.safetensors"]


def drop(name):
    def rewrite(folder):
        tensors = load_file(folder / WEIGHTS)
        del tensors[name]
        save_file(tensors, folder / WEIGHTS)

    return rewrite


def add(name, shape=(2, 2)):
    def rewrite(folder):
        save_file({**load_file(folder / WEIGHTS), name: torch.zeros(shape)}, folder / WEIGHTS)

    return rewrite


def configure(file="config.json", **changes):
    return lambda folder: change(folder / file, **changes)


def pickle(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def vision(**changes):
    return configure(vision_config={**VISION, **changes})


def remove(name):
    return lambda folder: (folder / name).unlink()


def replace_text(name, text):
    return lambda folder: (folder / name).write_text(text)


PREPARED = "preprocessor_config.json"
REFUSED = {
    "a pickle": (pickle, "only pickles, which can run code"),
    "no weights": (remove(WEIGHTS), "no .safetensors file here"),
    "no configuration": (remove("config.json"), "has no config.json, so it is no safety checker"),
    "no JSON": (replace_text("config.json", "{"), "config.json"),
    "a list": (replace_text("config.json", "[]"), "expected a JSON object"),
    "a missing tensor": (drop("concept_embeds"), "tensor concept_embeds is missing"),
    "a tensor more": (add("vision_model.extra.weight"), "vision_model.extra.weight is not read by"),
    "fewer concepts": (add("concept_embeds", (16, PROJECTION)), r"shape \[16, 16\], expected"),
    "another width": (configure(projection_dim=24), r"expected \[17, 24\]"),
    "another model": (configure(architectures=["CLIPModel"]), "class is CLIPModel"),
    "another type": (configure(model_type="siglip"), "model_type is 'siglip'"),
    "quantised": (configure(quantization_config={"quant_method": "bnb"}), "quantization_config"),
    "sections of text": (configure(vision_config="large"), "vision_config"),
    "an odd activation": (vision(hidden_act="relu"), "hidden_act is 'relu'"),
    "heads that do not divide": (vision(num_attention_heads=5), "num_attention_heads|heads"),
    "patches that do not divide": (vision(patch_size=9), "_size is"),
    "patches of no size": (vision(patch_size=0), "_size is"),
    "a huge picture": (vision(image_size=1 << 20), "image_size is 1048576"),
    "two edges": (vision(image_size=[32, 32]), r"image_size is \[32, 32\]"),
    "four channels": (vision(num_channels=4), "num_channels is 4"),
    "an unknown key": (vision(window_size=4), "window_size is 4"),
    "too many layers": (vision(num_hidden_layers=4096), "num_hidden_layers is 4096"),
    "not normalised": (configure(PREPARED, do_normalize=False), "do_normalize is False"),
    "not cropped": (configure(PREPARED, do_center_crop=0), "do_center_crop is 0"),
    "another filter": (configure(PREPARED, resample=2), "resample is 2, expected 3, bicubic"),
    "another scale": (configure(PREPARED, rescale_factor=1.0), "rescale_factor is 1.0"),
    "another crop": (configure(PREPARED, crop_size=224), "crop_size is 224, but the image enco"),
    "an oblong crop": (configure(PREPARED, crop_size={"height": 32, "width": 16}), "crop_size"),
    "smaller than the crop": (configure(PREPARED, size={"shortest_edge": 31}), "shortest_edge"),
    "both edges": (configure(PREPARED, size={"height": 32, "width": 32}), "a shortest edge of"),
    "two means": (configure(PREPARED, image_mean=[0.5, 0.5]), "image_mean is"),
    "no deviation": (configure(PREPARED, image_std=[0.5, 0.0, 0.5]), "image_std is"),
    "words": (configure(PREPARED, image_std="half"), "image_std is 'half'"),
    "another processor": (configure(PREPARED, image_processor_type="ViTImageProcessor"), "ViTIm"),
    "an unknown step": (configure(PREPARED, do_pad=True), "do_pad is True"),
    "another checker's": (remove(PREPARED), "crop_size is 224, but the image encoder takes 32x32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(weights, folder, name):
    rewrite, message = REFUSED[name]
    rewrite(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_with(weights, folder)
    assert caught.value.hint


# Values of each key that select a variant, or that change nothing that the checker says.
VARIANTS = {
    "num_hidden_layers": [1, 3], "hidden_act": ["gelu"], "intermediate_size": [8],
    "num_attention_heads": [1, 4], "layer_norm_eps": [1e-3], "hidden_size": [64],
    "projection_dim": [8], "image_size": [64], "patch_size": [16, 4],
}  # fmt: skip
HARMLESS = {
    "architectures": [["CLIPModel"]], "transformers_version": ["4.21.0"], "dtype": ["float16"],
    "id2label": [{"0": "a"}], "label2id": [{"a": 0}], "problem_type": ["regression"],
    "initializer_range": [1.0], "initializer_factor": [2.0], "chunk_size_feed_forward": [3],
    "is_encoder_decoder": [True], "pad_token_id": [1], "bos_token_id": [5],
    "attention_dropout": [0.5], "output_hidden_states": [True], "eos_token_id": [3],
    "vocab_size": [100],
}  # fmt: skip


def find_config(folder, **changes):
    """Return the configuration that a folder with a changed one is compiled with."""
    change(folder / "config.json", vision_config={**VISION, **changes})
    family = read_variant(SPECK, None, None, str(folder))
    return dict(family.component(SAFETY_CHECKER).config)


@pytest.mark.slow
def test_every_key_that_may_differ_does_what_its_rule_says(folder):
    assert set(RULES["StableDiffusionSafetyChecker"]) == {*VARIANTS, *HARMLESS}
    plain = find_config(folder)
    for key, values in VARIANTS.items():
        for value in values:
            if key == "projection_dim":
                change(folder / "config.json", projection_dim=value)
                found = find_config(folder)
                change(folder / "config.json", projection_dim=PROJECTION)
            else:
                found = find_config(folder, **{key: value})
            assert found == {**plain, key: value}, key
    for key, values in HARMLESS.items():
        for value in values:
            assert find_config(folder, **{key: value}) == plain, key


def test_a_tensor_that_is_not_finite_is_refused(weights, folder):
    tensors = load_file(folder / WEIGHTS)
    tensors["concept_embeds"][3, 2] = float("nan")
    save_file(tensors, folder / WEIGHTS)
    checkpoint = open_with(weights, folder)
    with pytest.raises(CheckpointError, match="concept_embeds"):
        checkpoint.load(checkpoint.family.component(SAFETY_CHECKER))


def test_transformers_defaults_are_taken_without_a_preprocessor():
    found = read_image_processor(None, 224)
    assert (found.resize, found.mean) == (224, (0.48145466, 0.4578275, 0.40821073))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere/at/all", "a file of the hub|does not exist"),
        ("./nowhere", "does not exist"),
        ("https://huggingface.co/owner/name", "does not exist"),
        ("owner/name/model.safetensors", "is a file of the hub"),
        ("owner/name/pytorch_model.bin", "is a pickle, which can run code"),
    ],
)
def test_names_that_mean_no_checker(text, message):
    with pytest.raises(CheckpointError, match=message):
        find_safety_checker(text, SPECK)


def test_a_file_is_no_checker(saved):
    with pytest.raises(CheckpointError, match="is a file"):
        find_safety_checker(str(saved / WEIGHTS), SPECK)


def test_an_architecture_without_one_refuses(monkeypatch, saved):
    monkeypatch.setattr(type(SPECK.architecture), "safety_checker", Architecture.safety_checker)
    with pytest.raises(UsageError, match="speck has no safety checker"):
        find_safety_checker(str(saved), SPECK)


@pytest.mark.slow
@pytest.mark.parametrize("inside", [False, True])
def test_only_the_checker_is_fetched_of_the_hub(folder, tmp_path, monkeypatch, inside):
    others = {"unet/diffusion_pytorch_model.safetensors": b"x", "pytorch_model.bin": b"x"}
    if inside:
        in_a_diffusers_folder(folder)
        others["model.safetensors"] = b"x"
    (folder / "README.md").write_text("---\nlicense: openrail\n---\n")
    files = {**others, **read_folder(folder)}
    with serve(FakeHub(files), monkeypatch, tmp_path / "cache") as hub:
        path = find_safety_checker(REPOSITORY, SPECK)
        assert set(hub.fetched) == set(files) - set(others)
        checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK, safety_checker=path)
        place = f"{REPOSITORY}/safety_checker@{COMMIT}" if inside else f"{REPOSITORY}@{COMMIT}"
        assert checkpoint.safety_checker.provenance == place
        # A compiler needs the configuration alone.
        hub.fetched.clear()
        shutil.rmtree(tmp_path / "cache")
        variant = read_variant(SPECK, None, None, REPOSITORY)
        assert not [name for name in hub.fetched if name.endswith(".safetensors")]
    assert architecture(variant) == architecture(checkpoint.family)


def build(weights, folder, out, **options):
    checkpoint = open_checkpoint(weights, SPECK, safety_checker=folder)
    build_bundle(checkpoint, cached_trace(checkpoint.family), out, Quiet(), **options)
    assert list(verify_bundle(out)) == []
    return out


@pytest.fixture(scope="module")
def bundles(weights, saved, tmp_path_factory):
    """Return a bundle with the checker, which its page uses, and one without it."""
    out = tmp_path_factory.mktemp("bundles")
    folder = shutil.copytree(saved, out / "my-checker")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A checker\n")
    build_bundle(open_checkpoint(weights, SPECK), cached_trace(SPECK), out / "plain", Quiet())
    return build(weights, folder, out / "checked", check_pictures=True), out / "plain"


@pytest.mark.slow
def test_pictures_cannot_be_checked_without_a_checker(weights, tmp_path):
    checkpoint = open_checkpoint(weights, SPECK)
    with pytest.raises(UsageError, match="are to be checked, but it has no safety checker"):
        build_bundle(
            checkpoint, cached_trace(SPECK), tmp_path / "out", Quiet(), check_pictures=True
        )
    assert list(tmp_path.iterdir()) == []


def manifests(bundles):
    return [read_manifest(find_manifest(bundle, None)) for bundle in bundles]


@pytest.mark.exhaustive
def test_the_checker_has_shards_of_its_own(bundles):
    checked, plain = manifests(bundles)
    entry = checked.components["safety_checker"]
    assert (entry.folder, entry.role) == ("safety_checker", "safety_checker")
    assert all(shard.file.startswith("safety_checker-") for shard in entry.shards)
    # What a visitor of a page without the checker fetches is the same to the byte.
    kept = {k: v for k, v in checked.components.items() if k != "safety_checker"}
    assert kept == plain.components
    assert checked.requires == plain.requires
    assert checked.peak_bytes == plain.peak_bytes
    assert (plain.safety_checker, "safety_checker" in plain.model.weights) == (None, False)
    assert checked.model.weights["safety_checker"]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_list_of_models_says_that_the_page_checks(bundles, weights, tmp_path):
    checked, plain = bundles
    assert [entry.safety_checker for entry in read_index(checked)] == [True]
    assert [entry.safety_checker for entry in read_index(plain)] == [None]
    assert "safety" not in (plain / "models" / "index.json").read_text()
    other = tmp_path / "other"
    build_bundle(open_checkpoint(weights, SPECK), cached_trace(SPECK), other, Quiet(), name="other")
    joined = join_bundles([other, checked], tmp_path / "joined")
    assert list(verify_bundle(joined)) == []
    assert [entry.safety_checker for entry in read_index(joined)] == [None, True]


@pytest.mark.full
def test_origin_and_licence_are_in_every_paper(bundles):
    checked, plain = bundles
    manifest, _ = manifests(bundles)
    assert manifest.safety_checker.source == "my-checker"
    assert manifest.safety_checker.license == "MIT"
    texts = [entry.file for entry in manifest.documents]
    assert [name for name in texts if name.startswith("safety-checker-model-card.")]
    notices = (checked / "THIRD_PARTY_NOTICES.txt").read_text()
    assert "safety checker: my-checker" in notices
    assert "licence of the safety checker: MIT" in notices
    [digest] = manifest.model.weights["safety_checker"]
    bill = json.loads((checked / "sbom.cdx.json").read_text())
    [model] = [c for c in bill["components"] if c["name"] == "speck-safety-checker"]
    assert digest in json.dumps(model)
    assert "my-checker" in json.dumps(model)
    others = [c for c in bill["components"] if c["name"] == "speck"]
    assert digest not in json.dumps(others)
    provenance = json.loads((checked / "provenance.json").read_text())
    [entry] = [e for e in json.dumps(provenance).split("{") if digest in e and "sha256" in e]
    assert entry
    for name in ("sbom.cdx.json", "THIRD_PARTY_NOTICES.txt", "provenance.json"):
        assert "safety" not in (plain / name).read_text(), name


@pytest.mark.full
@pytest.mark.slow
def test_a_damaged_shard_is_found(bundles, tmp_path):
    copy = shutil.copytree(bundles[0], tmp_path / "copy")
    [shard] = (copy / "models" / "speck").glob("safety_checker-*.bin")
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(data)
    assert any("safety_checker-" in fault for fault in verify_bundle(copy))


@pytest.mark.full
def test_memory_is_planned_with_the_checker(bundles):
    manifest, plain = manifests(bundles)
    size, checker = manifest.defaults.size, manifest.components["safety_checker"].bytes
    [entry] = manifest.entries(SAFETY_CHECKER)
    for offload in (False, True):
        way = {"offload": offload, "tiling": False}
        most = manifest.peak(size, **way)
        expected = max(most, checker + entry.workspace_bytes) if offload else most + checker
        assert manifest.peak(size, **way, safety_checker=True) == expected
    with pytest.raises(KeyError):
        plain.peak(size, offload=False, tiling=False, safety_checker=True)


@pytest.mark.full
@pytest.mark.parametrize("what", ["safety_checker", "entry_points"])
def test_a_manifest_with_half_of_it_is_inconsistent(bundles, what):
    manifest, _ = manifests(bundles)
    left = tuple(e for e in manifest.entry_points if e.role != SAFETY_CHECKER)
    changed = manifest.model_copy(update={what: None if what == "safety_checker" else left})
    assert any("belong together" in fault for fault in changed.find_inconsistencies())


@pytest.mark.full
@pytest.mark.slow
def test_library_and_command_agree_on_whether_there_is_a_checker(weights, saved, tmp_path):
    library = cached_trace(open_with(weights, saved).family)
    with pytest.raises(UsageError, match="compiled with a safety checker, and none is named"):
        build_bundle(open_checkpoint(weights, SPECK), library, tmp_path / "out", Quiet())
    with pytest.raises(UsageError, match="was compiled without a safety checker"):
        build_bundle(open_with(weights, saved), cached_trace(SPECK), tmp_path / "out", Quiet())
    assert not (tmp_path / "out").exists()


@pytest.mark.full
@pytest.mark.slow
def test_a_plan_counts_the_checker_apart(weights, saved):
    family = open_with(weights, saved).family
    lines = list(describe_plan(family, cached_trace(family), SPECK.scheduler))
    assert [line for line in lines if line.startswith("when checked")]
    plain = list(describe_plan(SPECK, cached_trace(SPECK), SPECK.scheduler))
    [ours], [theirs] = (
        [line for line in found if line.startswith("download")] for found in (lines, plain)
    )
    assert ours == theirs


@pytest.mark.parametrize("dtype", ["f16", "w8a16"])
def test_decisions_are_not_made_with_eight_bits(dtype):
    assert choose_storage(dtype, SAFETY_CHECKER, "gemm") == "float16"
    assert choose_storage(dtype, SAFETY_CHECKER, "other") == "float32"


@pytest.mark.slow
def test_sdxl_takes_one_too(saved):
    weights = random_checkpoint(SPECK_XL, 0)
    checkpoint = open_checkpoint(weights, SPECK_XL, safety_checker=saved)
    assert checkpoint.family.component(SAFETY_CHECKER).config["image_size"] == EDGE


def test_the_published_checker_is_clip_vit_l():
    config = safety_checker().config
    assert (config["hidden_size"], config["num_hidden_layers"], config["patch_size"]) == (
        1024, 24, 14,
    )  # fmt: skip
    assert all(family.architecture.safety_checker() for family in FAMILIES.values())


@pytest.mark.slow
def test_fewer_layers_are_read_where_the_configuration_says_so(weights, folder, caplog):
    vision(num_hidden_layers=1)(folder)
    with caplog.at_level(logging.WARNING):
        checkpoint = open_with(weights, folder)
    assert "tensors of later layers are not read" in caplog.text
    reference = SafetyReference(checkpoint)
    assert len(reference.check([torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()])) == 1


def test_the_command_refuses_what_has_no_effect(tmp_path):
    out = ("--out", tmp_path / "out")
    assert (
        wsd("build", "--model", "speck", "--random-weights", "0", "--check-pictures", *out)[0] == 2
    )
    nowhere = ("--safety-checker", tmp_path / "nowhere")
    assert wsd("build", "--model", "speck", "--random-weights", "0", *nowhere, *out)[0] == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.full
@pytest.mark.slow
def test_the_command_plans_with_a_checker(saved, weights, monkeypatch):
    family = open_with(weights, saved).family
    monkeypatch.setattr("wsd.compiler.driver.compile_library", lambda *_: cached_trace(family))
    command = ("build", "--model", "speck", "--random-weights", "0", "--safety-checker", saved)
    code, lines = wsd(*command, "--plan")
    assert code == 0
    assert [line for line in lines if line.startswith("safety_checker")]
