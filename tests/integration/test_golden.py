"""Digests of every shader and shard of the tiny model: a change is a decision.

``nox -s golden`` writes the tables anew. Generated and written shaders have a table for each
version of TVM. Shards depend on torch's random numbers alone and have one table.
"""

import pytest

from matches import compare
from wsd.bundle.shards import write_shards
from wsd.compiler import tvm_compat
from wsd.spec.parameter import shapes
from wsd.util.hashing import sha256_bytes

pytestmark = pytest.mark.full  # compiles a model that no other usual test compiles


def test_shaders(library):
    digests = {name: sha256_bytes(code.encode())[:16] for name, code in library.shaders.items()}
    compare(f"tiny-sd15-shaders-tvm-{tvm_compat.version()}.json", digests)


def test_written_kernels(library):
    """Every launch of every variant: what GPUs run in place of the generated shaders."""
    heads, bodies = library.variants["heads"], library.variants["bodies"]
    digests = {
        f"{kernel} {index} {variant['name']} {number}": sha256_bytes(
            (heads[launch["head"]] + bodies[launch["body"]]).encode()
        )[:16]
        for kernel, variants in library.variants["kernels"].items()
        for index, variant in enumerate(variants)
        for number, launch in enumerate(variant["launches"])
    }
    compare(f"tiny-sd15-written-tvm-{tvm_compat.version()}.json", digests)


def test_work(library):
    """Nothing gets slower: software adapters take as long as there is to do."""
    found = {e.name: {"dispatches": e.dispatches, "operations": e.operations}
             for e in library.entry_points}  # fmt: skip
    assert all(work["dispatches"] for work in found.values())
    unet, guided = (found[f"{name}_128x128"] for name in ("denoiser", "guided_denoiser"))
    assert 1.9 < guided["operations"] / unet["operations"] < 2.1
    assert guided["dispatches"] < 1.1 * unet["dispatches"]
    compare(f"tiny-sd15-work-tvm-{tvm_compat.version()}.json", found)


def test_shards(library, shipped, tmp_path):
    """Without a bundle, whose page needs npm and sources that images with a compiler lack."""
    digests = {}
    stored = {
        name: component
        for component in shipped.family.components
        for name in (component.id, *(part.id for part in component.parts))
    }
    for name, component in stored.items():

        def read(wanted, component=component):
            return shipped.source.tensors(component, shapes(wanted))

        written = write_shards(name, library.parameters[name], read, tmp_path, lambda _: None)
        digests |= {f"{name}-{n}": shard.sha256 for n, shard in enumerate(written.shards)}
    compare("tiny-sd15-shards.json", digests)
