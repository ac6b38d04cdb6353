"""What is quickly known to be wrong is said before anything slow begins.

In each test the slow work fails if it is begun: opening a checkpoint, which may fetch it or draw it
at random, reading every byte of a bundle, running the reference, tracing a model.
"""

import json
import shutil
from dataclasses import replace

import pytest

from commands import exit_code
from wsd.checkpoint import resolve
from wsd.compiler.schedule_database import (
    ScheduleDatabase,
    TuningAdapter,
    TuningTarget,
    write_database,
)
from wsd.compiler.tvm_compat import version

OPEN_CHOSEN = resolve.open_chosen
PARITY = ("--model", "tiny-sd15", "--prompt", "x", "--out", "x.png")
# Places where slow work begins.
SLOW = (
    "wsd.checkpoint.resolve.open_chosen",
    "wsd.checkpoint.resolve.open_planned",
    "wsd.bundle.merge.check_bundle",
    "wsd.bundle.verify.verify_bundle",
    "wsd.evaluate.benchmark.check_bundle",
    "wsd.evaluate.parity._expect",
    "wsd.evaluate.visits.check_bundle",
    "wsd.runtime.driver.check_bundle",
)


def begin(*_, **__):
    raise AssertionError("slow work was begun")


@pytest.fixture(autouse=True)
def nothing_slow(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for place in SLOW:
        monkeypatch.setattr(place, begin)


@pytest.fixture
def refused(capsys):
    """Return a function that runs a command, which must fail, and returns what it says."""

    def run(*words):
        assert exit_code(*words) == 2
        message, hint = capsys.readouterr().err.splitlines()[-2:]
        assert message.startswith("error: ")
        assert hint.startswith("hint: ")
        return f"{message}\n{hint}"

    return run


@pytest.fixture(scope="module")
def foreign(bundle, tmp_path_factory):
    """Return a bundle that another TVM compiled."""
    copy = tmp_path_factory.mktemp("foreign") / "bundle"
    shutil.copytree(bundle, copy)
    path = copy / "models" / "tiny-sd15" / "manifest.json"
    found = json.loads(path.read_text())
    found["toolchain"]["tvm"] = "0.0.1"
    path.write_text(json.dumps(found))
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("host", ["chromium", "node"])
@pytest.mark.parametrize(
    "command",
    [
        ("parity", *PARITY),
        ("parity", *PARITY, "--random-weights", 5),
        ("bench",),
        ("bench", "--compare", "--random-weights", 5),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_a_bundle_of_another_tvm(foreign, refused, command, host):
    name, *given = command
    said = refused(name, foreign, *given, "--host", host)
    assert "was compiled with TVM 0.0.1, and tvmjs is here of TVM" in said


@pytest.mark.slow
@pytest.mark.parametrize("command", ["render", "parity", "bench"])
def test_a_text_encoder_that_a_bundle_lacks(bundle, refused, command):
    given = {"render": PARITY, "parity": PARITY, "bench": ()}[command]
    said = refused(command, bundle, *given, "--text-encoder-3")
    assert "tiny-sd15 has no third text encoder" in said
    assert "leave --text-encoder-3 out" in said


@pytest.mark.slow
def test_a_visit_takes_no_text_encoder(bundle, refused):
    for switch in ("--text-encoder-3", "--no-text-encoder-3"):
        assert "--visit is given" in refused("bench", bundle, "--visit", switch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "said"), [("chromium", "no Chromium found"), ("node", "'node' not found")]
)
@pytest.mark.parametrize("command", ["parity", "bench"])
def test_a_program_that_is_missing(bundle, refused, monkeypatch, tmp_path, command, host, said):
    """It is missed once the bundle was found to be whole, and before the reference is run."""
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.delenv("WSD_CHROMIUM", raising=False)
    given = PARITY if command == "parity" else ("--compare",)
    with monkeypatch.context() as patch:
        for place in ("wsd.evaluate.parity.check_bundle", "wsd.evaluate.benchmark.check_bundle"):
            patch.setattr(place, lambda _: None)
        patch.setattr("wsd.checkpoint.resolve.open_chosen", OPEN_CHOSEN)
        patch.setattr("wsd.evaluate.benchmark.make_work", begin)
        assert said in refused(command, bundle, *given, "--host", host)


@pytest.mark.slow
def test_a_browser_that_is_no_program(bundle, refused, monkeypatch, tmp_path):
    monkeypatch.setenv("WSD_CHROMIUM", str(tmp_path / "chrome"))
    with monkeypatch.context() as patch:
        patch.setattr("wsd.evaluate.parity.check_bundle", lambda _: None)
        patch.setattr("wsd.checkpoint.resolve.open_chosen", OPEN_CHOSEN)
        said = refused("parity", bundle, *PARITY)
    assert f"WSD_CHROMIUM is {tmp_path / 'chrome'}, which is no program" in said


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--visit",)], ids=["stages", "visits"])
def test_a_plot_without_what_draws_it(bundle, refused, monkeypatch, more):
    monkeypatch.setattr("wsd.evaluate.benchmark_plot.importlib.util.find_spec", lambda _: None)
    assert "needs matplotlib" in refused("bench", bundle, "--plot", "x.svg", *more)


@pytest.mark.slow
def test_a_comparison_without_its_packages(bundle, refused, monkeypatch):
    monkeypatch.setattr("wsd.evaluate.onnx_export._NEEDED", ("no_such_package",))
    assert "needs no_such_package" in refused("bench", bundle, "--compare")


@pytest.mark.slow
def test_a_lora_that_is_none(bundle, refused, tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_text("no tensors")
    assert "a.safetensors" in refused("bench", bundle, "--load-lora", file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("--signature", "no", "--key", "key"), "signature no does not exist"),
        (("--signature", "sig", "--key", "no"), "key no does not exist"),
        (("--signature", "sig", "--key", "sig"), "key sig is not a public key"),
        (
            ("--signature", "sig", "--certificate-identity", "a", "--certificate-oidc-issuer", "b",
             "--trusted-root", "no"),
            "trusted root no does not exist",
        ),
    ],
)  # fmt: skip
def test_a_signature_or_a_key_that_cannot_be_read(bundle, refused, tmp_path, named, said):
    (tmp_path / "sig").write_bytes(b"signature")
    if "--trusted-root" in named:
        pytest.importorskip("sigstore")
    assert said in refused("verify", bundle, *named)


@pytest.mark.slow
def test_a_join_of_one_model_twice(bundle, refused):
    said = refused("join", bundle, bundle, "--out", "out")
    assert "tiny-sd15 in f32 is there twice" in said


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "{"], ids=["missing", "damaged"])
def test_a_self_test_that_cannot_be_read(library, refused, tmp_path, content):
    file = tmp_path / "expected.json"
    if content is not None:
        file.write_text(content)
    said = refused(
        "build", "--model", "tiny-sd15", "--library", library.folder, "--self-test", file,
        "--out", "out",
    )  # fmt: skip
    assert "expected.json" in said


