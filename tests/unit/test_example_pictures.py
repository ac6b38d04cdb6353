"""Example pictures: PNGs with their settings become small pictures of a bundle."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from commands import exit_code
from copied_checkpoints import copy_with_empty
from marks import some_of
from reattested import MANIFEST, MODEL, attest, chain, change, shrink
from wsd.bundle.builder import build_bundle
from wsd.bundle.example_pictures import FOLDER_NAME, find_examples, read_examples, read_prompt
from wsd.bundle.merge import join_bundles
from wsd.bundle.verify import verify_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.errors import UsageError
from wsd.models.registry import FAMILIES
from wsd.runtime.http_headers import cache_control, content_type
from wsd.spec.manifest import MAX_EXAMPLE_BYTES, MAX_EXAMPLES
from wsd.util.hashing import sha256_bytes
from wsd.util.progress import Quiet

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SHIPPED = [name for name, family in FAMILIES.items() if family.weights is not None]
PAIRS = "Steps: 2, Sampler: Euler, CFG scale: 3, Seed: 7, Size: 128x128"
NOISE = np.random.default_rng(1).integers(0, 256, (300, 200, 3), np.uint8)


def png(settings=None, pixels=NOISE):
    """Return a PNG with its settings, as bytes."""
    texts = PngInfo()
    if settings is not None:
        texts.add_itxt("parameters", settings)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG", pnginfo=texts)
    return data.getvalue()


def chunk(kind, data):
    framed = kind + data
    return struct.pack(">I", len(data)) + framed + struct.pack(">I", zlib.crc32(framed))


def bomb(width, height):
    """Return a PNG of so many pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


GOOD = png(f"a cat\n{PAIRS}")


@pytest.fixture
def folder(tmp_path):
    """Return a function that makes a folder of files."""

    def make(**files):
        path = tmp_path / "pictures"
        path.mkdir()
        for name, data in files.items():
            (path / name.replace("_", ".")).write_bytes(data)
        return path

    return make


@pytest.mark.slow
def test_pictures_are_read_in_the_order_of_their_names(folder, caplog):
    first, second = f"a cat\nNegative prompt: a dog\n{PAIRS}", f"two\nlines\n{PAIRS}"
    path = folder(b_PNG=png(second), a_png=png(first), notes_txt=b"", **{"_DS_Store": b""})
    examples = read_examples(path)
    assert [(e.prompt, e.settings) for e in examples] == [("a cat", first), ("two\nlines", second)]
    for example in examples:
        # Noise is the hardest to compress.
        assert len(example.picture) <= MAX_EXAMPLE_BYTES
        with Image.open(io.BytesIO(example.picture)) as picture:
            assert (picture.format, picture.size) == ("WEBP", (128, 128))
            assert not {"exif", "xmp", "icc_profile"} & set(picture.info)
    (record,) = caplog.records
    assert record.getMessage().endswith("notes.txt is no PNG, so it is no example")
    assert read_examples(path) == examples


@pytest.mark.parametrize("shape", [(5, 900, 3), (64, 64, 3), (1, 1, 3), (200, 130), (140, 150, 4)])
def test_pictures_of_any_shape_and_colours(folder, shape):
    pixels = np.full(shape, 200, np.uint8)
    (example,) = read_examples(folder(a_png=png(f"a cat\n{PAIRS}", pixels)))
    with Image.open(io.BytesIO(example.picture)) as picture:
        edge = min(128, *shape[:2])
        assert picture.size == (edge, edge)
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - 200).max() < 4


