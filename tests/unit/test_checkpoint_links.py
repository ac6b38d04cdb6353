"""Links in a checkpoint: none of what a build publishes may come from elsewhere."""

import json
import os
import shutil

import pytest

from wsd.bundle.example_pictures import FOLDER_NAME, find_examples, read_examples
from wsd.bundle.self_test import find_fixtures
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.diffusers_folder import DiffusersFolder
from wsd.checkpoint.links import check_inside
from wsd.checkpoint.model_card import LICENSE_FILES, read_model_card
from wsd.checkpoint.tokenizer import open_tokenizer
from wsd.errors import CheckpointError
from wsd.spec.self_test import FILE_NAME

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "home" / "token"
    path.parent.mkdir()
    path.write_text("hf_secret")
    return path


@pytest.fixture
def copy(checkpoint, tmp_path):
    """Return a copy of the shipped checkpoint whose weights are links."""
    copy = tmp_path / "cloned" / "checkpoint"
    shutil.copytree(checkpoint, copy)
    for path in copy.rglob("*.safetensors"):
        path.unlink()
        path.symlink_to(checkpoint / path.relative_to(copy))
    return copy


def link(path, target):
    """Put a link in the place of a file or folder, if there is one."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)


def through_a_folder(copy, name, secret):
    (copy / "more").symlink_to(os.path.relpath(secret.parent, copy))
    link(copy / name, f"more/{secret.name}")


def in_steps(copy, name, secret):
    (copy / "step").symlink_to(secret)
    link(copy / name, "step")


WAYS = {
    "relative": lambda copy, name, secret: link(copy / name, os.path.relpath(secret, copy)),
    "absolute": lambda copy, name, secret: link(copy / name, secret),
    "through a folder": through_a_folder,
    "in steps": in_steps,
    "to nowhere": lambda copy, name, secret: link(copy / name, secret.with_name("later")),
    "in a circle": lambda copy, name, _secret: link(copy / name, copy / name),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["README.md", *LICENSE_FILES[::4]])
def test_no_text_of_another_place_is_published(copy, family, secret, way, name):
    WAYS[way](copy, name, secret)
    with pytest.raises(CheckpointError, match=f"{name} is a link (out of|that cannot)") as caught:
        read_model_card(DiffusersFolder(copy, family))
    assert caught.value.hint
    assert "hf_secret" not in str(caught.value)


@pytest.mark.slow
def test_a_checkpoint_that_is_reached_by_a_link_is_read(copy, family, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    link(copy / "LICENSE", "README.md")
    texts = read_model_card(DiffusersFolder(tmp_path / "link", family)).texts
    assert texts["LICENSE"] == texts["model-card"] == (copy / "README.md").read_text()


@pytest.mark.slow
def test_folders_with_similar_names_are_not_the_checkpoint(copy, family, secret):
    beside = copy.with_name("checkpoint-2")
    secret.parent.rename(beside)
    link(copy / "NOTICE", f"../{beside.name}/token")
    with pytest.raises(CheckpointError, match="out of"):
        read_model_card(DiffusersFolder(copy, family))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["folder", "picture"])
def test_no_picture_of_another_place_is_published(copy, family, tmp_path, whole):
    drawn = tmp_path / "Pictures"
    (copy / FOLDER_NAME).rename(drawn)
    if whole:
        link(copy / FOLDER_NAME, drawn)
    else:
        (copy / FOLDER_NAME).mkdir()
        link(copy / FOLDER_NAME / "1.png", drawn / "1.png")
        with pytest.raises(CheckpointError, match=r"1\.png is a link out"):
            read_examples(copy / FOLDER_NAME)
    with pytest.raises(CheckpointError, match="is a link out"):
        find_examples(open_checkpoint(copy, family))


@pytest.mark.slow
def test_pictures_from_elsewhere_in_the_checkpoint(copy, family):
    (copy / FOLDER_NAME).rename(copy / "drawn")
    (copy / FOLDER_NAME).mkdir()
    link(copy / FOLDER_NAME / "1.png", "../drawn/1.png")
    assert len(find_examples(open_checkpoint(copy, family))) == 1


@pytest.mark.slow
def test_no_expected_values_of_another_place(copy, family, tmp_path):
    (copy / FILE_NAME).rename(tmp_path / "values.json")
    link(copy / FILE_NAME, tmp_path / "values.json")
    with pytest.raises(CheckpointError, match="is a link out"):
        find_fixtures(open_checkpoint(copy, family), None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "tokenizer.json", "tokenizer_config.json"])
def test_no_tokenizer_of_another_place(copy, checkpoint, family, tmp_path, name):
    link(copy / "tokenizer" / name if name else copy / "tokenizer", checkpoint / "tokenizer" / name)
    with pytest.raises(CheckpointError, match="is a link out"):
        open_checkpoint(copy, family)
    given = tmp_path / "given"
    shutil.copytree(checkpoint / "tokenizer", given)
    link(given / "tokenizer.json", checkpoint / "tokenizer" / "tokenizer.json")
    shutil.rmtree(copy / "tokenizer") if name else (copy / "tokenizer").unlink()
    with pytest.raises(CheckpointError, match="is a link out"):
        open_checkpoint(copy, family, given)


def snapshot_of(checkpoint, cache):
    """Return a snapshot of a checkpoint as the hub's cache has it, and its folder of blobs."""
    repository = cache / "models--owner--name"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / COMMIT
    blobs.mkdir(parents=True)
    for number, path in enumerate(p for p in checkpoint.rglob("*") if p.is_file()):
        shutil.copyfile(path, blobs / f"{number:040x}")
        place = snapshot / path.relative_to(checkpoint)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blobs / f"{number:040x}", place.parent))
    return snapshot, blobs


