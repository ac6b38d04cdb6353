"""Adapters that are merged into weights: names, arithmetic, and what is refused."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import adapter_arithmetic
import adapter_names
from adapters_data import FORMATS, READ_BY_DIFFUSERS, make_adapter, make_layer, write_adapter
from fused_adapters import (
    compare_all,
    fused_by_diffusers,
    fused_by_peft,
    merged_by_lycoris,
    merged_weights,
    own_weights,
)
from mutations import MOST_SECONDS_OF_LARGE
from speck import LEVELS, SPECK, SPECK_XL
from timing import at_most
from wsd.checkpoint.adapters import arithmetic
from wsd.checkpoint.adapters.adapter import open_adapter
from wsd.checkpoint.adapters.arithmetic import Change, LowRank, Magnitudes, merge, multiply
from wsd.checkpoint.adapters.layer import Scaling, read_layer
from wsd.checkpoint.adapters.layer_keys import split_key
from wsd.checkpoint.adapters.names import LayerTable, Target
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.module_names import list_names
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import find_adapter
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError
from wsd.models.registry import FAMILIES, find_family
from wsd.util.hashing import sha256_file

MODELS = {"levels": LEVELS, "speck-xl": SPECK_XL}
# What is compared with the libraries' own results: all of it where there is time.
CASES = [("levels", 0.75), ("speck-xl", 1.0), ("levels", 1.0), ("speck-xl", 0.75)]
# Formats that LyCORIS reads.
BY_LYCORIS = [
    "lora", "locon", "locon-tucker", "loha", "loha-tucker", "lokr", "lokr-factored",
    "lokr-tucker", "dora", "full",
]  # fmt: skip


def cases(forms):
    """Return (format, model, scale): every third format in each run, the next with SDXL in full."""
    marks = {(0, 0): (), (1, 1): pytest.mark.full, (2, 0): pytest.mark.full}
    return [
        pytest.param(
            form, model, scale, marks=marks.get((number % 3, place), pytest.mark.exhaustive)
        )
        for place, (model, scale) in enumerate(CASES)
        for number, form in enumerate(forms)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "model", "scale"), cases(READ_BY_DIFFUSERS))
def test_weights_are_those_that_diffusers_fuses(model, form, scale, tmp_path):
    family = MODELS[model]
    path = write_adapter(tmp_path / "a.safetensors", family, form)
    found, base = merged_weights(family, (path, scale))
    expected = fused_by_diffusers(family, path, scale, base)
    if form == "peft-dora":
        # transformers' load_adapter leaves the lengths out, and says so.
        checkpoint = open_checkpoint(random_checkpoint(family, 0), family)
        for encoder in family.text_encoders():
            module = fused_by_peft(checkpoint.load(encoder), encoder.id, path, scale)
            expected[encoder.id] = own_weights(module, base[encoder.id])
    assert compare_all(found, expected, base) == open_adapter(path, family).count


@pytest.mark.slow
@pytest.mark.parametrize(("form", "model", "scale"), cases(BY_LYCORIS))
def test_weights_are_those_that_lycoris_computes(model, form, scale, tmp_path):
    family = MODELS[model]
    path = write_adapter(tmp_path / "a.safetensors", family, form)
    found, base = merged_weights(family, (path, scale))
    tensors = load_file(path)
    expected = {component: dict(weights) for component, weights in base.items()}
    for component, weights in base.items():
        prefixes = {"unet": "lora_unet_", "text_encoder_2": "lora_te2_"}
        encoder = "lora_te1_" if "text_encoder_2" in base else "lora_te_"
        prefix = prefixes.get(component, encoder)
        for parameter in weights:
            module, _, kind = parameter.rpartition(".")
            full = f"text_model.{module.removeprefix('text_model.')}"
            flat = (module if component == "unet" else full).replace(".", "_")
            if kind != "weight" or not any(k.startswith(f"{prefix}{flat}.") for k in tensors):
                continue
            bias = weights.get(f"{module}.bias")
            changed = merged_by_lycoris(
                form, tensors, prefix + flat, weights[parameter], bias, scale
            )
            expected[component][parameter] = changed[0]
            if bias is not None:
                expected[component][f"{module}.bias"] = changed[1]
    assert compare_all(found, expected, base) == open_adapter(path, family).count


@pytest.mark.slow
def test_fixtures_of_both_languages_are_current():
    """The arithmetic is that of the fixture to the bit, but for the norms of DoRA."""
    found = json.loads(adapter_arithmetic.render_fixture())
    kept = json.loads(adapter_arithmetic.FIXTURE.read_text(encoding="utf-8"))
    assert found.keys() == kept.keys()
    for name, case in kept.items():
        merged = found[name].pop("merged")
        if "dora" in name:
            assert merged == pytest.approx(case.pop("merged"), rel=1e-6, abs=1e-6)
        else:
            assert merged == case.pop("merged"), name
        assert found[name] == case


@pytest.mark.slow
def test_every_spelling_means_what_diffusers_takes_it_for():
    """Of SD 1.5 and SDXL at full size, by diffusers' own converters."""
    kept = json.loads(adapter_names.FIXTURE.read_text(encoding="utf-8"))
    made = json.loads(adapter_names.render_fixture())
    # Versions of transformers differ in a level of the names.
    assert _without_level(made) == _without_level(kept)
    for model, components in made.items():
        table = LayerTable(find_family(model))
        for component, entry in components.items():
            for spelling, keys in entry["keys"].items():
                assert len(set(keys.values())) >= 10
                for key, parameter in keys.items():
                    split = split_key(key)
                    assert split is not None
                    assert split.part == "down"
                    [place] = table.find(split.layer)
                    target = Target(component, parameter.removesuffix(".weight"))
                    assert place.target == target, spelling
                    assert place.rows.pieces == 1


