"""Which files of a component's folder are read: the same as diffusers and transformers read."""

import json
import os
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from marks import some_of
from mutations import MOST_BYTES, MOST_SECONDS_OF_LARGE, peak_bytes
from rewritten import FILES, save_shards, shard_digests, weights_of
from timing import at_most
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.safetensors_file import list_safetensors, read_metadata
from wsd.errors import CheckpointError
from wsd.models.instantiate import build_skeleton

STEMS = {"vae": "diffusion_pytorch_model", "text_encoder": "model"}


@pytest.fixture
def copy(checkpoint, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    return folder


class Place:
    """A component's folder that a test fills with files whose numbers tell them apart."""

    def __init__(self, folder, component):
        self.folder, self.component, self.stem = folder / component, component, STEMS[component]
        path = weights_of(folder, component)
        self.tensors = {name: value.float() for name, value in load_file(path).items()}
        path.unlink()

    def shifted(self, shift):
        return {name: value + shift for name, value in self.tensors.items()}

    def whole(self, shift, variant=None, name=None):
        middle = f".{variant}" if variant else ""
        file = name or f"{self.stem}{middle}.safetensors"
        save_file(self.shifted(shift), self.folder / file, {"format": "pt"})

    def shards(self, shift, **options):
        save_shards(self.shifted(shift), self.folder, self.stem, **options)


def plain(place):
    place.whole(0)


def shards_alone(place):
    place.shards(0, count=3)


def index_and_plain(place):
    # diffusers reads the index, transformers the plain file.
    place.shards(0 if place.component == "vae" else 1)
    place.whole(1 if place.component == "vae" else 0)


def plain_beside_variants(place):
    place.whole(0)
    for shift, variant in enumerate(("fp16", "bf16", "non_ema", "ema"), 1):
        place.whole(shift, variant)
    place.shards(9, variant="fp16")


def shards_beside_shards_of_a_variant(place):
    place.shards(0)
    place.shards(1, variant="fp16", count=4)


def strays(place):
    place.whole(0)
    place.whole(1, name=f"{place.stem}_old.safetensors")
    place.whole(2, name=f"{place.stem} (1).safetensors")
    place.whole(3, name="zzz.safetensors")
    place.whole(4, name=f"copy of {place.stem}.safetensors")
    for hidden in (f"._{place.stem}.safetensors", ".DS_Store", "._config.json"):
        (place.folder / hidden).write_bytes(bytes(4096))


def a_stale_shard(place):
    place.shards(1, count=3)
    place.shards(0, count=2)


def a_pickle_beside(place):
    place.whole(0)
    (place.folder / "pytorch_model.bin").write_bytes(b"PK never read")


ARRANGEMENTS = (
    plain, shards_alone, index_and_plain, plain_beside_variants,
    shards_beside_shards_of_a_variant, strays, a_stale_shard, a_pickle_beside,
)  # fmt: skip
CLASSES = {"vae": diffusers.AutoencoderKL, "text_encoder": transformers.CLIPTextModel}


def read(folder, family, component):
    checkpoint = open_checkpoint(folder, family)
    [found] = (c for c in family.components if c.id == component)
    wanted = {n: tuple(t.shape) for n, t in build_skeleton(found).named_parameters()}
    return dict(zip(wanted, checkpoint.source.tensors(found, wanted), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("component", STEMS)
@pytest.mark.parametrize("arrange", some_of(ARRANGEMENTS, 3))
def test_the_files_are_those_that_from_pretrained_reads(copy, family, component, arrange):
    place = Place(copy, component)
    arrange(place)
    theirs = CLASSES[component].from_pretrained(copy / component).state_dict()
    ours = read(copy, family, component)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    expected = place.shifted(0)
    some = next(name for name in ours if name in expected)
    assert torch.equal(ours[some], expected[some])


@pytest.mark.slow
@pytest.mark.parametrize("component", STEMS)
@pytest.mark.parametrize(
    "arrange",
    [
        lambda place: place.whole(0, "fp16"),
        lambda place: place.shards(0, variant="fp16"),
        lambda place: (place.whole(0, "fp16"), place.whole(1, "bf16"), place.whole(2, "non_ema")),
        lambda place: place.whole(0, "bf16"),
        lambda place: (place.whole(0, "fp32"), place.whole(1, "non_ema")),
        lambda place: place.whole(0, "non_ema"),
    ],
    ids=["fp16", "fp16-shards", "fp16-and-others", "bf16", "fp32-and-non_ema", "non_ema"],
)
def test_a_variant_is_read_where_there_is_nothing_else(copy, family, component, arrange):
    place = Place(copy, component)
    arrange(place)
    expected = place.shifted(0)
    ours = read(copy, family, component)
    assert all(
        torch.equal(value, expected[name]) for name, value in ours.items() if name in expected
    )


@pytest.mark.slow
def test_the_index_of_a_variant_as_old_diffusers_named_it(copy, family):
    place = Place(copy, "vae")
    index = "diffusion_pytorch_model.safetensors.fp16.index.json"
    place.shards(0, variant="fp16", index=index)
    theirs = diffusers.AutoencoderKL.from_pretrained(copy / "vae", variant="fp16").state_dict()
    ours = read(copy, family, "vae")
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def write_index(place, table):
    path = place.folder / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": table}))


REFUSED = {
    "a shard is missing": (
        lambda p: (p.shards(0), next(p.folder.glob("*00002-of*")).unlink()),
        r"vae: diffusion_pytorch_model-00002-of-00002.safetensors is missing, which .*index.json",
    ),
    "the index is missing": (
        lambda p: (p.shards(0), next(p.folder.glob("*.index.json")).unlink()),
        "is a shard, and diffusion_pytorch_model.safetensors.index.json is missing",
    ),
    "the index leads out of the folder": (
        lambda p: (
            p.shards(0),
            write_index(p, {"a": "../unet/diffusion_pytorch_model.safetensors"}),
        ),
        "is not the name of a file in its folder",
    ),
    "the index names a pickle": (
        lambda p: write_index(p, {"a": "diffusion_pytorch_model-00001-of-00002.bin"}),
        "is not the name of a .safetensors file",
    ),
    "the index names nothing": (
        lambda p: (p.shards(0), write_index(p, {})),
        r"index\.json: weight_map names no file",
    ),
    "the index is no table": (
        lambda p: (p.folder / "diffusion_pytorch_model.safetensors.index.json").write_text("{}"),
        "weight_map is missing",
    ),
    "two variants": (
        lambda p: (p.whole(0, "bf16"), p.whole(0, "fp32")),
        "weights in variants bf16, fp32, and none without one",
    ),
    "another name": (
        lambda p: p.whole(0, name="vae-ft-mse.safetensors"),
        "no diffusion_pytorch_model.safetensors here, only vae-ft-mse.safetensors",
    ),
    "pickles alone": (
        lambda p: (p.folder / "diffusion_pytorch_model.bin").write_bytes(b"PK"),
        "only pickles",
    ),
    "nothing": (lambda _: None, r"no \.safetensors file here"),
    "a pipe": (
        lambda p: os.mkfifo(p.folder / FILES["vae"]),
        "is not a regular file",
    ),
    "a folder": (lambda p: (p.folder / FILES["vae"]).mkdir(), "is not a regular file"),
    "a link to nothing": (
        lambda p: (p.folder / FILES["vae"]).symlink_to("../../blobs/0123"),
        "is a link to a file that is not there",
    ),
    "two shards with one tensor": (
        lambda p: (
            p.shards(0),
            save_file(
                p.shifted(0), p.folder / "diffusion_pytorch_model-00002-of-00002.safetensors"
            ),
        ),
        "tensor .* is in diffusion_pytorch_model-00001-of-00002.safetensors too",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(copy, family, name):
    arrange, message = REFUSED[name]
    arrange(Place(copy, "vae"))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(copy, family)
    assert caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "hint"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"<!doctype html><html>", "it is a web page"),
        (b"PK\x03\x04archive/data.pkl", "a zip or a pickle"),
        (b"GGUF\x03\x00\x00\x00", "rename it to end in .gguf"),
    ],
    ids=["git-lfs", "html", "zip", "gguf"],
)
def test_a_file_that_is_something_else_is_told(copy, family, start, hint):
    weights_of(copy, "unet").write_bytes(start)
    with pytest.raises(CheckpointError, match="not a readable safetensors file") as caught:
        open_checkpoint(copy, family)
    assert hint in caught.value.hint


@pytest.mark.slow
def test_a_snapshot_of_links_gives_the_same_shards(checkpoint, family, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot = tmp_path / "models--a--b" / "snapshots" / commit
    blobs.mkdir(parents=True)
    for n, path in enumerate(p for p in checkpoint.rglob("*") if p.is_file()):
        shutil.copyfile(path, blobs / str(n))
        link = snapshot / path.relative_to(checkpoint)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(n))
    assert open_checkpoint(snapshot, family).source.provenance == f"a/b@{commit}"
    ours = shard_digests(snapshot, family, tmp_path)
    assert ours == shard_digests(checkpoint, family, tmp_path)


@pytest.mark.slow
def test_the_folder_in_which_one_stands_has_its_name(copy, family, monkeypatch):
    monkeypatch.chdir(copy)
    assert open_checkpoint(Path(), family).source.provenance == "copy"
    monkeypatch.chdir(copy / "unet")
    assert open_checkpoint(Path(".."), family).source.provenance == "copy"


def header_of(tensors, more=0):
    """Return a safetensors file of empty tensors, with metadata of some bytes."""
    table = {
        f"{number:x}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        for number in range(tensors)
    }
    header = json.dumps({"__metadata__": {"notes": "x" * more}, **table}).encode()
    return len(header).to_bytes(8, "little") + header


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    ("tensors", "more", "said"),
    [
        (60_000, 0, "60000 tensors, expected at most 50000"),
        (1, 7 << 20, "its header has .* bytes, expected at most 6291456"),
        pytest.param(
            200_000, 0, "its header has .* bytes, expected at most 6291456", marks=pytest.mark.full
        ),
    ],
)
def test_a_header_of_more_than_any_checkpoint_has(tmp_path, tensors, more, said):
    path = tmp_path / "model.safetensors"
    path.write_bytes(header_of(tensors, more))
    before = peak_bytes()
    with at_most(MOST_SECONDS_OF_LARGE):
        with pytest.raises(CheckpointError, match=said):
            list_safetensors(path)
        assert peak_bytes() - before < MOST_BYTES


def test_a_header_that_says_it_is_larger_than_its_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((7 << 20).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_metadata(path)


@pytest.mark.slow
def test_notes_of_a_trainer_in_a_header_are_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(header_of(3, 5 << 20))
    assert len(list_safetensors(path)) == 3
    assert len(read_metadata(path)["notes"]) == 5 << 20
