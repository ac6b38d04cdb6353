"""The trainer of LoRAs on a CPU: a few steps, and a file that WSD and diffusers read alike."""

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from training.evaluate_lora import measure
from training.train_lora import Recipe, describe, train_lora
from training.trainer import Plan
from wsd.checkpoint.adapters.adapter import open_adapter
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.evaluate.diffusers_reference import load_pipeline
from wsd.models.registry import find_family
from wsd.util.progress import Quiet


def trained(model, word, seed=0):
    """Return a small model's checkpoint, how its LoRA was trained, and that one's tensors."""
    family = find_family(model)
    checkpoint = open_checkpoint(family.weights, family)
    vae = AutoencoderKL.from_pretrained(family.weights / "vae", use_safetensors=True)
    recipe = Recipe(word, scenes=4, seed=seed, plan=Plan(3, 2, 1e-2, 1))
    return checkpoint, recipe, train_lora(checkpoint, vae, recipe, "cpu", Quiet())


def is_unread(family, name, key):
    """Say whether a weight is of a text encoder's last layer, before which its state is taken."""
    for encoder in family.conditioning.encoders:
        if encoder.component == name and encoder.hidden_state == -2 and not encoder.pooled:
            (component,) = (one for one in family.components if one.id == name)
            return key.startswith(f"encoder.layers.{component.config['num_hidden_layers'] - 1}.")
    return False


@pytest.mark.exhaustive
@pytest.mark.parametrize(("model", "word"), [("tiny-sd15", "dark red"), ("tiny-sdxl", "pentagon")])
def test_a_few_steps_make_a_file_that_diffusers_reads_too(model, word, tmp_path):
    checkpoint, recipe, tensors = trained(model, word)
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, describe(checkpoint, recipe))
    assert path.stat().st_size < 200_000
    adapter = open_adapter(path, checkpoint.family)
    assert adapter.count == len(tensors) / 2
    assert adapter.license == "Apache-2.0"

    pipeline = load_pipeline(checkpoint)
    modules = {name: getattr(pipeline, name) for name in adapter.layers}
    before = {
        name: {key: tensor.clone() for key, tensor in module.state_dict().items()}
        for name, module in modules.items()
    }
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name)
    pipeline.fuse_lora()
    for name, module in modules.items():
        after = {key.replace(".base_layer", ""): t for key, t in module.state_dict().items()}
        changed = {k for k, t in before[name].items() if not torch.equal(t, after[k])}
        assert changed == {
            k for k in adapter.layers[name] if not is_unread(checkpoint.family, name, k)
        }

    found, sheet = measure(checkpoint, path, word, 2, 1, Quiet())
    assert found.keys() == {"without", "with", "knew"}
    assert sheet.width > 2 * checkpoint.family.sizes[0][0]


@pytest.mark.exhaustive
def test_the_same_seed_gives_the_same_lora():
    one, same, other = (trained("tiny-sd15", "pentagon", seed)[2] for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
