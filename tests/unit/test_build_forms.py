"""`wsd build --library` of the shipped weights in other forms: the same shards, or exit code 2."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from commands import exit_code
from original_layout import to_original
from rewritten import add, rename, rewrite, save_shards, weights_of
from wsd.bundle.precompiled import write_compiled
from wsd.util.progress import Quiet

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def compiled(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled") / "library"
    write_compiled(library, folder, Quiet())
    return folder


def build(compiled, out, *options):
    """Build a bundle; return the exit code and the digests of its shards."""
    code = exit_code("build", "--model", "tiny-sd15", "--library", compiled, "--out", out, *options)
    if code:
        return code, None
    manifest = json.loads((out / "models" / "tiny-sd15" / "manifest.json").read_text())
    components = manifest["components"].items()
    return code, {name: [s["sha256"] for s in entry["shards"]] for name, entry in components}


@pytest.fixture(scope="module")
def plain(compiled, tmp_path_factory):
    code, shards = build(compiled, tmp_path_factory.mktemp("plain") / "bundle")
    assert code == 0
    return shards


@pytest.fixture
def copy(checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    return folder


@pytest.mark.exhaustive
def test_forms_of_a_folder(compiled, plain, copy, tmp_path):
    old = ("query", "key", "value", "proj_attn")
    new = ("to_q", "to_k", "to_v", "to_out.0")
    pairs = zip(new, old, strict=True)
    rewrite(copy, "vae", rename(*((f"attentions.0.{n}.", f"attentions.0.{o}.") for n, o in pairs)))
    unet = weights_of(copy, "unet")
    tensors = load_file(unet)
    unet.unlink()
    save_shards(tensors, copy / "unet", "diffusion_pytorch_model", count=3, variant="fp16")
    (copy / "unet" / "._diffusion_pytorch_model.fp16.safetensors").write_bytes(bytes(4096))
    code, shards = build(compiled, tmp_path / "out", "--weights", copy)
    assert code == 0
    assert shards == plain


@pytest.mark.exhaustive
def test_forms_of_a_file(compiled, plain, checkpoint, family, tmp_path):
    path = tmp_path / "MODEL.SAFETENSORS"
    to_original(checkpoint, family, path)
    tokenizer = ("--tokenizer", checkpoint / "tokenizer")
    code, shards = build(compiled, tmp_path / "out", "--weights", path, *tokenizer)
    assert code == 0
    assert shards == plain


@pytest.mark.parametrize(
    "what",
    [
        "folder",
        pytest.param("vae/diffusion_pytorch_model.safetensors", marks=pytest.mark.exhaustive),
    ],
)
def test_another_vae(compiled, plain, copy, tmp_path, what):
    rewrite(copy, "vae", lambda tensors: {name: value * 0.5 for name, value in tensors.items()})
    vae = copy if what == "folder" else copy / what
    code, shards = build(compiled, tmp_path / "out", "--vae", vae)
    assert code == 0
    # Its encoder is taken too, by which pictures are drawn from.
    changed = {name for name in plain if shards[name] != plain[name]}
    assert changed == {"vae", "vae_encoder"}
    path = tmp_path / "out" / "models" / "tiny-sd15" / "manifest.json"
    assert json.loads(path.read_text())["model"]["source"].startswith("tiny-sd15 with VAE ")


@pytest.mark.parametrize(
    "change",
    [
        add(time_embedding__cond_proj__weight=torch.ones(64, 32)),
        lambda tensors: {**tensors, "conv_out.bias": torch.full((4,), float("nan"))},
        lambda tensors: {**tensors, "conv_out.bias": torch.full((4,), 1e300, dtype=torch.float64)},
        lambda tensors: {**tensors, "conv_out.bias": torch.ones(4, dtype=torch.int8)},
    ],
    ids=["left over", "NaN", "infinite", "integers"],
)
def test_what_is_refused_leaves_nothing(compiled, copy, tmp_path, capsys, change):
    rewrite(copy, "unet", change)
    code, _ = build(compiled, tmp_path / "out", "--weights", copy)
    assert code == 2
    said = capsys.readouterr().err
    assert "error: " in said
    assert "hint: " in said
    assert not (tmp_path / "out").exists()