def _without_level(value):
    if isinstance(value, dict):
        return {key.removeprefix("text_model."): _without_level(v) for key, v in value.items()}
    return value.removeprefix("text_model.") if isinstance(value, str) else value


@pytest.mark.full
@pytest.mark.slow
def test_no_two_layers_have_one_spelling():
    for family in FAMILIES.values():
        for component in family.components:
            names = list_names(component).shapes
            modules = [n.removesuffix(".weight") for n in names if n.endswith(".weight")]
            found = {}
            for name, rows in family.architecture.spell_adapter_modules(family, component, modules):
                # Layers that are one matrix have the same name, and other rows of it.
                place = (name, rows.pieces, rows.order)
                assert found.setdefault(place, rows.module) == rows.module


def test_sums_run_in_order_and_are_not_fused():
    """Against numpy's float32 scalars, one operation at a time."""
    random_ = np.random.default_rng(0)
    left = random_.standard_normal((5, 9)).astype(np.float32)
    right = random_.standard_normal((9, 7)).astype(np.float32)
    expected = np.zeros((5, 7), np.float32)
    for row in range(5):
        for column in range(7):
            total = np.float32(0)
            for index in range(9):
                product = np.float32(left[row, index] * right[index, column])
                total = np.float32(total + product)
            expected[row, column] = total
    found = multiply(torch.from_numpy(left), torch.from_numpy(right))
    assert found.numpy().tobytes() == expected.tobytes()


def test_a_linear_layers_core_has_two_dimensions():
    core, right = torch.rand(3, 3), torch.rand(3, 5)
    assert torch.equal(arithmetic.contract(core, right), multiply(core, right))


def test_blocks_of_rows_do_not_change_a_bit(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 8, 3, 3, generator=generator)
    change = Change(
        LowRank(torch.randn(40, 4, generator=generator), torch.randn(4, 72, generator=generator)),
        0.25,
        Magnitudes(torch.rand(40, 1, generator=generator), 0.5),
    )
    before = weight.clone()
    whole = merge(weight, [change, change])
    assert torch.equal(weight, before)
    monkeypatch.setattr(arithmetic, "_BLOCK_VALUES", 200)
    assert torch.equal(merge(weight, [change, change]), whole)


@pytest.mark.slow
def test_a_scale_of_zero_changes_nothing(tmp_path):
    path = write_adapter(tmp_path / "a.safetensors", SPECK, "dora")
    found, base = merged_weights(SPECK, (path, 0.0))
    assert all(torch.equal(found[c][n], w) for c in base for n, w in base[c].items())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(tmp_path, dtype):
    half = write_adapter(tmp_path / "half.safetensors", SPECK, "lora", dtype=dtype)
    whole = tmp_path / "whole.safetensors"
    save_file({k: t.float() for k, t in load_file(half).items()}, whole)
    one, _ = merged_weights(SPECK, (half, 0.7))
    other, _ = merged_weights(SPECK, (whole, 0.7))
    assert all(torch.equal(one[c][n], w) for c in other for n, w in other[c].items())


