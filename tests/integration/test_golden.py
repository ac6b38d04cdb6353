"""Digests of every shader and shard of the tiny model: a change is a decision.

``nox -s golden`` writes the table anew. Shaders have one table a TVM version.
Shards depend on torch's random numbers alone and have one for all.
"""

import json
import os
from pathlib import Path

from wsd.compiler import tvm_compat
from wsd.util.hashing import sha256_bytes

GOLDEN = Path(__file__).parent.parent / "golden"


def compare(name, found):
    path = GOLDEN / name
    if os.environ.get("WSD_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert path.is_file(), f"there is no {name}; run: nox -s golden"
    expected = json.loads(path.read_text())
    changed = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    assert not changed, f"{name}: {len(changed)} changed; if meant, run: nox -s golden"


def test_shaders(library):
    digests = {name: sha256_bytes(code.encode())[:16] for name, code in library.shaders.items()}
    compare(f"tiny-sd15-shaders-tvm-{tvm_compat.version()}.json", digests)


def test_work(library):
    """Nothing gets slower: software adapters take as long as there is to do."""
    found = {e.name: {"dispatches": e.dispatches, "operations": e.operations}
             for e in library.entry_points}  # fmt: skip
    assert all(work["dispatches"] for work in found.values())
    unet, guided = (found[f"{name}_128x128"] for name in ("denoiser", "guided_denoiser"))
    assert 1.9 < guided["operations"] / unet["operations"] < 2.1
    assert guided["dispatches"] < 1.1 * unet["dispatches"]
    compare(f"tiny-sd15-work-tvm-{tvm_compat.version()}.json", found)


def test_shards(manifest):
    digests = {
        f"{name}-{index}": shard["sha256"]
        for name, component in manifest["components"].items()
        for index, shard in enumerate(component["shards"])
    }
    compare("tiny-sd15-shards.json", digests)
