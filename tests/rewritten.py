"""Checkpoints rewritten in the forms that people have, and the shards that WSD makes of them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from wsd.bundle.shards import write_shards
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.module_names import list_names
from wsd.spec.parameter import Parameter, shapes

FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}


def weights_of(folder, component):
    """Return the path of a component's plain file."""
    return folder / component / FILES[component]


def save_copies(tensors, path):
    """Save tensors that may share memory."""
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, path)


def rewrite(folder, component, change):
    """Change a component's tensors in place; `change` takes and returns a dictionary."""
    path = weights_of(folder, component)
    save_copies(change(load_file(path)), path)


def cast(dtype):
    """Return a change that casts every tensor."""
    return lambda tensors: {name: value.to(dtype) for name, value in tensors.items()}


def rename(*pairs):
    """Return a change that replaces parts of names."""

    def change(tensors):
        renamed = {}
        for name, value in tensors.items():
            for old, new in pairs:
                name = name.replace(old, new)  # noqa: PLW2901 - one part after the other
            renamed[name] = value
        return renamed

    return change


def add(**more):
    """Return a change that adds tensors; in their names, `__` stands for a point."""
    return lambda tensors: {**tensors, **{k.replace("__", "."): v for k, v in more.items()}}


def save_shards(tensors, folder, stem, count=2, variant=None, index=None):
    """Save tensors as shards with an index, as diffusers names them."""
    middle = f".{variant}" if variant else ""
    names = list(tensors)
    table = {}
    for n in range(count):
        file = f"{stem}{middle}-{n + 1:05}-of-{count:05}.safetensors"
        part = {name: tensors[name].contiguous() for name in names[n::count]}
        save_file(part, folder / file, {"format": "pt"})
        table |= dict.fromkeys(part, file)
    name = index or f"{stem}.safetensors.index{middle}.json"
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": table}))


def shard_digests(path: Path, family, tmp_path, component="unet", storage="float32", **options):
    """Return the SHA-256 of the shards that a component of a checkpoint becomes."""
    checkpoint = open_checkpoint(path, family, **options)
    [found] = (c for c in checkpoint.family.components if c.id == component)
    parameters = [
        Parameter(name, shape, storage if len(shape) > 1 else "float32")
        for name, shape in list_names(found).shapes.items()
    ]
    out = tmp_path / f"shards-{len(list(tmp_path.glob('shards-*')))}"
    out.mkdir()
    written = write_shards(
        component, parameters, lambda wanted: checkpoint.source.tensors(found, shapes(wanted)),
        out, lambda _: None,
    )  # fmt: skip
    return [shard.sha256 for shard in written.shards]


def fp8_with_scales(tensors, weight_scale, per_channel=False, dtype=torch.float8_e4m3fn):
    """Return weights of matrices as fp8 with scales, and what they stand for in float32."""
    stored, meant = {}, {}
    for name, value in tensors.items():
        if value.ndim != 2:
            stored[name] = meant[name] = value.float()
            continue
        whole = value.float()
        largest = whole.abs().amax(1, keepdim=True) if per_channel else whole.abs().amax()
        scale = (largest / 448).clamp(min=1e-8)
        stored[name] = (whole / scale).to(dtype)
        stored[name.removesuffix("weight") + weight_scale] = (
            scale.reshape(-1) if per_channel else scale
        )
        meant[name] = stored[name].float() * scale
    return stored, meant
