"""`--lora` and `wsd lora`: what bundles have of adapters, and which are refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from adapters_data import make_adapter, write_adapter
from builds import make_library
from commands import wsd
from fake_hub import COMMIT, REPOSITORY, FakeHub, read_folder, serve
from speck import SPECK, SPECK_XL
from traced import cached_trace
from wsd.bundle.adapter_bundle import verify_adapter_bundle, write_adapter_bundle
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifest, read_manifest
from wsd.bundle.merged_adapters import check_adapters
from wsd.bundle.quantize import encode
from wsd.bundle.self_test import find_fixtures, write_fixtures
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.adapters.arithmetic import merge
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import find_adapter
from wsd.errors import UsageError
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline
from wsd.evaluate.metrics import psnr
from wsd.models.fine_tunes import FINE_TUNES
from wsd.models.registry import FAMILIES
from wsd.models.schedule_options import ScheduleOptions
from wsd.runtime.request import GenerationRequest
from wsd.util.hashing import sha256_file
from wsd.util.progress import Quiet


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Return two adapters of the small model."""
    folder = tmp_path_factory.mktemp("adapters")
    return [
        write_adapter(folder / "style.safetensors", SPECK, "lora", 1),
        write_adapter(folder / "shape: 2.safetensors", SPECK, "lokr", 2),
    ]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def built(adapters, compiled, tmp_path_factory):
    """Return a bundle with both adapters merged in, by the command."""
    out = tmp_path_factory.mktemp("built") / "bundle"
    code, _ = wsd("build", "--model", "speck", "--library", compiled, "--random-weights", 0,
                  "--lora", f"{adapters[0]}:0.7", "--lora", adapters[1], "--out", out)  # fmt: skip
    assert code == 0
    return out


def read_shards(folder, component):
    """Return name → bytes of a component's parameters in a bundle."""
    path = find_manifest(folder, "speck")
    entry = read_manifest(path).components[component]
    stream = b"".join((path.parent / shard.file).read_bytes() for shard in entry.shards)
    return {r.name: stream[r.offset : r.offset + r.bytes] for r in entry.records}


@pytest.mark.full
@pytest.mark.slow
def test_a_bundle_has_the_merged_weights_and_says_of_what(built, adapters):
    checkpoint = open_checkpoint(random_checkpoint(SPECK, 0), SPECK)
    given = [(adapters[0], 0.7), (adapters[1], 1.0)]
    opened = open_checkpoint(random_checkpoint(SPECK, 0), SPECK, adapters=given)
    assert list(verify_bundle(built)) == []
    model = read_manifest(find_manifest(built, "speck")).model
    expected = [
        {"source": path.name, "sha256": sha256_file(path), "scale": scale, "license": ""}
        for path, scale in ((adapters[0], 0.7), (adapters[1], 1.0))
    ]
    assert [adapter.model_dump() for adapter in model.adapters or ()] == expected
    library = cached_trace(SPECK)
    for component in SPECK.components:
        base = dict(checkpoint.load(component).named_parameters())
        stored = read_shards(built, component.id)
        changed = 0
        for parameter in library.parameters[component.id]:
            weight = base[parameter.name].detach()
            changes = [
                layer.build(applied.scale)
                for applied in opened.adapters
                if (layer := applied.adapter.layers.get(component.id, {}).get(parameter.name))
            ]
            changed += bool(changes)
            merged = merge(weight, changes) if changes else weight
            for buffer in encode(parameter, merged):
                assert stored[buffer.name] == buffer.data, buffer.name
        assert (changed > 0) == (component.id != "vae")


