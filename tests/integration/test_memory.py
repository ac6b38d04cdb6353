"""The memory that writing weights takes: a checkpoint is read as it is written."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

TENSORS, SHAPE = 32, (2048, 2048)

# In a process of its own, whose peak nothing else has raised. Peaks count the pages of
# the mapped file too, so one times the file is what reading it takes at least.
PROGRAM = r"""
import re, sys
from pathlib import Path
from wsd.bundle.shards import write_shards
from wsd.spec.parameter import Parameter
from wsd.checkpoint.safetensors_file import list_safetensors

file, out, storage, count, edge = sys.argv[1:]
expected = [Parameter(f"t{n}", (int(edge), int(edge)), storage) for n in range(int(count))]
def peak():
    # Not ru_maxrss, which remembers the process that this one was forked from.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
before = peak()
tensors = list_safetensors(Path(file))
write_shards("unet", expected, lambda wanted: (tensors[p.name].read() for p in wanted),
             Path(out), lambda _: None)
print(peak() - before)
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "storage",
    ["int8", "float32", "float16"],
)
def test_less_than_one_and_a_half_times_the_file(tmp_path, storage):
    file = tmp_path / "weights.safetensors"
    save_file({f"t{n}": torch.full(SHAPE, float(n)) for n in range(TENSORS)}, file)
    out = tmp_path / "out"
    out.mkdir()
    grown = int(
        subprocess.run(
            [sys.executable, "-c", PROGRAM, file, out, storage, str(TENSORS), str(SHAPE[0])],
            check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    assert sum(shard.stat().st_size for shard in out.glob("*.bin")) > 100e6 / 4
    assert grown < 1.5 * file.stat().st_size
