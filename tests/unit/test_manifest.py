"""The manifest: written, read, upgraded, refused."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from wsd.bundle.builder import describe_conditioning, describe_latent_space
from wsd.bundle.manifest import read_index, read_manifest, write_index, write_manifest
from wsd.bundle.manifest_v1 import upgrade_manifest
from wsd.errors import BundleError
from wsd.models.registry import FAMILIES
from wsd.models.schedulers import describe_noise_schedule, describe_schedulers
from wsd.spec import manifest as spec
from wsd.spec.manifest import SCHEMA_VERSION, IndexEntry, Manifest, SchedulerConstants
from wsd.spec.selection import SelectionRules
from wsd.util.hashing import digest_file

FIXTURES = Path(__file__).parents[1] / "fixtures"
SCHEMA = json.loads(
    Path(spec.__file__).parents[1].joinpath("bundle/manifest.schema.json").read_text()
)


@pytest.fixture
def early():
    """Return a manifest as JSON that was written when version 2 was new."""
    return json.loads((FIXTURES / "manifest-v2.json").read_text())


@pytest.fixture
def table(early):
    """Return the same manifest as it is written now."""
    return Manifest.model_validate_json(json.dumps(early)).model_dump(mode="json")


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a manifest from JSON."""

    def read(table):
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(table))
        return read_manifest(path)

    return read


def test_round_trip(table, read, tmp_path):
    manifest = read(table)
    written = write_manifest(manifest, tmp_path)
    assert json.loads(written.read_text()) == table
    assert read_manifest(written) == manifest


def test_manifests_of_before_newer_fields_are_read(early, table, read):
    """Each of these fields has a default that stands for what there was before."""
    assert read(early) == read(table)
    assert early != table


def test_what_a_bundle_may_lack_is_left_out(table, read, tmp_path):
    del table["kernels"], table["self_test"]
    manifest = read(table)
    assert manifest.kernels is manifest.self_test is None
    assert json.loads(write_manifest(manifest, tmp_path).read_text()) == table


@pytest.mark.full
@pytest.mark.slow
def test_what_is_written_fits_the_published_schema(table):
    jsonschema.validate(table, SCHEMA)
    jsonschema.validate(
        {k: v for k, v in table.items() if k not in ("kernels", "self_test")}, SCHEMA
    )
    for key in set(table) - {"kernels", "self_test"}:
        with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
            jsonschema.validate({k: v for k, v in table.items() if k != key}, SCHEMA)


def find_objects(value, model, place=()):
    """Yield (place, model) of every object in a manifest that a model of ours describes."""
    yield place, model
    for name, field in model.model_fields.items():
        found = value.get(name)
        if found is None or found == []:
            continue
        for inner in models_of(field.annotation):
            if isinstance(found, list):
                yield from find_objects(found[0], inner, (*place, name, 0))
            elif model_takes(inner, found):
                yield from find_objects(found, inner, (*place, name))
            else:
                key = next(iter(found))
                yield from find_objects(found[key], inner, (*place, name, key))


def models_of(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_of(part)]


def model_takes(model, value):
    return set(value) <= set(model.model_fields)


def at(table, place):
    for key in place:
        table = table[key]
    return table


