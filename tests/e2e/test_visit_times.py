"""``wsd bench --visit`` opens the page twice and draws, as a visitor does."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from speck import SPECK
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.util.progress import Quiet

TABLE_HEAD = ["", "first visit", "first visit, second picture", "second visit"]


def run_bench(bundle, *options, **environment):
    """Run the command in a process of its own: this one's Playwright is in use."""
    return subprocess.run(
        [sys.executable, "-m", "wsd", "bench", bundle, "--visit", *options],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.exhaustive
def test_both_visits_are_timed_in_the_pages_words(speck, tmp_path):
    done = run_bench(speck[0], "--json", tmp_path / "out.json", "--plot", tmp_path / "p.svg")
    assert done.returncode == 0, done.stderr
    head, _, *rows = map(cells, done.stdout.splitlines())
    assert head == TABLE_HEAD
    table = {name: values for name, *values in rows}
    assert table["Model"] == [f"{SPECK.name} f32"] * 3
    for name in ("Ready after", "Denoising", "Whole picture"):
        assert all(re.fullmatch(r"\d+\.\d\d s", value) for value in table[name]), name
    # One visit is ready once, whatever is drawn then.
    first, again, second = table["Ready after"]
    assert first == again
    assert first != second
    # Everything is fetched on the first visit, and nothing on the second one.
    first, _, second = (value.split(" / ") for value in table["Files kept before"])
    assert first[0].startswith("0 ")
    assert second[0] == second[1] == first[1]
    assert "Chrome/" in table["Browser"][0]
    found = json.loads((tmp_path / "out.json").read_text())
    assert [picture["label"] for picture in found["pictures"]] == TABLE_HEAD[1:]
    assert found["pictures"][2]["figures"]["Ready after"] == table["Ready after"][2]
    assert "second visit, ready" in (tmp_path / "p.svg").read_text()


@pytest.mark.full
def test_a_model_without_examples_draws_too(tmp_path):
    """Its form has no prompt, as those of `sd15`, `sdxl` and `sd35-medium`."""
    family = replace(SPECK, examples=())
    checkpoint = open_checkpoint(choose_checkpoint(family, None, 0), family)
    library = compile_library(family, family.sizes, "f32", Quiet())
    bundle = build_bundle(checkpoint, library, tmp_path / "plain", Quiet())
    done = run_bench(bundle)
    assert done.returncode == 0, done.stderr
    assert "| Whole picture |" in done.stdout


@pytest.mark.full
def test_what_the_page_says_is_the_error(speck):
    done = run_bench(speck[0], WSD_WEBGPU_ADAPTER="none")
    assert done.returncode == 2
    assert "error: the page says: The browser found no graphics card" in done.stderr
    assert done.stdout == ""