@pytest.mark.slow
def test_a_snapshot_of_the_hub_is_read(checkpoint, family, tmp_path):
    snapshot, _ = snapshot_of(checkpoint, tmp_path)
    opened = open_checkpoint(snapshot, family)
    assert read_model_card(opened.source).texts["model-card"]
    assert len(find_examples(opened)) == 6
    # Parts of it can be named by themselves.
    assert len(read_examples(snapshot / FOLDER_NAME)) == 6
    alone = DiffusersFolder(tmp_path / "none", family, snapshot / "tokenizer")
    assert alone.tokenizer_files(family.tokenizers[0]).folder == snapshot / "tokenizer"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["beside", "another repository", "blob", "blobs"])
def test_what_looks_like_a_snapshot_leads_no_further(checkpoint, family, tmp_path, secret, way):
    snapshot, blobs = snapshot_of(checkpoint, tmp_path / "cache")
    target = secret
    if way == "another repository":
        target = tmp_path / "cache" / "models--other--name" / "blobs" / "0"
        target.parent.mkdir(parents=True)
        target.write_text("hf_secret")
    elif way == "blob":
        target = blobs / "token"
        target.symlink_to(secret)
    elif way == "blobs":
        blobs.rename(secret.parent / "blobs")
        blobs.symlink_to(secret.parent / "blobs")
        target = blobs / f"{0:040x}"
    link(snapshot / "README.md", target)
    with pytest.raises(CheckpointError, match="is a link out"):
        read_model_card(DiffusersFolder(snapshot, family))


def test_a_path_that_is_not_there_is_inside(tmp_path):
    assert check_inside(tmp_path / "none", tmp_path) == tmp_path / "none"
    with pytest.raises(CheckpointError):
        check_inside(tmp_path / ".." / "none", tmp_path)


TOKENIZER = "tokenizer"


@pytest.mark.slow
def test_transformers_reads_nothing_that_was_not_checked(copy, family):
    """Templates of chats, of a terabyte and as a pipe, are not opened."""
    folder = copy / TOKENIZER
    with (folder / "chat_template.jinja").open("wb") as file:
        file.truncate(1 << 40)
    (folder / "chat_templates").mkdir()
    os.mkfifo(folder / "chat_templates" / "a.jinja")
    (folder / "tokenizer.4.0.json").write_text("{}")
    (folder / "config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    expected = open_tokenizer(family, DiffusersFolder(family.weights, family), family.tokenizers[0])
    found = open_tokenizer(family, DiffusersFolder(copy, family), family.tokenizers[0])
    assert found("a red circle").input_ids == expected("a red circle").input_ids


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fast_tokenizer_files", ["tokenizer.4.0.json"]),
        ("fast_tokenizer_files", ["/elsewhere/tokenizer.4.0.json"]),
        ("tokenizer_file", "/elsewhere/tokenizer.json"),
        ("vocab_file", "../vocab.json"),
        ("merges_file", "/dev/zero"),
        ("chat_template_file", "/elsewhere/template"),
    ],
)
def test_settings_that_name_other_files_are_refused(copy, family, file, key, value):
    path = copy / TOKENIZER / file
    table = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**table, key: value}))
    with pytest.raises(CheckpointError, match=f"{file}: {key} names another file"):
        open_checkpoint(copy, family)


@pytest.mark.parametrize(
    "more",
    [{"tokenizer_file": None}, {"special_tokens_map_file": "/home/a/special_tokens_map.json"}],
)
def test_settings_as_transformers_once_wrote_them_are_read(copy, family, more):
    path = copy / TOKENIZER / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))
    open_checkpoint(copy, family)