BAD = [
    ({}, "holds no PNG"),
    ({"a_jpg": GOOD}, "holds no PNG"),
    ({f"{n}_png": GOOD for n in range(MAX_EXAMPLES + 1)}, f"page has room for {MAX_EXAMPLES}"),
    ({"a_png": png()}, "does not say with which settings"),
    ({"a_png": png("a cat")}, "does not say with which settings"),
    ({"a_png": png(f" \n{PAIRS}")}, "was drawn without a prompt"),
    ({"a_png": png(f"Negative prompt: a dog\n{PAIRS}")}, "was drawn without a prompt"),
    ({"a_png": png(f"{'cat ' * 6000}\n{PAIRS}")}, "at most 20000"),
    ({"a_png": png(f"{'cat ' * 300_000}\n{PAIRS}")}, "at most 20000"),
    ({"a_png": GOOD, "b_png": GOOD}, "a.png and "),
    ({"a_png": b""}, "a.png is no PNG, or damaged"),
    ({"a_png": b"GIF89a"}, "a.png is no PNG, or damaged"),
    ({"a_png": GOOD[:-200]}, "a.png is no PNG, or damaged"),
    ({"a_png": GOOD, "b_png": GOOD[:40]}, "b.png is no PNG, or damaged"),
    ({"a_png": bomb(9000, 9000)}, "a.png has 9000x9000 pixels"),
    ({"a_png": bomb(100_000, 100_000)}, "a.png has too many pixels"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("files", "said"), BAD, ids=[said for _, said in BAD])
def test_what_is_no_example_is_refused_before_anything_is_built(
    folder, files, said, tmp_path, capsys
):
    out = tmp_path / "out"
    code = exit_code("build", "--model", "tiny-sd15", "--examples", folder(**files), "--out", out)
    captured = capsys.readouterr()
    assert (code, captured.out, out.exists()) == (2, "", False)
    *_, message, hint = captured.err.splitlines()
    assert message.startswith("error: ")
    assert said in message
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("place", ["absent", "file"])
def test_a_path_that_is_no_folder(tmp_path, place):
    (tmp_path / "file").write_bytes(GOOD)
    with pytest.raises(UsageError, match="is not a folder of example pictures"):
        read_examples(tmp_path / place)


def split(data):
    """Return type and data of each chunk of a PNG."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


@pytest.mark.slow
def test_damage_anywhere_is_refused_or_harmless(folder):
    """Checksums are right, so that what is behind them is read too."""
    random, refused = np.random.default_rng(25), 0
    chunks = split(png(f"a cat\n{PAIRS}", NOISE[:16, :16]))
    path = folder(a_png=b"") / "a.png"
    for _ in range(300):
        damaged = list(chunks)
        number = random.integers(len(chunks) - 1)
        kind, content = damaged[number]
        changed = bytearray(content)
        changed[random.integers(len(content))] = random.integers(256)
        damaged[number] = kind, bytes(changed[: random.integers(1, 2 * len(content))])
        path.write_bytes(SIGNATURE + b"".join(chunk(*each) for each in damaged))
        try:
            (example,) = read_examples(path.parent)
        except UsageError:
            refused += 1
        else:
            assert example.prompt.strip()
            assert example.picture[8:12] == b"WEBP"
    assert 0 < refused < 300


PROMPTS = [
    f"a cat\n{PAIRS}",
    f"a cat\nNegative prompt: a dog\nof two lines\n{PAIRS}",
    f"Steps: 3 of them\nNegative prompt:none\r\n{PAIRS}\nHires: none",
    f" a cat \n\n{PAIRS}  \n",
    f"Negative prompt: a dog\n{PAIRS}",
    PAIRS,
]


@pytest.mark.parametrize("settings", PROMPTS)
def test_the_page_finds_the_same_prompt(javascript, settings):
    assert javascript({"call": "prompt", "settings": settings}) == read_prompt(settings)


def test_a_text_without_settings():
    assert read_prompt("a cat\nof two lines, Steps: 3") is None


@pytest.mark.slow
@pytest.mark.parametrize("model", SHIPPED)
def test_the_small_models_ship_with_pictures(model):
    family = FAMILIES[model]
    checkpoint = open_checkpoint(family.weights, family)
    examples = find_examples(checkpoint)
    assert len(examples) == MAX_EXAMPLES
    assert {example.prompt for example in examples} < set(family.examples)
    for example in examples:
        assert len(example.picture) <= 4096
        with Image.open(io.BytesIO(example.picture)) as small:
            assert small.size == (128, 128)


@pytest.fixture
def copied(checkpoint, tmp_path, family):
    """Return the shipped checkpoint with other pictures, and their folder."""
    return copy_with_empty(FOLDER_NAME, checkpoint, family, tmp_path / "checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "count"),
    [
        ("Model hash: 0123456789", 0),
        ("Model hash: 0123456789, RNG: CPU\nHires: none", 0),
        ("RNG: CPU", 1),
    ],
)
def test_pictures_of_other_weights_are_left_out(copied, pair, count, caplog):
    checkpoint, pictures = copied
    (pictures / "1.png").write_bytes(png(f"a cat\n{PAIRS}, {pair}"))
    assert len(find_examples(checkpoint)) == count
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "is of other weights" in line] == said
    assert len(said) == 1 - count


@pytest.mark.slow
def test_a_checkpoint_whose_pictures_are_damaged(copied, library, tmp_path):
    checkpoint, pictures = copied
    (pictures / "1.png").write_bytes(GOOD[:100])
    with pytest.raises(UsageError, match="1.png is no PNG, or damaged"):
        build_bundle(checkpoint, library, tmp_path / "out", Quiet())
    assert not (tmp_path / "out").exists()


def model_of(bundle):
    return json.loads((bundle / MODEL / "manifest.json").read_text())


@pytest.fixture(scope="module")
def pictured(shipped, library, tmp_path_factory):
    """Return a bundle with two examples of somebody's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "1.png").write_bytes(png(f"a cat\n{PAIRS}"))
    (folder / "2.png").write_bytes(png(f"a dog\n{PAIRS}", NOISE[:40, :40]))
    out = folder / "out"
    build_bundle(shipped, library, out, Quiet(), examples=read_examples(folder))
    return out


@pytest.mark.slow
def test_a_bundle_with_pictures(pictured):
    assert list(verify_bundle(pictured)) == []
    manifest = model_of(pictured)
    assert manifest["examples"] == ["a cat", "a dog"]
    assert [p["prompt"] for p in manifest["example_pictures"]] == ["a cat", "a dog"]
    listed = json.loads((pictured / "SRI.json").read_text())
    for picture in manifest["example_pictures"]:
        assert picture["settings"].splitlines()[-1] == PAIRS
        name = f"{MODEL}/{picture['file']}"
        assert (pictured / name).stat().st_size == picture["bytes"]
        assert name in listed
        assert content_type(".webp") == "image/webp"
        assert "immutable" in cache_control(name, 200)


@pytest.mark.full
def test_the_shipped_pictures_are_used_by_default(bundle, family):
    manifest = model_of(bundle)
    assert len(manifest["example_pictures"]) == MAX_EXAMPLES
    assert manifest["examples"] == [p["prompt"] for p in manifest["example_pictures"]]
    assert set(manifest["examples"]) < set(family.examples)


@pytest.fixture
def copy(pictured, tmp_path):
    return shrink(pictured, tmp_path / "copy")


@pytest.mark.full
@pytest.mark.slow
def test_pictures_survive_a_join(copy, tmp_path):
    out = join_bundles([copy], tmp_path / "joined")
    assert list(verify_bundle(out)) == []
    assert model_of(out)["example_pictures"] == model_of(copy)["example_pictures"]


def faults_after(copy, edit):
    """Change a bundle's manifest and make its attestations fit; return what `wsd verify` finds."""
    change(copy, MANIFEST, edit)
    chain(copy)
    attest(copy)
    return list(verify_bundle(copy))


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", some_of([b"RIFF----WAVE", b"<svg/>", b"RIFF----WEBP" + bytes(MAX_EXAMPLE_BYTES)], 3)
)
def test_a_file_that_is_no_small_picture(copy, content):
    name = f"example.{sha256_bytes(content)}.webp"
    (copy / MODEL / name).write_bytes(content)

    def edit(table):
        picture = table["example_pictures"][0]
        (copy / MODEL / picture["file"]).unlink()
        picture.update(file=name, bytes=len(content), sha256=sha256_bytes(content))

    said = f"{MODEL}/{name}: not a WebP picture of at most {MAX_EXAMPLE_BYTES} bytes"
    assert faults_after(copy, edit) == [said]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "said"),
    some_of(
        [
            (lambda table: table["examples"].pop(0), "'a cat' is not one of the examples"),
            (lambda table: table["example_pictures"][1].update(prompt="a cat"), "'a cat' has 2"),
        ],
        2,
    ),
)
def test_pictures_that_contradict_the_examples(copy, edit, said):
    (fault,) = faults_after(copy, lambda table: edit(table) and None)
    assert fault == f"{MANIFEST}: example_pictures: {said}"


@pytest.mark.slow
def test_a_picture_that_is_missing_or_altered(copy):
    first, second = (copy / MODEL / p["file"] for p in model_of(copy)["example_pictures"])
    first.write_bytes(second.read_bytes())
    second.unlink()
    faults = list(verify_bundle(copy))
    assert any(first.name in fault and "bytes" in fault for fault in faults)
    assert any(second.name in fault and "missing" in fault for fault in faults)
