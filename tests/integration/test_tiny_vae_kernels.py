"""The kernels, the memory and the work of a tiny autoencoder of the published size.

docs/checkpoints.md has the figures, which are compared with the table there.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lowering import lower, make_table
from speck import SPECK
from wsd.frontend.entry_points import make_entry_points
from wsd.models.instantiate import build_module
from wsd.models.stable_diffusion.components import taesd
from wsd.models.stable_diffusion.sd15 import full_autoencoder

SIZE = (512, 512)
PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
VAES = (full_autoencoder(0.18215), taesd(4))


def with_vae(vae):
    """Return a family of few layers with an autoencoder of full size, as SD 1.5 has it."""
    return replace(SPECK, components=(*SPECK.components[:2], vae), sizes=(SIZE,), tile=384)


def documented(what):
    """Return both numbers of a row of the table: of SD 1.5's VAE, and of the tiny autoencoder."""
    (row,) = (line for line in PAGE.read_text().splitlines() if line.startswith(f"| {what} |"))
    return [float(number) for number in re.findall(r"\| ([\d.]+) ", row.removeprefix(f"| {what}"))]


def test_the_documented_operations_are_counted():
    found = {"decoder": [], "encoder": []}
    for vae in VAES:
        with torch.device("meta"):
            model = build_module(vae)
        decoder, _, encoder, _ = make_entry_points(with_vae(vae), vae, model, [SIZE])
        for name, made in (("decoder", decoder), ("encoder", encoder)):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                made.module(torch.empty(made.inputs[0].shape, device="meta"))
            found[name].append(round(counter.get_total_flops() / 1e9))
    for name, counts in found.items():
        assert counts == documented(f"{name}: operations")


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", [0, 1])
def test_the_documented_memory_is_planned(place):
    lowered = lower(with_vae(VAES[place]), (SIZE,), "f16")
    # Every convolution is a problem that written kernels solve, whatever follows it.
    assert make_table(lowered.module)["generated"] == []
    library = lowered.library()
    for row, component in (("decoder: weights", "vae"), ("encoder: weights", "vae_encoder")):
        megabytes = sum(each.bytes for each in library.parameters[component]) / 1e6
        assert round(megabytes, 1) == documented(row)[place]
    work = {entry.role: entry.workspace_bytes / 2**20 for entry in library.entry_points}
    rows = {
        "vae_decoder": "decoder: workspace on the GPU, whole picture",
        "vae_decoder_tile": "the same, a tile of 384 pixels",
    }
    for role, row in rows.items():
        assert round(work[role]) == documented(row)[place]
