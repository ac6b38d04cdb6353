"""What reads files that anybody may have written: one clear error, whatever is in them."""

import io
import json
import os
import struct
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from speck import SPECK
from wsd.bundle.manifest import read_manifest, write_manifest
from wsd.bundle.self_test import select_stages
from wsd.checkpoint.adapters.adapter import open_adapter
from wsd.checkpoint.adapters.arithmetic import merge
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.safetensors_file import list_safetensors
from wsd.checkpoint.weight_source import read_json
from wsd.cli.main import main
from wsd.compiler.library import read_library
from wsd.errors import BundleError, CheckpointError, UsageError
from wsd.util.hashing import canonical_json
from wsd.util.json_reader import read_json as read_any

# Few in the usual tests: `nox -s security` says how many more.
EXAMPLES = int(os.environ.get("WSD_FUZZ", "20"))
FIXTURES = Path(__file__).parents[1] / "fixtures"
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    # One file, written anew by each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def places(value, path=()):
    """Yield the path of every value in a JSON object."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict | list):
        for key, inner in items:
            if isinstance(inner, dict | list):
                yield from places(inner, (*path, key))
            else:
                yield (*path, key)


def replaced(value, path, new):
    """Return a copy with one value replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def holds(written, given):
    """Tell whether a JSON value has everything of another; defaults may have been added to it."""
    if isinstance(given, dict) and isinstance(written, dict):
        return all(
            value is None if key not in written else holds(written[key], value)
            for key, value in given.items()
        )
    if isinstance(given, list) and isinstance(written, list):
        return len(written) == len(given) and all(map(holds, written, given))
    return bool(written == given)


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
@fuzz
@given(data=st.data(), new=JSON)
def test_a_manifest_with_anything_anywhere(tmp_path, version, data, new):
    shape = json.loads((FIXTURES / f"manifest-v{version}.json").read_text())
    path = data.draw(st.sampled_from(list(places(shape))))
    file = tmp_path / "manifest.json"
    changed = replaced(shape, path, new)
    file.write_text(json.dumps(changed))
    try:
        manifest = read_manifest(file)
        # What is accepted is understood whole: written again, nothing of it is missing.
        if changed["schema_version"] == 2:
            written = write_manifest(manifest, tmp_path)
            assert holds(json.loads(written.read_text()), changed)
            assert read_manifest(written) == manifest
    except BundleError as error:
        assert "manifest.json" in error.message
        assert error.hint


@pytest.mark.slow
@fuzz
@given(content=st.binary(max_size=200))
def test_bytes_for_a_manifest(tmp_path, content):
    file = tmp_path / "manifest.json"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(file)


@pytest.fixture(scope="module")
def tensors(checkpoint):
    return (checkpoint / "text_encoder" / "model.safetensors").read_bytes()[:60_000]


@pytest.mark.slow
@fuzz
@given(
    at=st.integers(0, 4000), byte=st.integers(0, 255),
    length=st.integers(0, 60_000) | st.just(60_000),
)  # fmt: skip
def test_safetensors_changed_and_cut(tensors, tmp_path, at, byte, length):
    damaged = bytearray(tensors)
    damaged[at] = byte
    file = tmp_path / "model.safetensors"
    file.write_bytes(damaged[:length])
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        list_safetensors(file)


@pytest.mark.slow
@fuzz
@given(header=JSON | st.dictionaries(st.text(max_size=8), JSON, max_size=4), body=st.binary())
def test_any_header_for_safetensors(tmp_path, header, body):
    text = json.dumps(header).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)
    try:
        for tensor in list_safetensors(file).values():
            assert tensor.read() is not None
    except CheckpointError as error:
        assert str(file) in error.message


@pytest.mark.slow
@fuzz
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_bytes_for_a_configuration_or_a_library(tmp_path, content):
    for name in ("config.json", "library.json"):
        (tmp_path / name).write_bytes(content)
    try:
        read_json(tmp_path / "config.json")
    except CheckpointError as error:
        assert "config.json" in error.message
    with pytest.raises(UsageError):
        read_library(tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        select_stages(tmp_path / "config.json", None, None)


@pytest.mark.slow
@fuzz
@given(
    content=st.binary(max_size=300)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.from_regex(rb'\{"a": (-?[0-9]+(\.[0-9]*)?(e[0-9]+)?|NaN|-Infinity|"\\\\u[0-9a-f]{4}")\}')
    | st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth)
)
def test_json_of_anything(tmp_path, content):
    """What is read can be written again, byte for byte the same each time; the rest is refused."""
    file = tmp_path / "any.json"
    file.write_bytes(content)
    try:
        value = read_any(file, UsageError, "hint")
    except UsageError as error:
        assert str(file) in error.message
        assert error.hint
    else:
        assert json.loads(canonical_json(value).decode()) == value


