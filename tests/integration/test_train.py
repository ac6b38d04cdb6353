"""The trainer on a CPU: a few steps of everything, then a picture from what it wrote."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from training.dataset import make_data
from training.evaluate import contact_sheet, diffusers_draw, evaluate, held_out_scenes, rates
from training.text_encoder import train_encoders
from training.train import train
from training.train_autoencoder import encode, train_autoencoder
from training.trainer import Plan
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.errors import WsdError
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.models.instantiate import build_module
from wsd.models.registry import FAMILIES, find_family
from wsd.util.files import REPOSITORY
from wsd.util.progress import Quiet


def plans(steps):
    return {
        "autoencoder": Plan(steps, 1, 1e-3),
        "encoder": Plan(steps, 4, 1e-3),
        "denoiser": Plan(steps, 2, 1e-3),
    }


@pytest.mark.exhaustive
def test_a_few_steps(tmp_path):
    family = find_family("tiny-sdxl")
    out = tmp_path / "model"
    torch.manual_seed(5)
    train(family, out, scenes=16, **plans(1), seed=0, device="cpu", progress=Quiet())
    record = json.loads((out / "training.json").read_text())
    assert record["hardware"] == "CPU"
    assert record["denoiser"]["steps"] == 1
    weights = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}

    pipeline = load_pipeline(open_checkpoint(out, family))
    wanted = held_out_scenes(2)
    scores, images = evaluate(wanted, diffusers_draw(family, pipeline, 2.0, 1, 0), Quiet())
    edge = family.sizes[0][0]
    assert images.shape == (2, edge, edge, 3)
    assert 0 <= rates(scores)["all"] <= 1
    assert contact_sheet(wanted, images).width > 2 * edge

    # Latents come out normalised.
    data = make_data(family, 16, 0)
    # With the encoder, which draws no picture from text.
    vae = AutoencoderKL.from_pretrained(out / "vae", use_safetensors=True)
    with torch.no_grad():
        encoded = vae.encode(data.pictures(slice(0, 16), edge, "cpu")).latent_dist.mean
    latents = encoded * vae.config.scaling_factor
    assert latents.mean().abs() < 0.1
    assert abs(latents.std() - 1) < 0.2


@pytest.mark.exhaustive
def test_a_few_steps_by_rectified_flow(tmp_path):
    """The transformer too, with T5 and without it; what was trained is kept for the next time."""
    family = find_family("tiny-sd35")
    kept = tmp_path / "kept"
    for name in ("one", "two"):
        train(
            family, tmp_path / name, scenes=16, **plans(2), seed=0, device="cpu",
            progress=Quiet(), kept=kept,
        )  # fmt: skip
    assert {path.name for path in kept.iterdir()} == {"autoencoder.pt", "text_encoders.pt"}
    file = Path("transformer", "diffusion_pytorch_model.safetensors")
    one, two = (load_file(tmp_path / name / file) for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert {tensor.dtype for tensor in one.values()} == {torch.float16}
    # Every layer that began as zeros has learnt, and positions are as diffusers computes them.
    assert all(one[f"proj_out.{kind}"].any() for kind in ("weight", "bias"))
    untrained = build_module(family.component("denoiser")).published_state()
    positions = "pos_embed.pos_embed"
    assert torch.equal(one[positions], untrained[positions].half())
    for encoders in (family, family.choose_encoders(wanted=False)):
        pipeline = load_pipeline(open_checkpoint(tmp_path / "one", encoders))
        wanted = held_out_scenes(1)
        _, images = evaluate(wanted, diffusers_draw(encoders, pipeline, 2.0, 1, 0), Quiet())
        assert images.shape == (1, 128, 128, 3)
        assert images.std() > 1


@pytest.mark.exhaustive
def test_latents_of_sixteen_channels_come_out_normalised():
    """Shift and scale are folded into the convolutions around them: there is none of 1x1."""
    family = find_family("tiny-sd35")
    data = make_data(family, 64, 0)
    vae = train_autoencoder(family, data, Plan(2, 2, 1e-3), 0, "cpu", Quiet())
    with torch.no_grad():
        latents = encode(vae, data.pictures(slice(0, 64), 128, "cpu"))
        assert latents.mean((0, 2, 3)).abs().max() < 0.1
        assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.1
    assert vae.config.scaling_factor == 1.5305


@pytest.mark.exhaustive
def test_the_same_seed_gives_the_same_weights(tmp_path):
    family = find_family("tiny-sd15")
    for name in ("one", "two"):
        train(family, tmp_path / name, scenes=8, **plans(1), seed=0, device="cpu", progress=Quiet())
    file = Path("unet", "diffusion_pytorch_model.safetensors")
    one, two = (load_file(tmp_path / name / file) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.exhaustive
def test_text_encoders_learn_to_read(capsys):
    family = find_family("tiny-sd15")
    data = make_data(family, 256, 0)
    torch.manual_seed(0)
    trained = train_encoders(family, data, Plan(30, 32, 1e-2), 0, "cpu", Quiet())
    assert set(trained) == {"text_encoder"}
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]
    assert losses[-1] < losses[0] - 2


def test_an_existing_folder_is_refused(tmp_path):
    with pytest.raises(WsdError, match="exists"):
        train(
            find_family("tiny-sd15"), tmp_path, scenes=1, **plans(1), seed=0, device="cpu",
            progress=Quiet(),
        )  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_errors_come_with_a_hint(program, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", f"training.{program}", "--model", "sd99",
         *(["--out", tmp_path / "out"] if program == "train" else [])],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: unknown model 'sd99'" in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


# Bytes of a shipped model's folder, with pictures and LoRAs.
LARGEST = {"tiny-sd15": 11_200_000, "tiny-sdxl": 13_500_000, "tiny-sd35": 8_100_000}


def test_shipped_weights_are_small_and_float16():
    shipped = {name: family for name, family in FAMILIES.items() if family.weights is not None}
    assert shipped.keys() == LARGEST.keys()
    for name, family in shipped.items():
        assert (family.weights / "README.md").is_file()
        total = sum(path.stat().st_size for path in family.weights.rglob("*") if path.is_file())
        assert 0 < total <= LARGEST[name]
        for path in family.weights.rglob("*.safetensors"):
            assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
