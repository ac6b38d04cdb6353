"""GGUF files: whole checkpoints as stable-diffusion.cpp converts them, dequantised as gguf does."""

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file, save_file

from marks import some_of
from original_layout import to_original
from rewritten import shard_digests
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.gguf_file import list_gguf
from wsd.errors import CheckpointError
from wsd.models.registry import find_family

PLAIN = (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
# Of weights whose rows do not fill blocks, ComfyUI-GGUF makes rows of so many values.
ROW = 256


@pytest.fixture(scope="module", params=["tiny-sd15", "tiny-sdxl"])
def single(request, tmp_path_factory):
    """Return (family, the tensors of its shipped checkpoint in the original layout)."""
    family = find_family(request.param)
    path = tmp_path_factory.mktemp("single") / "model.safetensors"
    to_original(family.weights, family, path)
    return family, load_file(path)


def write_gguf(path, tensors, kind, *, flatten=False, names=str):
    """Write tensors as GGUF; returns what they are when read again, as float32."""
    writer = GGUFWriter(path, "sdxl")
    meant = {}
    block = 1 if kind in PLAIN else 32
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        shape = values.shape
        if flatten and values.ndim > 1 and shape[-1] % block and values.size % ROW == 0:
            writer.add_array(f"comfy.gguf.orig_shape.{names(name)}", [int(n) for n in shape])
            values = values.reshape(-1, ROW)
        if values.ndim < 2 or values.shape[-1] % block:
            writer.add_tensor(names(name), values)
        elif kind in PLAIN:
            values = values.astype(np.float16 if kind.name == "F16" else np.float32)
            writer.add_tensor(names(name), values)
        else:
            data = quantize(values, kind)
            writer.add_tensor(names(name), data, raw_dtype=kind)
            values = dequantize(data, kind)
        meant[name] = torch.from_numpy(values.astype(np.float32).reshape(shape).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(k, marks=pytest.mark.exhaustive) for k in ("F32", "BF16", "F16", "Q5_1")),
        pytest.param("Q8_0", marks=pytest.mark.full),
        "Q4_0",
    ],
)
def test_a_whole_checkpoint_gives_what_its_numbers_stand_for(single, tmp_path, kind):
    family, tensors = single
    path = tmp_path / "model.gguf"
    kind = GGMLQuantizationType[kind]
    meant = write_gguf(path, tensors, kind, flatten=kind.name == "Q8_0")
    plain = tmp_path / "plain.safetensors"
    save_file(meant, plain)
    some = (family.text_encoders()[-1], family.component("vae_decoder"))
    for component in family.components if kind.name == "Q8_0" else some:
        found = shard_digests(path, family, tmp_path, component.id)
        assert found == shard_digests(plain, family, tmp_path, component.id)


@pytest.mark.slow
def test_a_unet_alone_is_refused_with_what_is_missing(single, tmp_path):
    family, tensors = single
    prefix = "model.diffusion_model."
    unet = {name: value for name, value in tensors.items() if name.startswith(prefix)}
    path = tmp_path / "unet.gguf"
    write_gguf(path, unet, GGMLQuantizationType.F16)
    with pytest.raises(CheckpointError, match=r"text_encoder.*, vae not in it"):
        open_checkpoint(path, family)
    # ComfyUI-GGUF leaves the prefix out.
    write_gguf(path, unet, GGMLQuantizationType.F16, names=lambda n: n.removeprefix(prefix))
    with pytest.raises(CheckpointError, match=r"unet, vae not in it") as caught:
        open_checkpoint(path, family)
    assert "it is of a UNet alone" in caught.value.hint