@pytest.mark.parametrize("command", ["build", "compile"])
def test_a_folder_for_a_dump_that_holds_files(refused, tmp_path, command):
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "mine").write_text("keep")
    said = refused(command, "--model", "tiny-sd15", "--dump-ir", "dump", "--out", "out")
    assert "folder dump is not empty" in said
    (tmp_path / "file").write_text("keep")
    assert "file" in refused(command, "--model", "sd15", "--dump-ir", "file/x", "--out", "out")


DATABASE = ScheduleDatabase(
    TuningTarget(version(), "sd15", "its architecture", "f16"),
    TuningAdapter("google", "swiftshader", "SwiftShader driver"), ((16, 16),), 0, 1.05,
)  # fmt: skip


@pytest.mark.parametrize("command", ["build", "compile"])
def test_a_database_that_fits_no_checkpoint(refused, tmp_path, command):
    given = (command, "--model", "tiny-sd15", "--weights", "no/thing", "--out", "out")
    assert "none/wsd_database.json" in refused(*given, "--database", "none")
    write_database(DATABASE, tmp_path / "other")
    assert "in f16, not in f32" in refused(*given, "--database", "other")
    target = replace(DATABASE.target, tvm="0.0.1")
    write_database(replace(DATABASE, target=target), tmp_path / "old")
    assert "with TVM 0.0.1" in refused(*given, "--dtype", "f16", "--database", "old")


@pytest.mark.slow
def test_a_self_test_of_other_weights_is_refused_before_anything_is_compiled(
    shipped, refused, tmp_path, monkeypatch
):
    """Its own weights are read for it, and nothing else is."""
    monkeypatch.setattr("wsd.checkpoint.resolve.open_chosen", OPEN_CHOSEN)
    monkeypatch.setattr("wsd.cli.build._find_library", begin)
    own = shipped.source.extra_file("self-test.json")
    found = json.loads(own.read_text())
    found["weights"]["unet"] = ["0" * 64]
    (tmp_path / "expected.json").write_text(json.dumps(found))
    said = refused("build", "--model", "tiny-sd15", "--self-test", "expected.json", "--out", "out")
    assert "expected.json is of other weights of unet" in said