@pytest.mark.slow
def test_adapters_are_applied_in_their_order(tmp_path):
    first = write_adapter(tmp_path / "a.safetensors", SPECK, "lora", 1)
    second = write_adapter(tmp_path / "b.safetensors", SPECK, "loha", 2)
    found, base = merged_weights(SPECK, (first, 0.7), (second, -0.4))
    names = [n for n in base["unet"] if n.endswith("attn1.to_q.weight")]
    for name in names:
        weight = base["unet"][name]
        for path, scale in ((first, 0.7), (second, -0.4)):
            layer = open_adapter(path, SPECK).layers["unet"][name]
            weight = merge(weight, [layer.build(scale)])
        assert torch.equal(found["unet"][name], weight)


@pytest.mark.slow
def test_peft_names_of_all_kinds_are_read(tmp_path):
    """With PEFT's level, with the adapter's name inside, and without the pipeline's level."""
    tensors, metadata = make_adapter(SPECK, "peft")
    expected = open_adapter(write_adapter(tmp_path / "a.safetensors", SPECK, "peft"), SPECK)
    renamed = {
        "base_model.model." + k.replace("lora_A.", "lora_A.default.").removeprefix("unet."): t
        for k, t in tensors.items()
    }
    save_file(renamed, tmp_path / "b.safetensors", metadata)
    found = open_adapter(tmp_path / "b.safetensors", SPECK)
    assert {c: set(names) for c, names in found.layers.items()} == {
        c: set(names) for c, names in expected.layers.items()
    }


@pytest.mark.parametrize(("name", "value", "words"), [
    ("lora_alpha", True, "alpha True"), ("alpha_pattern", "abc", "no object as alpha_pattern"),
    ("alpha_pattern", {"to_q": 1, "to_k|to_v": 2}, "names of layers alone"),
    ("alpha_pattern", {"to_q": "1"}, "alpha '1'"), ("use_rslora", "no", "neither true nor false"),
])  # fmt: skip
def test_settings_of_other_types_are_refused(name, value, words, tmp_path):
    tensors, _ = make_adapter(SPECK, "peft")
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps({f"unet.{name}": value})})
    with pytest.raises(CheckpointError, match=re.escape(words)):
        open_adapter(path, SPECK)


def store(tensors):
    """Return tensors by what they are of a layer, as a file has them."""
    return {
        part: StoredTensor(part, Path("a"), "F32", tuple(t.shape), t.clone)
        for part, t in tensors.items()
    }


@pytest.mark.parametrize("wrong", [
    {"down": torch.ones(2, 2, 9, 1), "up": torch.ones(4, 2)},
    {"down": torch.ones(2, 2, 9), "up": torch.ones(4, 2)},
    {"down": torch.ones(2, 2, 1, 1), "mid": torch.ones(2, 2, 9, 1), "up": torch.ones(4, 2)},
    {"down": torch.ones(2, 2), "mid": torch.ones(2, 2, 9), "up": torch.ones(4, 2)},
    {"hada_w1_a": torch.ones(4, 2), "hada_w1_b": torch.ones(2, 2, 1, 9),
     "hada_w2_a": torch.ones(4, 2), "hada_w2_b": torch.ones(2, 18)},
    {"hada_w1_a": torch.ones(2, 4), "hada_w1_b": torch.ones(2, 2),
     "hada_t1": torch.ones(2, 2, 3, 3), "hada_t2": torch.ones(2, 2, 9, 1),
     "hada_w2_a": torch.ones(2, 4), "hada_w2_b": torch.ones(2, 2)},
    {"lokr_w1": torch.ones(2, 2), "lokr_w2": torch.ones(2, 1, 9, 1)},
    {"lokr_w1": torch.ones(2, 1, 3, 3), "lokr_w2": torch.ones(2, 2)},
    {"lokr_w1": torch.ones(2, 9), "lokr_w2": torch.ones(2, 2)},
    {"lokr_w1": torch.ones(2, 2), "lokr_w2_a": torch.ones(2, 2), "lokr_w2_b": torch.ones(2, 1),
     "lokr_t2": torch.ones(2, 2, 1, 9)},
])  # fmt: skip
def test_a_kernel_of_another_shape_with_as_many_values_is_refused(wrong):
    with pytest.raises(CheckpointError, match="has shape"):
        read_layer("layer", store(wrong), (4, 2, 3, 3), Scaling())