def name_as_sd_cpp(name):
    """Return what stable-diffusion.cpp calls a tensor with ``--convert-name``.

    Its ``convert_tensor_name`` (src/name_conversion.cpp) moves the encoders and gives those of
    OpenCLIP transformers' names; UNet and VAE keep the original ones.
    """
    first, second = "conditioner.embedders.0.", "conditioner.embedders.1.model."
    if name.startswith(first):
        return name.replace(first, "cond_stage_model.")
    if not name.startswith(second):
        return name
    for old, new in (
        ("transformer.resblocks.", "encoder.layers."), ("attn.in_proj_", "self_attn.in_proj."),
        ("attn.out_proj.", "self_attn.out_proj."), ("ln_1.", "layer_norm1."),
        ("ln_2.", "layer_norm2."), ("mlp.c_fc.", "mlp.fc1."), ("mlp.c_proj.", "mlp.fc2."),
        ("ln_final.", "final_layer_norm."), ("token_embedding.", "embeddings.token_embedding."),
        ("positional_embedding", "embeddings.position_embedding.weight"),
    ):  # fmt: skip
        name = name.replace(old, new)
    return name.replace(second, "cond_stage_model.1.transformer.text_model.")


@pytest.mark.slow
@pytest.mark.parametrize("kind", some_of(["F16", "Q8_0"], 2))
def test_names_that_stable_diffusion_cpp_converts(single, tmp_path, kind):
    family, tensors = single
    kind = GGMLQuantizationType[kind]
    path, plain = tmp_path / "converted.gguf", tmp_path / "plain.safetensors"
    save_file(write_gguf(path, tensors, kind, names=name_as_sd_cpp), plain)
    open_checkpoint(path, family)
    for component in family.text_encoders():
        found = shard_digests(path, family, tmp_path, component.id)
        assert found == shard_digests(plain, family, tmp_path, component.id)


@pytest.mark.slow
def test_a_projection_that_may_be_transposed_is_refused(single, tmp_path):
    """Older versions of the program split the matrix of queries, keys and values."""
    family, tensors = single
    if len(family.text_encoders()) == 1:
        assert all(name_as_sd_cpp(name) == name for name in tensors)
        return
    split = {}
    for name, tensor in ((name_as_sd_cpp(name), tensor) for name, tensor in tensors.items()):
        parts = tensor.chunk(3) if ".in_proj." in name else ()
        split |= {
            name.replace("in_proj", f"{letter}_proj"): part.contiguous()
            for letter, part in zip("qkv", parts, strict=bool(parts))
        } or {name: tensor}
    write_gguf(tmp_path / "split.gguf", split, GGMLQuantizationType.F16)
    with pytest.raises(CheckpointError, match="text_projection is transposed") as caught:
        open_checkpoint(tmp_path / "split.gguf", family)
    assert "without --convert-name" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 3, 20, 4000, -64])
def test_a_truncated_file(single, tmp_path, kept):
    family, tensors = single
    path = tmp_path / "model.gguf"
    write_gguf(path, tensors, GGMLQuantizationType.F16)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a readable GGUF file") as caught:
        open_checkpoint(path, family)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("add", "value"),
    [
        ("add_string", "4x4"), ("add_uint32", 16), ("add_bool", True), ("add_array", ["4", "4"]),
        ("add_array", [4.0, 4.0]), ("add_array", [-4, -4]), ("add_array", [4, 5]),
        ("add_array", [True, True]), ("add_array", [2**31 - 1] * 3),
    ],
    ids=str,
)  # fmt: skip
def test_a_shape_that_is_none(tmp_path, add, value):
    """ComfyUI-GGUF keeps shapes as metadata, which may be anything."""
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "sd1")
    writer.add_tensor("a", np.ones((4, 4), np.float32))
    getattr(writer, add)("comfy.gguf.orig_shape.a", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CheckpointError, match="not a readable GGUF file") as caught:
        list_gguf(path)
    assert caught.value.hint


def test_a_safetensors_file_of_that_name(single, tmp_path):
    family, tensors = single
    save_file(tensors, tmp_path / "model.gguf")
    with pytest.raises(CheckpointError, match="not a readable GGUF file"):
        open_checkpoint(tmp_path / "model.gguf", family)


@pytest.mark.slow
def test_integers_are_refused_by_name(single, tmp_path):
    family, tensors = single
    path = tmp_path / "model.gguf"
    name = "model.diffusion_model.out.2.bias"
    writer = GGUFWriter(path, "sd1")
    for key, tensor in tensors.items():
        writer.add_tensor(key, tensor.numpy().astype(np.int8 if key == name else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert list_gguf(path)[name].dtype == "I8"
    with pytest.raises(CheckpointError, match=f"{name} holds I8 numbers"):
        open_checkpoint(path, family)