@pytest.mark.slow
def test_the_papers_name_the_adapters(built, adapters):
    sbom = json.loads((built / "sbom.cdx.json").read_text(encoding="utf-8"))
    (model,) = (c for c in sbom["components"] if c["type"] == "machine-learning-model")
    named = {r["comment"]: r["hashes"][0]["content"] for r in model["externalReferences"]
             if r.get("comment", "").startswith("adapter")}  # fmt: skip
    digests = [sha256_file(path) for path in adapters]
    assert named == {"adapter, scale 0.7": digests[0], "adapter, scale 1": digests[1]}
    statement = json.loads((built / "provenance.json").read_text(encoding="utf-8"))
    definition = statement["predicate"]["buildDefinition"]
    (parameters,) = definition["externalParameters"]["models"]
    assert parameters["adapters"] == [
        {"source": "style.safetensors", "scale": 0.7},
        {"source": "shape: 2.safetensors", "scale": 1.0},
    ]
    found = {d["digest"]["sha256"]: d["uri"] for d in definition["resolvedDependencies"]
             if d.get("name") == "adapter"}  # fmt: skip
    assert set(found) == set(digests)
    assert found[digests[0]] == "urn:wsd:checkpoint:style.safetensors"

    notices = (built / "THIRD_PARTY_NOTICES.txt").read_text(encoding="utf-8")
    assert "  adapter: style.safetensors, scale 0.7\n" in notices


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_build_names_what_the_model_does_not_run(tmp_path, caplog):
    """The last layer of SDXL's first text encoder, which trainers change too."""
    library = cached_trace(SPECK_XL)
    path = write_adapter(tmp_path / "style.safetensors", SPECK_XL, "lora")
    checkpoint = open_checkpoint(random_checkpoint(SPECK_XL, 0), SPECK_XL, adapters=[(path, 0.5)])
    build_bundle(checkpoint, library, tmp_path / "out", Quiet())
    (said,) = [r.getMessage() for r in caplog.records if "has no effect" in r.getMessage()]
    names = said.partition("has no effect: ")[2].split(", ")
    layer = "text_encoder.encoder.layers.1."
    assert {name.removeprefix(layer) for name in names} == {
        "mlp.fc1.weight", "mlp.fc2.weight", "self_attn.k_proj.weight", "self_attn.out_proj.weight",
        "self_attn.q_proj.weight", "self_attn.v_proj.weight",
    }  # fmt: skip
    assert said.startswith("adapter style.safetensors changes 6 parameters that speck-xl")


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_bundle_without_adapters_does_not_list_any(bundle):
    for path in (find_manifest(bundle, "tiny-sd15"), bundle / "provenance.json"):
        assert "adapters" not in _find_keys(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_what_an_interrupted_build_left_is_of_its_own_scale(adapters):
    """Shards that are continued are those of the same adapters, with the same scales."""
    from wsd.bundle.builder import _digest_parameters

    library = cached_trace(SPECK)
    path = random_checkpoint(SPECK, 0)
    keys = {
        _digest_parameters(open_checkpoint(path, SPECK, adapters=given), library)
        for given in (
            [], [(adapters[0], 1.0)], [(adapters[0], 0.5)], [(adapters[1], 1.0)],
            [(adapters[0], 1.0), (adapters[1], 1.0)], [(adapters[1], 1.0), (adapters[0], 1.0)],
        )
    }  # fmt: skip
    assert len(keys) == 6


@pytest.mark.exhaustive
@pytest.mark.slow
def test_fixtures_are_of_their_adapters(adapters, tmp_path):
    path = random_checkpoint(SPECK, 0)
    plain = open_checkpoint(path, SPECK)
    merged = open_checkpoint(path, SPECK, adapters=[(adapters[0], 0.7)])
    other = open_checkpoint(path, SPECK, adapters=[(adapters[0], 0.6)])
    given = write_fixtures(merged, (16, 16), "x", tmp_path / "self-test.json", Quiet())
    assert find_fixtures(merged, given) == given
    for checkpoint in (plain, other):
        with pytest.raises(Exception, match="is of other weights of text_encoder"):
            build_bundle(checkpoint, cached_trace(SPECK), tmp_path / "out", Quiet(), given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "form"),
    [
        (SPECK, "lora"),
        *(pytest.param(SPECK_XL, form, marks=pytest.mark.exhaustive) for form in ("locon", "peft")),
    ],
)
def test_the_reference_draws_what_diffusers_draws_with_the_adapter(family, form, tmp_path):
    path = write_adapter(tmp_path / "a.safetensors", family, form)
    weights = random_checkpoint(family, 0)
    request = GenerationRequest("a red circle", steps=4, seed=3)
    merged = open_checkpoint(weights, family, adapters=[(path, 0.8)])
    found, _ = draw_reference(merged, load_pipeline(merged), request, Quiet())
    plain = open_checkpoint(weights, family)
    pipeline = load_pipeline(plain)
    before, _ = draw_reference(plain, pipeline, request, Quiet())
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name)
    pipeline.fuse_lora(lora_scale=0.8)
    expected, _ = draw_reference(plain, pipeline, request, Quiet())
    assert psnr(found[0], expected[0]) >= 50
    assert psnr(found[0], before[0]) < 40