WORDS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text(st.characters(exclude_characters="\0"), max_size=20),
    st.sampled_from(
        ["", "-", "0x10", "1e999", "9" * 5000, "512x512", "0x0", "-64x64", "1" * 99 + "x1"]
    ),
    st.binary(max_size=8).map(os.fsdecode).filter(lambda text: "\0" not in text),
)
RENDER = ("--steps", "--guidance", "--seed", "--size", "--scheduler", "--images", "--eta",
          "--negative", "--model", "--json", "--image", "--mask", "--strength",
          "--fit")  # fmt: skip
BUILD = (
    "--weights", "--vae", "--tokenizer", "--random-weights", "--dtype", "--size", "--library",
    "--fine-tune", "--prediction-type", "--timestep-spacing", "--scheduler", "--self-test",
)  # fmt: skip


@pytest.mark.slow
@fuzz
@given(data=st.data())
def test_options_of_anything(tmp_path, data):
    """Every command answers in two lines: these name a bundle or a model that is not there."""
    name, options = data.draw(st.sampled_from([("render", RENDER), ("build", BUILD)]))
    chosen = data.draw(st.dictionaries(st.sampled_from(options), WORDS, max_size=4))
    words = [f"{option}={word}" for option, word in chosen.items()]
    fixed = {
        "render": [str(tmp_path / "none"), "--prompt=x", f"--out={tmp_path / 'x.png'}"],
        "build": ["--model=none", f"--out={tmp_path / 'out'}"],
    }
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = main([name, *fixed[name], *words])
    assert code == 2
    *_, message, hint = said.getvalue().rstrip().splitlines()
    assert "hint: " in said.getvalue()
    assert message or hint
    assert not (tmp_path / "out").exists()


# Names of layers of the small model, and what follows them in an adapter's file.
_LAYERS = (
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "lora_unet_conv_in", "unet.conv_norm_out", "lora_te_text_model_encoder_layers_0_mlp_fc1",
    "text_encoder.text_model.encoder.layers.0.mlp.fc1", "lora_unet_input_blocks_1_0_in_layers_2",
)  # fmt: skip
_PARTS = (
    ".lora_up.weight", ".lora_down.weight", ".lora_mid.weight", ".alpha", ".lora_A.weight",
    ".lora_B.x.weight", ".dora_scale", ".lora_magnitude_vector", ".hada_w1_a", ".hada_w1_b",
    ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2", ".lokr_w1", ".lokr_w1_a", ".lokr_w2",
    ".lokr_w2_b", ".lokr_t2", ".diff", ".diff_b", ".w_norm", ".b_norm",
)  # fmt: skip
_SIZES = st.lists(st.sampled_from((0, 1, 2, 3, 4, 16)), max_size=4)
_SETTINGS = st.dictionaries(
    st.sampled_from(
        ("unet.lora_alpha", "unet.alpha_pattern", "unet.use_rslora", "text_encoder.lora_alpha")
    ),
    JSON,
)


@pytest.mark.slow
@fuzz
@given(
    layers=st.lists(st.sampled_from(_LAYERS), min_size=1, max_size=2),
    parts=st.lists(st.tuples(st.sampled_from(_PARTS), _SIZES), min_size=1, max_size=5),
    described=_SETTINGS,
)
def test_any_adapter_is_merged_or_refused(tmp_path, layers, parts, described):
    tensors = {layer + part: torch.full(sizes, 0.5) for layer in layers for part, sizes in parts}
    path = tmp_path / "adapter.safetensors"
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps(described)})
    try:
        adapter = open_adapter(path, SPECK)
    except CheckpointError as error:
        assert error.hint
        return
    shapes = {component.id: list_names(component).shapes for component in SPECK.components}
    for component, changed in adapter.layers.items():
        for name, layer in changed.items():
            weight = torch.ones(shapes[component][name])
            assert merge(weight, [layer.build(0.5)]).shape == weight.shape
