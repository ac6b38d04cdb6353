"""The map leads a newcomer to the right file: questions in the field's words, and their answers."""

import re

import pytest

from tools.generate_map import PAGE, main

# Question → the file that answers it, and what a reader finds there.
QUESTIONS = {
    "Where is the tile of the f16 GEMM chosen?": (
        "wsd/kernels/heuristics.py",
        "def choose_tiled_f16",
    ),
    "Where does a PNG get its settings?": ("web/src/settings/png.ts", "parameters"),
    "What does a scheduler need?": ("wsd/models/schedulers.py", "SCHEDULERS"),
    "Which passes does the compiler run, in which order?": (
        "wsd/compiler/pipeline.py",
        "def lowering_passes",
    ),
    "Where is the version of TVM known?": ("wsd/compiler/tvm_compat/version.py", "__version__"),
    "Which fields does a manifest have?": ("wsd/spec/manifest.py", "schema_version"),
    "Where are weights rounded to int8 with scales?": ("wsd/bundle/quantize.py", "def quantize"),
    "Where is the WGSL of flash attention?": (
        "wsd/kernels/templates/attention/flash.wgsl.j2",
        "workgroup",
    ),
    "Which roles do entry points have?": ("wsd/spec/roles.py", "GUIDED_DENOISER"),
    "What happens when the GPU is lost?": ("web/src/worker/recovery.ts", "class"),
    "Which file gives torch.randn bit for bit in the browser?": (
        "web/src/pipeline/torch_rng.ts",
        "randn",
    ),
    "What names a kernel variant and what does it require?": (
        "wsd/kernels/registry.py",
        "class VariantKind",
    ),
    "Which files of a folder hold the weights?": (
        "wsd/checkpoint/weight_files.py",
        "def choose_weight_files",
    ),
    "Which tensors does no component read, and are they harmless?": (
        "wsd/models/stable_diffusion/known_tensors.py",
        "IGNORABLE",
    ),
    "Which values of a scheduler's configuration does the browser follow?": (
        "wsd/models/scheduler_rules.py",
        "RULES",
    ),
    "Which fine-tunes need a scheduler or timesteps of their own?": (
        "wsd/models/fine_tunes.py",
        "FINE_TUNES",
    ),
    "In which order is the noise of a request drawn?": (
        "web/src/pipeline/noise_source.ts",
        "class NoiseSource",
    ),
    "How does a command end, and with which exit code?": (
        "wsd/cli/error_report.py",
        "def run_command",
    ),
    "Where is the cache key of a compiled library made?": (
        "wsd/compiler/cache.py",
        "def library_key",
    ),
    "Which security headers does the server send?": ("wsd/runtime/http_headers.py", "HEADERS"),
    "Where is the peak GPU memory of a model planned?": ("wsd/compiler/memory.py", "def peaks"),
    "Where is a fp8 checkpoint turned into float32?": (
        "wsd/checkpoint/number_formats.py",
        "def dequantize",
    ),
    "Where is an image layout converted to channels last (NHWC)?": (
        "wsd/compiler/passes/channels_last.py",
        "def channels_last",
    ),
    "Where is classifier-free guidance computed?": (
        "web/src/pipeline/guidance.ts",
        "class NoisePredictor",
    ),
    "How are shards downloaded again after a broken connection?": (
        "web/src/bundle/download.ts",
        "Range",
    ),
}
_SMALL_WORDS = {
    "a", "and", "are", "do", "does", "file", "for", "get", "happens", "have", "in", "is", "its",
    "it", "of", "the", "to", "what", "when", "where", "which", "with",
}  # fmt: skip


def words(text):
    """Return the distinct words of a text, without endings."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return {
        re.sub(r"(?<=\w{3})(ies|es|s|ed|ing|e)$", "", word)
        for word in found
        if word not in _SMALL_WORDS
    }


def lines_of_the_map():
    """Return path → what the map says of it."""
    folder, found = "", {}
    for line in PAGE.read_text().splitlines():
        if heading := re.match(r"### `(.*)/`", line):
            folder = heading[1]
        elif row := re.match(r"\| `(.+?)` \| (.*) \|$", line):
            found[f"{folder}/{row[1]}"] = row[2]
    return found


@pytest.mark.full
@pytest.mark.slow
def test_the_map_is_current(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_lines_are_plain_text():
    for path, what in lines_of_the_map().items():
        assert not re.search(r":[a-z]+:`|\{@", what), (path, what)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_newcomer_opens_the_right_file_first(question):
    answer, text = QUESTIONS[question]
    scores = {
        path: len(words(question) & words(f"{path} {what}"))
        for path, what in lines_of_the_map().items()
    }
    best = max(scores.values())
    first = [path for path, score in scores.items() if score == best]
    assert answer in first, (question, first[:5], scores.get(answer))
    assert len(first) <= 3, (question, first)
    assert text in (PAGE.parent.parent / answer).read_text()