def test_a_core_of_a_linear_layer_and_matrices_of_a_norm_are_refused():
    factors = {"lokr_w1": torch.ones(2, 2), "lokr_w2_a": torch.ones(2, 2),
               "lokr_w2_b": torch.ones(2, 1), "lokr_t2": torch.ones(2, 2)}  # fmt: skip
    with pytest.raises(CheckpointError, match="convolutions alone"):
        read_layer("layer", store(factors), (4, 2), Scaling())
    with pytest.raises(CheckpointError, match="changes a matrix"):
        read_layer("n", store({"down": torch.ones(1, 1), "up": torch.ones(4, 1)}), (4,), Scaling())


@pytest.mark.parametrize("form", ["dora", "dora-input"])
def test_a_scale_of_dora_is_a_share_of_the_whole_change(form):
    """As in ComfyUI and in A1111's web UI, so that little of it changes little."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, 3, 3, generator=generator)
    tensors = make_layer(form, weight.shape, generator)
    parts = {split_key(f"layer{key}").part: tensor for key, tensor in tensors.items()}
    layer = read_layer("layer", store(parts), tuple(weight.shape), Scaling())
    whole = merge(weight, [layer.build(1.0)])
    axes = (1, 2, 3) if form == "dora" else (0, 2, 3)
    lengths = whole.square().sum(axes, keepdim=True).sqrt()
    assert torch.allclose(lengths, tensors[".dora_scale"], atol=1e-6)
    for scale in (0.25, 0.8, -1.5, 3.0, 1e-6):
        found = merge(weight, [layer.build(scale)])
        assert torch.allclose(found, weight + scale * (whole - weight), atol=2e-6)


def test_alpha_patterns_are_read(tmp_path):
    tensors, metadata = make_adapter(SPECK, "peft")
    settings = json.loads(metadata["lora_adapter_metadata"])
    settings["unet.alpha_pattern"] = {"attn1.to_q": 8.0}
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps(settings)})
    layers = open_adapter(path, SPECK).layers["unet"]
    factors = {name: layer.build(1.0).factor for name, layer in layers.items()}
    assert {f for n, f in factors.items() if n.endswith("attn1.to_q.weight")} == {2.0}
    assert {f for n, f in factors.items() if not n.endswith("attn1.to_q.weight")} == {0.5}


def turn_into_difference(tensors):
    """Replace a layer's factors by a difference whose axes are the wrong way round."""
    for key in [key for key in tensors if key.endswith(".lora_down.weight")]:
        layer = key.partition(".")[0]
        inputs, rows = tensors[key].shape[1], tensors[f"{layer}.lora_up.weight"].shape[0]
        if tensors[key].ndim == 2 and inputs != rows:
            break
    else:
        raise AssertionError("every layer is square")
    for part in ("lora_down.weight", "lora_up.weight", "alpha"):
        tensors.pop(f"{layer}.{part}", None)
    tensors[f"{layer}.diff"] = torch.ones(inputs, rows)


# What is done to a file's tensors, and words of the error and its hint.
FAULTS = {
    "a NaN": (lambda t: t[first(t, "lora_up")].view(-1)[3].fill_(float("nan")), "NaN"),
    "an infinity": (lambda t: t[first(t, "lora_down")].view(-1)[0].fill_(float("inf")), "infinite"),
    "no up": (lambda t: t.pop(first(t, "lora_up")), "has no up"),
    "no down": (lambda t: t.pop(first(t, "lora_down")), "has no down"),
    "another rank": (
        lambda t: change(t, first(t, "lora_up"), lambda x: x[:, :3].contiguous()), "has rank 3"
    ),
    "another width": (
        lambda t: change(t, first(t, "fc1.lora_down"), lambda x: x[:, :5].contiguous()),
        "and the model's has shape",
    ),
    "two alphas": (lambda t: change(t, first(t, ".alpha"), lambda x: x.repeat(2)), "one number"),
    "integers": (
        lambda t: change(t, first(t, "lora_up"), lambda x: x.to(torch.int8)), "holds I8 numbers"
    ),
    "fp8": (
        lambda t: change(t, first(t, "lora_up"), lambda x: x.to(torch.float8_e4m3fn)), "F8_E4M3"
    ),
    "an unknown layer": (
        lambda t: rename(t, "attn1_to_q.", "attn3_to_q."), "mean no layer of speck"
    ),
    "a layer twice": (
        lambda t: t.update({
            k.replace("lora_te_", "lora_te1_"): x.clone() for k, x in t.items() if "te_" in k
        }),
        "is there twice",
    ),
    "matrices of two kinds": (
        lambda t: t.update({first(t, "lora_up").replace("lora_up.weight", "hada_w1_a"):
                            torch.ones(2, 2)}),
        "matrices of two kinds",
    ),
    "an OFT": (lambda t: rename(t, ".alpha", ".oft_blocks"), "it is an OFT"),
    "an empty matrix": (
        lambda t: change(t, first(t, "lora_up"), lambda x: x[:0]), "expected a matrix"
    ),
    "a difference that is turned": (turn_into_difference, "changes a tensor of shape"),
    "nothing": (lambda t: t.clear(), "holds no tensors"),
    "a checkpoint": (
        lambda t: (t.clear(), t.update({"model.diffusion_model.out.0.weight": torch.ones(2)})),
        "a checkpoint or a part",
    ),
    "a textual inversion": (
        lambda t: (t.clear(), t.update({"emb_params": torch.ones(2, 768)})), "textual inversion"
    ),
    "FLUX": (lambda t: t.update({"lora_unet_double_blocks_0_img.alpha": torch.ones(())}), "FLUX"),
    "SDXL's second encoder": (
        lambda t: rename(t, "lora_te_", "lora_te2_"), "adapter for Stable Diffusion XL"
    ),
}  # fmt: skip