@pytest.mark.slow
def test_every_field_without_a_default_is_required(table, read):
    """The others are the two files that a bundle may lack, and what older manifests lack."""
    picture = {"file": "a.webp", "bytes": 1, "sha256": "0" * 64, "prompt": "a", "settings": ""}
    table["example_pictures"] = [picture]
    described = {"name": "a", "layers": 1, "trigger_words": [], "license": ""}
    file = {"file": "a.safetensors", "bytes": 1, "sha256": "0" * 64}
    table["example_loras"] = [{**file, **described}]
    prepared = {"resize": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    table["safety_checker"] = {**prepared, "source": "a", "license": ""}
    table["model"]["adapters"] = [{"source": "a", "sha256": "0" * 64, "scale": 1.0}]
    shift = {"base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256}
    shift |= {"max_image_seq_len": 4096, "time_shift_type": "linear"}
    levels = {"sigma_min": 0.003, "sigma_max": 1.0, "shift": 3.0, "dynamic": shift}
    next(iter(table["schedulers"]["available"].values()))["flow"] = levels
    checked = set()
    for place, model in find_objects(table, Manifest):
        for field, known in model.model_fields.items():
            checked.add((model.__name__, field))
            changed = json.loads(json.dumps(table))
            at(changed, place).pop(field, None)
            if not known.is_required():
                found = read(changed).model_dump()
                assert at(found, place).get(field) == known.default
                continue
            with pytest.raises(BundleError, match=rf"{field}|not a readable manifest"):
                read(changed)
    classes = {value for value in vars(spec).values() if isinstance(value, type)}
    described = {
        (model.__name__, field)
        for model in classes
        if issubclass(model, BaseModel) and not model.__name__.startswith("_")
        for field in model.model_fields
        if model not in (BaseModel, IndexEntry, SchedulerConstants, SelectionRules)
    }
    assert described == checked


@pytest.mark.slow
def test_an_unknown_field_is_refused_anywhere(table, read):
    for place, _ in find_objects(table, Manifest):
        changed = json.loads(json.dumps(table))
        at(changed, place)["surprise"] = 1
        with pytest.raises(BundleError, match="surprise"):
            read(changed)


BAD = [
    (("entry_points", 2, "role"), "unet", "entry_points/2/role: .*'unet' is not a role"),
    (("entry_points", 0, "dispatches"), -1, "entry_points/0/dispatches: .*greater than or equal"),
    (("entry_points", 0, "inputs", 0, "dtype"), "int64", "inputs/0/dtype: .*'float32' or 'int32'"),
    (("library", "file"), "../x", "library/file: .*pattern"),
    (("library", "sha256"), "0", "library/sha256: .*pattern"),
    (("library", "bytes"), "7", "library/bytes: .*valid integer"),
    (("components", "vae", "records", 0, "offset"), 2, "components/vae/records/0/offset: .*of 4"),
    (("entry_points", 0, "component"), "x", "entry_points: text_encoder: no component 'x'"),
    (("conditioning", "encoders"), ["x"], "conditioning: encoders: x: no component"),
    (("schedulers", "default"), "x", "schedulers: .*default is 'x', available are"),
    (("noise_schedule", "num_train_timesteps"), 5, "noise_schedule: .*has 4 values, .* is 5"),
    (("preview", "weights", 0), [1.0], "preview: weights: a row has 1 factors, .* 4 channels"),
    (("defaults", "size"), [8], "defaults/size/1: Field required"),
    (("model", "dtype"), "f64", "model/dtype: "),
]


@pytest.mark.parametrize(
    ("place", "value", "message"), BAD, ids=[".".join(map(str, p)) for p, *_ in BAD]
)
def test_bad_input_is_named_with_its_place(table, read, place, value, message):
    at(table, place[:-1])[place[-1]] = value
    with pytest.raises(BundleError, match=f"manifest.json: .*{message}") as caught:
        read(table)
    assert "wsd build" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", '{"schema_version": "2"}'])
def test_what_is_no_manifest(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json: "):
        read_manifest(path)


def test_a_newer_version_is_refused_with_what_to_do(table, read):
    table["schema_version"] = SCHEMA_VERSION + 1
    with pytest.raises(BundleError, match="schema_version is 3, the newest known is 2") as caught:
        read(table)
    assert "update this one, or build the bundle again" in caught.value.hint


@pytest.mark.slow
def test_version_1_is_upgraded(early, read):
    """The page upgrades the same file to the same manifest: web/tests/bundle/manifest.test.ts."""
    old = json.loads((FIXTURES / "manifest-v1.json").read_text())
    before = json.dumps(old)
    assert upgrade_manifest(old) == early
    assert json.dumps(old) == before
    assert read(old) == read(early)


@pytest.mark.slow
def test_what_was_upgraded_is_what_is_written_now(read):
    """The fixture is a manifest of tiny-sdxl, with its lists cut short."""
    family = FAMILIES["tiny-sdxl"]
    old = read(json.loads((FIXTURES / "manifest-v1.json").read_text()))
    assert old.conditioning == describe_conditioning(family)
    assert old.latent_space == describe_latent_space(family)
    assert old.pipeline == family.architecture.pipeline
    assert old.model.pipeline == family.architecture.diffusers_pipeline
    assert {id_: (entry.folder, entry.role) for id_, entry in old.components.items()} == {
        component.id: (component.folder, component.role) for component in family.components
    }
    noise = describe_noise_schedule(family.scheduler)
    assert old.noise_schedule.prediction_type == noise.prediction_type
    assert old.noise_schedule.alphas_cumprod == noise.alphas_cumprod[:4]
    schedulers = describe_schedulers(family.scheduler)
    assert old.schedulers.default == schedulers.default
    assert set(old.schedulers.available) <= set(schedulers.available)
    # The others' timesteps were spaced by their own classes' defaults then.
    default = schedulers.default
    assert old.schedulers.available[default] == schedulers.available[default]


def test_a_negative_prompt_of_version_1(read):
    old = json.loads((FIXTURES / "manifest-v1.json").read_text())
    assert read(old).conditioning.empty_negative == "zeros"
    assert read({**old, "force_zeros_for_empty_prompt": False}).conditioning.empty_negative == (
        "encode"
    )


@pytest.mark.slow
def test_a_damaged_manifest_of_version_1(read):
    old = json.loads((FIXTURES / "manifest-v1.json").read_text())
    for key in old:
        if key in ("kernels", "self_test", "schema_version"):
            continue
        with pytest.raises(BundleError, match=rf"manifest\.json: .*{key}"):
            read({name: value for name, value in old.items() if name != key})


def test_lookups(table, read):
    manifest = read(table)
    assert manifest.sizes() == ((192, 192),)
    assert [entry.name for entry in manifest.entries("text_encoder")] == [
        "text_encoder",
        "text_encoder_2",
    ]
    assert manifest.entries("denoiser", (64, 64)) == ()
    (tile,) = manifest.entries("vae_decoder_tile", (64, 64))
    assert tile.size is None
    peak = manifest.peak_bytes[0]
    assert manifest.peak(peak.size, offload=peak.offload, tiling=peak.tiling) == peak.bytes
    names = {entry.file for entry in manifest.files()}
    assert len(names) == len(table["components"]) + 2 + 1 + 2


def test_storages_leave_scales_out(table, read):
    record = table["components"]["vae"]["records"][0]
    record["dtype"] = "int8"
    scale = {**record, "name": record["name"] + ".scale", "dtype": "float32", "shape": [1]}
    table["components"]["vae"]["records"][1:1] = [scale]
    storages = read(table).storages()
    assert storages["vae"][record["name"]] == "int8"
    assert scale["name"] not in storages["vae"]
    assert set(storages) == set(table["components"])


def test_the_index(tmp_path):
    (tmp_path / "models" / "a").mkdir(parents=True)
    manifest = tmp_path / "models" / "a" / "manifest.json"
    manifest.write_text("{}")
    stale = "sha384-" + "A" * 64
    entry = IndexEntry(name="a", title="A", dtype="f32", manifest="a/", integrity=stale)
    write_index([entry], tmp_path)
    (read,) = read_index(tmp_path)
    assert read.integrity == digest_file(manifest).integrity
    assert read == entry.model_copy(update={"integrity": read.integrity})
    # Bundles of before digests have none.
    (tmp_path / "models" / "index.json").write_text(
        '[{"name": "a", "title": "A", "dtype": "f32", "manifest": "a/"}]'
    )
    assert [entry.integrity for entry in read_index(tmp_path)] == [None]
    (tmp_path / "models" / "index.json").write_text('[{"name": "a"}]')
    with pytest.raises(BundleError, match=r"index\.json: 0/title: Field required"):
        read_index(tmp_path)
