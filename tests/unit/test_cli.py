"""The command line: what it prints, where, and how it fails."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from commands import exit_code


@pytest.fixture
def wsd(capsys):
    """Run a command; return (code, standard output, standard error)."""

    def run(*arguments):
        code = exit_code(*arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def wsd_process(*arguments, **environment):
    """Run a command that starts an event loop or a browser in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "wsd", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def assert_refused(result, *words):
    code, _, error = result
    assert code == 2
    lines = error.strip().splitlines()
    assert lines[-2].startswith("error: "), error
    assert lines[-1].startswith("hint: "), error
    assert not lines[-2].endswith(".")
    for word in words:
        assert word in error


def test_models_lists_the_zoo(wsd):
    code, out, _ = wsd("models")
    assert code == 0
    for small in ("tiny-sd15\t128x128", "tiny-sdxl\t192x192", "tiny-sd35\t128x128"):
        assert small in out
    [medium] = [line for line in out.splitlines() if line.startswith("sd35-medium\t")]
    assert medium.endswith("\tlicence: stabilityai-ai-community")


def test_unknown_model(wsd, tmp_path):
    result = wsd("build", "--model", "sd99", "--out", tmp_path / "out")
    assert_refused(result, "unknown model 'sd99'", "tiny-sd15")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("100x128", ("100x128", "multiples of 8", "the nearest is 96x128")),
        ("72x8", ("72x8", "from 32 to 2048", "the nearest is 72x32")),
        ("4096x2056", ("4096x2056", "from 32 to 2048", "the nearest is 2048x2048")),
        ("0x8", ("0x8",)),
        ("big", ("big",)),
    ],
)
def test_bad_size(wsd, tmp_path, size, words):
    result = wsd("build", "--model", "tiny-sd15", "--size", size, "--out", tmp_path / "out")
    assert_refused(result, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["250x256", "64x4096", "8x9"])
@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("build", ()),
        ("build", ("--plan",)),
        ("compile", ()),
        ("expect", ()),
        ("reference", ("--prompt", "x")),
    ],
)
def test_a_size_of_no_checkpoint_is_refused_before_one_is_opened(
    wsd, tmp_path, command, options, size
):
    place = () if "--plan" in options else ("--out", tmp_path / "out")
    missing = ("--weights", tmp_path / "missing.safetensors")
    result = wsd(command, "--model", "tiny-sd15", *missing, "--size", size, *options, *place)
    assert_refused(result, f"size {size}: tiny-sd15 takes", "the nearest is")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("parity", "--model", "tiny-sd15", "--prompt", "x", "--out", "x.png"),
        ("bench", "--compare"),
    ],
)
def test_a_size_of_no_bundle_is_refused_before_a_checkpoint_is_opened(
    wsd, bundle, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    command, *options = words
    missing = ("--weights", tmp_path / "missing.safetensors")
    result = wsd(command, bundle, *options, *missing, "--size", "64x64")
    assert_refused(result, "64x64 was not compiled", "128x128")


def test_a_build_needs_a_place(wsd):
    assert_refused(wsd("build", "--model", "tiny-sd15"), "--out")


def test_output_exists(wsd, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("keep")
    assert_refused(
        wsd("build", "--model", "tiny-sd15", "--out", out), f"output {out} already exists"
    )
    assert (out / "mine").read_text() == "keep"


def test_two_sources_of_weights(wsd, tmp_path):
    result = wsd("build", "--model", "tiny-sd15", "--weights", "x", "--random-weights", 1,
                 "--out", tmp_path / "out")  # fmt: skip
    assert_refused(result, "exclude each other")


@pytest.mark.full
@pytest.mark.slow
def test_port_in_use(bundle):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(wsd_process("serve", bundle, "--port", port), f"port {port}", "--port")


@pytest.mark.parametrize("command", ["serve", "verify", "render"])
def test_a_folder_that_is_no_bundle(wsd, tmp_path, command):
    more = ["--prompt", "x", "--out", tmp_path / "x.png"] if command == "render" else []
    assert_refused(wsd(command, tmp_path, *more), "holds no models/*/manifest.json")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--steps", 0, "1 to 100"),
        ("--scheduler", "magic", "euler_a"),
        ("--eta", 2, "0 to 1"),
        ("--images", 17, "1 to 16"),
        ("--seed", 2**64, "-9223372036854775808 to 18446744073709551615"),
        ("--seed", -(2**63) - 1, "-9223372036854775808 to 18446744073709551615"),
        ("--guidance", -1, "0 to"),
    ],
)
def test_render_refuses_before_it_starts_anything(wsd, bundle, tmp_path, option, value, allowed):
    out = tmp_path / "x.png"
    assert_refused(wsd("render", bundle, "--prompt", "x", option, value, "--out", out), allowed)
    assert not out.exists()


def test_render_refuses_more_steps_than_a_scheduler_takes(wsd, bundle, tmp_path):
    result = wsd("render", bundle, "--prompt", "x", "--scheduler", "lcm", "--steps", 51,
                 "--out", tmp_path / "x.png")  # fmt: skip
    assert_refused(result, "lcm takes 1 to 50")


def test_render_refuses_a_size_that_was_not_compiled(wsd, bundle, tmp_path):
    result = wsd("render", bundle, "--prompt", "x", "--size", "64x64", "--out", tmp_path / "x.png")
    assert_refused(result, "64x64 was not compiled", "128x128")


def test_unknown_option_and_command(wsd):
    assert_refused(wsd("models", "--fast"), "--fast")
    assert_refused(wsd("paint"), "paint")


@pytest.mark.slow
def test_verify_names_each_bad_file(wsd, bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    assert wsd("verify", copy)[0] == 0
    folder = copy / "models" / "tiny-sd15"
    shard = next(folder.glob("vae-0.*.bin"))
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(bytes(data))
    next(folder.glob("tokenizer.*")).unlink()
    (folder / "stray.txt").write_text("?")
    code, out, error = wsd("verify", copy)
    assert code == 1
    assert f"{shard.name}: sha256 mismatch" in out
    assert ".json: missing" in out
    assert "models/tiny-sd15/stray.txt: not in SRI.json" in out
    assert "3 bad files" in error