def first(tensors, part):
    return next(key for key in tensors if part in key)


def change(tensors, key, function):
    tensors[key] = function(tensors[key])


def rename(tensors, part, other):
    for key in [key for key in tensors if part in key]:
        tensors[key.replace(part, other)] = tensors.pop(key)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_by_name(fault, tmp_path):
    damage, words = FAULTS[fault]
    tensors, _ = make_adapter(SPECK, "lora")
    damage(tensors)
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        open_adapter(path, SPECK)
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("keep", [0, 4, 100, -5])
def test_a_truncated_file_is_refused(keep, tmp_path):
    path = write_adapter(tmp_path / "a.safetensors", SPECK, "lora")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        open_adapter(path, SPECK)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(CheckpointError, match="pickle"):
        open_adapter(path, SPECK)
    with pytest.raises(CheckpointError, match="pickle"):
        find_adapter(str(path))


@pytest.mark.slow
@pytest.mark.timed
def test_thousands_of_unknown_names_are_told_at_once(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({f"lora_unet_strange_{i}.alpha": torch.ones(()) for i in range(9000)}, path)
    with (
        at_most(MOST_SECONDS_OF_LARGE),
        pytest.raises(CheckpointError, match=r"9000 of its 9000 tensors .*, …") as caught,
    ):
        open_adapter(path, SPECK)
    assert len(caught.value.message) < 500


@pytest.mark.slow
@pytest.mark.parametrize(("model", "width", "own"), [
    ("sd15", 2048, "Stable Diffusion XL"), ("sdxl", 768, "Stable Diffusion 1.x"),
    ("sd15", 1024, "Stable Diffusion 2.x"),
])  # fmt: skip
def test_another_family_is_named(model, width, own, tmp_path):
    """Both families' names are in the error."""
    family = find_family(model)
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    path = tmp_path / "a.safetensors"
    save_file(
        {f"{layer}.lora_down.weight": torch.ones(4, width),
         f"{layer}.lora_up.weight": torch.ones(640, 4)}, path,
    )  # fmt: skip
    with pytest.raises(CheckpointError) as caught:
        open_adapter(path, family)
    assert own in caught.value.message
    assert model in caught.value.message


@pytest.mark.full
@pytest.mark.slow
def test_random_names_are_refused_and_nothing_else_happens(tmp_path):
    source = random.Random(0)
    pieces = ["lora_unet_", "lora_te_", "unet.", "attn1", ".lora_A.", "default", ".weight", "_lora",
              ".down", ".alpha", "to_q", ".", "", "é", "\x00"]  # fmt: skip
    for number in range(200):
        key = "".join(source.choices(pieces, k=source.randrange(1, 9))) or "x"
        path = tmp_path / f"{number}.safetensors"
        save_file({key: torch.ones(2, 2)}, path)
        with pytest.raises(CheckpointError):
            open_adapter(path, SPECK)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(form, tmp_path):
    path = write_adapter(tmp_path / "a.safetensors", SPECK, form)
    adapter = open_adapter(path, SPECK)
    assert adapter.count >= 10
    assert set(adapter.layers) == {"unet", "text_encoder"}
    assert adapter.sha256 == sha256_file(path)


def test_a_scale_beyond_float32_is_refused(tmp_path):
    path = write_adapter(tmp_path / "a.safetensors", SPECK, "lora")
    layer = next(iter(open_adapter(path, SPECK).layers["unet"].values()))
    with pytest.raises(CheckpointError, match="beyond float32"):
        layer.build(1e39)