@pytest.mark.slow
def test_a_comparison_wants_the_adapters_of_the_build(built, adapters):
    path = random_checkpoint(SPECK, 0)
    manifest = read_manifest(find_manifest(built, "speck"))
    given = [(adapters[0], 0.7), (adapters[1], 1.0)]
    check_adapters(manifest, open_checkpoint(path, SPECK, adapters=given))
    for others in ([], given[:1], given[::-1], [(adapters[0], 0.6), given[1]]):
        with pytest.raises(UsageError, match="was built with style") as caught:
            check_adapters(manifest, open_checkpoint(path, SPECK, adapters=others))
        assert "--lora style.safetensors:0.7 --lora" in caught.value.hint
    model = manifest.model.model_copy(update={"adapters": None})
    plain = manifest.model_copy(update={"model": model})
    with pytest.raises(UsageError, match="without adapters"):
        check_adapters(plain, open_checkpoint(path, SPECK, adapters=given))


@pytest.mark.slow
def test_parity_and_bench_refuse_other_adapters(built, tmp_path, capsys):
    shared = ("--random-weights", 0)
    for words in (
        ("parity", built, "--model", "speck", "--prompt", "x", "--out", tmp_path / "a.png"),
        ("bench", built, "--compare"),
    ):
        code, _ = wsd(*words, *shared)
        assert code == 2
        assert "was built with style.safetensors" in capsys.readouterr().err
    assert wsd("bench", built, "--lora", "a.safetensors")[0] == 2
    assert "--lora is given without --compare" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "words"), [
    ("a.safetensors:big", "is not a number"),
    ("a.safetensors:nan", "finite"),
    ("a.safetensors:inf", "finite"),
    ("a.safetensors:", "is not a number"),
    (":0.5", "is not a file"),
    ("", "is empty"),
    ("missing.safetensors:0.5", "missing.safetensors does not exist"),
    ("style.ckpt", "is a pickle"),
    ("owner/name", "names a whole repository"),
    ("https://example.com/a.safetensors", "does not exist"),
])  # fmt: skip
def test_bad_values_of_the_option_are_refused(value, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _ = wsd("build", "--model", "speck", "--random-weights", 0, "--lora", value,
                  "--out", tmp_path / "out")  # fmt: skip
    assert code == 2
    error = capsys.readouterr().err
    assert words in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_bad_adapter_leaves_nothing_behind(compiled, adapters, tmp_path, capsys):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(adapters[0].read_bytes()[:-100])
    out = tmp_path / "out"
    code, _ = wsd("build", "--model", "speck", "--library", compiled, "--random-weights", 0,
                  "--lora", damaged, "--out", out)  # fmt: skip
    assert code == 2
    assert "not a readable safetensors file" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_a_bundle_of_an_adapter_is_small_and_verified(tmp_path):
    tensors, _ = make_adapter(SPECK, "lora")
    path = tmp_path / "My style.safetensors"
    save_file(tensors, path, {"modelspec.trigger_phrase": "red style,  shiny , red style",
                              "modelspec.license": "CC0-1.0"})  # fmt: skip
    out = tmp_path / "out"
    code, lines = wsd("lora", path, "--model", "speck", "--out", out)
    assert (code, lines) == (0, [str(out)])
    digest = sha256_file(path)
    described = json.loads((out / "adapter.json").read_text(encoding="utf-8"))
    assert described == {
        "version": 1, "name": "My style", "family": "speck", "sha256": digest,
        "file": f"adapter.{digest}.safetensors", "bytes": path.stat().st_size,
        "layers": sum(key.endswith(".alpha") for key in tensors),
        "trigger_words": ["red style", "shiny"], "license": "CC0-1.0",
    }  # fmt: skip
    assert {p.name for p in out.iterdir()} == {"adapter.json", described["file"]}
    assert (out / described["file"]).read_bytes() == path.read_bytes()
    assert wsd("verify", out) == (0, [f"{out}: good"])
    again = tmp_path / "again"
    wsd("lora", path, "--model", "speck", "--out", again)
    assert (again / "adapter.json").read_bytes() == (out / "adapter.json").read_bytes()
    assert wsd("lora", path, "--model", "speck", "--out", out)[0] == 2


@pytest.mark.slow
def test_damage_to_a_bundle_of_an_adapter_is_found(tmp_path, adapters, monkeypatch):
    monkeypatch.setitem(FAMILIES, "speck", SPECK)
    good = write_adapter_bundle(adapters[0], tmp_path / "good", SPECK, "Style")
    assert list(verify_adapter_bundle(good)) == []
    (file,) = good.glob("*.safetensors")

    def damaged(change):
        folder = shutil.copytree(good, tmp_path / "bad")
        change(folder)
        faults = list(verify_adapter_bundle(folder))
        shutil.rmtree(folder)
        return " ".join(faults)

    def alter(folder):
        data = bytearray((folder / file.name).read_bytes())
        data[-1] ^= 1
        (folder / file.name).write_bytes(data)

    def describe(**values):
        def change(folder):
            path = folder / "adapter.json"
            found = {**json.loads(path.read_text(encoding="utf-8")), **values}
            text = json.dumps(found, sort_keys=True, separators=(",", ":"))
            path.write_text(text + "\n", encoding="utf-8")

        return change

    assert "sha256 mismatch" in damaged(alter)
    assert "missing" in damaged(lambda folder: (folder / file.name).unlink())
    assert "bytes, expected" in damaged(lambda f: (f / file.name).write_bytes(b"x"))
    assert "more.txt: not in adapter.json" in damaged(lambda f: (f / "more.txt").write_text("x"))
    assert "layers is 3" in damaged(describe(layers=3))
    assert "no model is called nobody" in damaged(describe(family="nobody"))
    assert "symbolic link" in damaged(lambda f: (f / "link").symlink_to("/etc/passwd"))


@pytest.mark.full
def test_the_model_of_an_adapter_is_found(tmp_path, capsys):
    sd15 = FAMILIES["tiny-sd15"]
    path = write_adapter(tmp_path / "a.safetensors", sd15, "lora")
    out = tmp_path / "out"
    assert wsd("lora", path, "--name", "A name", "--out", out)[0] == 0
    described = json.loads((out / "adapter.json").read_text(encoding="utf-8"))
    assert (described["family"], described["name"]) == ("tiny-sd15", "A name")
    save_file({"lora_unet_strange.alpha": torch.ones(1)}, tmp_path / "b.safetensors")
    assert wsd("lora", tmp_path / "b.safetensors", "--out", tmp_path / "other")[0] == 2
    assert "fits none of the models" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "title", "form", "fine_tune"), [
    ("lcm-lora-sdv1-5.safetensors", "", "locon", "lcm-lora"),
    ("Hyper-SD15-8steps-CFG-lora.safetensors", "", "locon", "hyper-8step-cfg"),
    ("a.safetensors", "SDXL Lightning 4step", "locon", None),  # not of SD 1.5
    ("a.safetensors", "TCD-SD15-LoRA", "locon", "tcd"),
    ("pixel.safetensors", "A style", "locon", None),
    ("lcm-style.safetensors", "", "lora", None),  # changes attention alone
])  # fmt: skip
def test_adapters_of_fast_fine_tunes_bring_their_scheduler(
    name, title, form, fine_tune, tmp_path, caplog
):
    tensors, _ = make_adapter(SPECK, form)
    tensors = {key: value for key, value in tensors.items() if not key.startswith("lora_te")}
    path = tmp_path / name
    save_file(tensors, path, {"ss_output_name": title})
    weights = random_checkpoint(SPECK, 0)
    caplog.clear()
    found = open_checkpoint(weights, SPECK, adapters=[(path, 1.0)])
    said = [r.getMessage() for r in caplog.records if "is taken for" in r.getMessage()]
    if fine_tune is None:
        assert found.options == {}
        assert found.family.steps == SPECK.steps
        assert not said
        return
    tune = FINE_TUNES[fine_tune]
    assert found.options == {"fine-tune": fine_tune}
    assert (found.family.steps, found.family.guidance_scale) == (tune.steps, tune.guidance_scale)
    assert found.default_scheduler == tune.scheduler
    assert len(said) == 1
    assert name in said[0]
    # What a person says counts.
    for options in (ScheduleOptions(scheduler="heun"), ScheduleOptions(fine_tune="lcm-lora")):
        other = open_checkpoint(weights, SPECK, options=options, adapters=[(path, 1.0)])
        assert other.options == options.given()
    # One that is not applied changes nothing.
    assert open_checkpoint(weights, SPECK, adapters=[(path, 0.0)]).options == {}


@pytest.mark.slow
def test_an_adapter_is_fetched_from_the_hub(monkeypatch, tmp_path):
    tensors, metadata = make_adapter(SPECK, "peft")
    folder = tmp_path / "repository"
    folder.mkdir()
    save_file(tensors, folder / "pytorch_lora_weights.safetensors", metadata)
    with serve(FakeHub(read_folder(folder)), monkeypatch, tmp_path / "cache"):
        path = find_adapter(f"{REPOSITORY}/pytorch_lora_weights.safetensors")
    applied = open_checkpoint(random_checkpoint(SPECK, 0), SPECK, adapters=[(path, 0.5)]).adapters
    assert [a.source for a in applied] == [
        f"{REPOSITORY}/pytorch_lora_weights.safetensors@{COMMIT}"
    ]


def _find_keys(value):
    """Every key of the objects in a parsed JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(_find_keys, value.values()))
    return set().union(*map(_find_keys, value)) if isinstance(value, list) else set()
