"""``wsd parity`` in Node.js: what measures models of full size, on one of few kernels."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from adapters_data import make_adapter, write_adapter
from commands import wsd
from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.bundle.manifest import find_manifests, read_manifest
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.compiler.driver import compile_library
from wsd.errors import UsageError
from wsd.evaluate.parity import compare, describe
from wsd.models.registry import find_family
from wsd.runtime.dawn_node import open_node_page
from wsd.runtime.driver import LoadOptions
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.util.progress import Quiet

SEAM = "reference: seam between tiles"
WAYS = {
    (False, False): "resident",
    (True, False): "offload",
    (False, True): "resident, tiles",
    (True, True): "offload, tiles",
}


@pytest.fixture(scope="module")
def ran(speck, tmp_path_factory):
    """Run the command; return what it compared, its exit code, lines and folder."""
    folder = tmp_path_factory.mktemp("parity")
    kept, asked = [], []

    def keep(*given, **options):
        asked.append(options["options"])
        kept.append(compare(*given, **options))
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsd.evaluate.parity.compare", keep)
        code, lines = wsd(
            "parity", speck[0], "--model", "speck", "--random-weights", 0, "--host", "node",
            "--prompt", "red", "--steps", 2, "--out", folder / "P.png",
            "--json", folder / "findings.json", "--kernels", "generated",
            "--ignore-rules", "software-adapter",
        )  # fmt: skip
    assert asked == [LoadOptions(kernels="generated", ignored_rules="software-adapter")]
    return kept[0], code, lines, folder


@pytest.fixture(scope="module")
def found(ran):
    return ran[0]


@pytest.fixture(scope="module")
def named(found):
    return {finding.what: finding for finding in found.findings}


@pytest.mark.exhaustive
def test_everything_is_compared(found, named):
    stages = {"text encoders: text_embeddings", "one UNet step", "VAE decode"}
    run = {"trajectory: latents", "trajectory: picture", "picture by unrounded weights"}
    ways = {f"{way}: latents" for way in WAYS.values() if way != "resident"}
    tiles = {f"{way}: decoded" for way in WAYS.values() if "tiles" in way}
    memory = {f"{way}: peak memory" for way in WAYS.values()}
    memory |= {f"{way}: peak memory with a picture" for way in WAYS.values()}
    encoded = {f"{way}: encoded" for way in WAYS.values()}
    limited = {what for what, finding in named.items() if finding.limit is not None}
    assert limited == stages | run | ways | tiles | memory | encoded | {SEAM}
    # Twelve of sixteen pixels are no tile, and noise no picture: that is seen.
    assert {finding.what for finding in found.findings if not finding.good} <= {SEAM}
    assert 0 < named["one UNet step"].value < 1e-4
    assert 0 < named["reference: a nudge grows"].value < 100
    assert found.adapter["architecture"] == "swiftshader"
    assert found.pictures.shape == (2, 16, 16, 3)
    assert found.pictures.std() > 10


@pytest.mark.exhaustive
def test_the_command(ran):
    found, code, lines, folder = ran
    # JSON has no infinity, which is the PSNR of equal pictures.
    report = json.dumps(dataclasses.asdict(found.report())).replace("Infinity", "null")
    assert json.loads((folder / "findings.json").read_text()) == json.loads(report)
    bad = [finding.what for finding in found.findings if not finding.good]
    assert code == (1 if bad else 0)
    assert bad in ([], [SEAM])
    assert lines == list(describe(found))
    assert any(line.startswith("ok  one UNet step") for line in lines)
    assert len(list(folder.glob("P*.png"))) == 2  # the reference's and the bundle's


@pytest.mark.exhaustive
def test_peaks_are_as_planned(speck, named):
    manifest = read_manifest(find_manifests(speck[0])[0])
    planned = {(p.offload, p.tiling): p.bytes for p in manifest.peak_bytes}
    assert planned.keys() == WAYS.keys()
    assert planned[True, True] <= planned[True, False] < planned[False, True]
    assert planned[False, True] < planned[False, False]
    for way, name in WAYS.items():
        # The pool rounds buffers up to pages, and a run holds some latents.
        measured = named[f"{name}: peak memory"].value
        assert 0.9 * measured < planned[way] < 1.1 * measured, name
    for peak in manifest.image_peak_bytes:
        measured = named[f"{WAYS[peak.offload, peak.tiling]}: peak memory with a picture"].value
        assert 0.9 * measured < peak.bytes < 1.1 * measured


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [("tiny-sd15", None, "was built for speck"), ("speck", (8, 8), "8x8 was not compiled")],
)
def test_what_does_not_belong_together(speck, checkpoint, name, size, said):
    bundle, own = speck
    wanted = own if name == "speck" else open_checkpoint(checkpoint, find_family(name))
    with pytest.raises(UsageError, match=said):
        compare(bundle, wanted, GenerationRequest("red", size=size), open_node_page, Quiet())


def test_an_unknown_rule_is_refused_before_anything_is_drawn(speck, tmp_path, capsys):
    out = tmp_path / "P.png"
    given = ("--model", "speck", "--random-weights", 0, "--prompt", "red", "--out", out)
    code, _ = wsd("parity", speck[0], *given, "--ignore-rules", "no-such-rule")
    assert code == 2
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: speck has no selection rule 'no-such-rule'"
    assert "software-adapter" in hint
    assert not out.exists()


@pytest.mark.exhaustive
def test_a_difference_is_seen(found, named):
    step = named["one UNet step"]
    for value, good in ((step.value, True), (0.01, False), (float("nan"), False)):
        report = dataclasses.replace(found, findings=(dataclasses.replace(step, value=value),))
        assert report.good is good
        mark = "ok " if good else "BAD"
        assert any(line.startswith(f"{mark} one UNet step") for line in describe(report))


@pytest.mark.exhaustive
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_a_picture_is_drawn_from(speck, tmp_path, masked):
    """Memory is that of drawing from a picture, and offloading changes no bit of the result."""
    image = np.random.default_rng(3).integers(60, 200, (16, 16, 3), np.uint8)
    mask = np.zeros((16, 16), np.uint8)
    mask[5:, :9] = 255
    # Another shape than what is drawn: both sides take it as it is fitted.
    image, mask = image.repeat(2, axis=1), mask.repeat(2, axis=1)
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code, lines = wsd(
        "parity", speck[0], "--model", "speck", "--random-weights", 0, "--host", "node",
        "--prompt", "red", "--steps", 4, "--image", tmp_path / "image.png", "--strength", 0.75,
        *(["--mask", tmp_path / "mask.png"] if masked else []),
        "--out", tmp_path / "P.png", "--json", tmp_path / "findings.json",
    )  # fmt: skip
    report = json.loads((tmp_path / "findings.json").read_text())
    named = {finding["what"]: finding for finding in report["findings"]}
    bad = [what for what, finding in named.items() if not finding["good"]]
    assert bad in ([], [SEAM])
    assert code == (1 if bad else 0)
    assert 0 < named["trajectory: latents"]["value"] < 1e-3
    assert 0 < named["reference: a nudge grows"]["value"] < 100
    assert named["offload: latents"]["limit"] == named["offload, tiles: latents"]["limit"] == 0
    assert "resident, tiles: latents" not in named  # encoded in tiles, so it is another picture
    assert any(line.startswith("ok  trajectory: latents") for line in lines)
    manifest = read_manifest(find_manifests(speck[0])[0])
    for peak in manifest.image_peak_bytes:
        limit = named[f"{WAYS[peak.offload, peak.tiling]}: peak memory"]["limit"]
        assert limit == pytest.approx(1.1 * peak.bytes)


@pytest.mark.exhaustive
def test_a_bundle_with_adapters_is_compared_with_the_same_ones(tmp_path):
    """A style, and a LoRA of few steps whose scheduler the comparison takes from the manifest."""
    style = write_adapter(tmp_path / "style.safetensors", SPECK, "lora", 1)
    tensors, _ = make_adapter(SPECK, "locon", 2)
    fast = tmp_path / "lcm-lora-sdv1-5.safetensors"
    save_file({k: t for k, t in tensors.items() if not k.startswith("lora_te")}, fast)
    weights = random_checkpoint(SPECK, 0)
    checkpoint = open_checkpoint(weights, SPECK, adapters=[(style, 0.7), (fast, 1.0)])
    library = compile_library(SPECK, SPECK.sizes, "f32", Quiet())
    bundle = build_bundle(checkpoint, library, tmp_path / "bundle", Quiet())
    words = ("parity", bundle, "--model", "speck", "--random-weights", 0, "--host", "node",
             "--prompt", "red", "--json", tmp_path / "findings.json")  # fmt: skip
    code, lines = wsd(*words, "--lora", f"{style}:0.7", "--lora", fast, "--out", tmp_path / "P.png")
    named = {
        finding["what"]: finding
        for finding in json.loads((tmp_path / "findings.json").read_text())["findings"]
    }
    bad = [what for what, finding in named.items() if not finding["good"]]
    assert bad in ([], [SEAM])
    assert code == (1 if bad else 0)
    assert 0 < named["one UNet step"]["value"] < 1e-4
    assert 0 < named["trajectory: latents"]["value"] < 1e-3
    assert any(line.startswith("ok  trajectory: picture") for line in lines)
    manifest = read_manifest(find_manifests(bundle)[0])
    assert (manifest.schedulers.default, manifest.defaults.steps) == ("lcm", 4)


def test_a_picture_that_is_not_drawn_is_refused(speck):
    bundle, checkpoint = speck
    picture = GivenPicture(np.zeros((8, 8, 3), np.uint8), 0.5)
    request = GenerationRequest("red", size=(8, 8))
    with pytest.raises(UsageError, match="8x8 was not compiled"):
        compare(bundle, checkpoint, request, open_node_page, Quiet(), picture=picture)
