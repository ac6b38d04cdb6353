"""Measure which tile is fastest for each product: ``python -m wsd.evaluate.tune_kernels``.

Reads products from a JSON file that ``wsd compile`` leaves in its library
(``library.json``), times every candidate that divides them, and writes the best of each
kind to a table that :mod:`wsd.kernels.select` reads; what is in the table already is kept,
so that a table can be made in several runs. Candidates are timed one after another
on one GPU: what is compared is their ratio.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsd.errors import WsdError
from wsd.kernels.gemm.subgroup_matrix import MatrixTile, on_matrix_units
from wsd.kernels.gemm.tiled import Tile, fits, tiled
from wsd.kernels.problem import GemmProblem, read_gemm_problem
from wsd.kernels.tuning.table import Tiles, product_key, read_tuned, write_tuned
from wsd.kernels.variant import Variant
from wsd.runtime.kernel_runner import KernelHost, open_kernel_host

_TILES = (
    (64, 64, 32, 8, 4),
    (64, 64, 16, 8, 4),
    (64, 64, 16, 8, 8),
    (128, 64, 16, 8, 8),
    (32, 64, 32, 4, 4),
)
_PARTS = (1, 2, 3, 4, 8)
_MATRIX_TILES = (
    (128, 128, 32, 2, 2),
    (128, 128, 32, 4, 2),
    (128, 128, 64, 2, 2),
    (128, 64, 32, 4, 2),
    (128, 64, 64, 2, 2),
    (64, 64, 32, 2, 2),
    (64, 64, 64, 2, 2),
    (64, 32, 64, 2, 2),
    (32, 64, 64, 2, 2),
)
# Workgroups between which cutting k may help.
_FEW, _MANY = 64, 1600
_MILLISECONDS = 10.0
_MOST_VALUES = 1 << 27
_PLAIN = GemmProblem(1, 1, 1)


def candidates(product: GemmProblem) -> Iterator[tuple[str, Tile | MatrixTile, Variant]]:
    """Yield what is tried: its kind, its tile, its kernel."""
    for edges in _TILES:
        groups = math.prod(product.grid(edges[0], edges[1]))
        for parts in _PARTS:
            tile = Tile(*edges, parts=parts)
            if not fits(product, tile) or (parts > 1 and groups * parts > _MANY):
                continue
            if groups * parts >= _FEW or parts >= 6:
                yield "tiled", tile, tiled(product, tile)
    for edges in _MATRIX_TILES:
        if product.along % edges[2] == 0:
            matrix = MatrixTile(*edges)
            yield "matrix", matrix, on_matrix_units(product, matrix)


def tune(host: KernelHost, product: GemmProblem) -> dict[str, Tiles]:
    """Return the best tile of each kind and its milliseconds."""
    conv = product.conv
    pixels = conv.batch * conv.height * conv.width if conv else product.rows
    draw = np.random.default_rng(0)
    a = draw.random(pixels * (conv.channels if conv else product.depth), np.float32)
    kinds = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
    w = draw.random(product.columns * product.depth, np.float32).astype(kinds[product.weights])
    best: dict[str, Tiles] = {}
    host.hold({"a": a, "w": w})
    for kind, tile, variant in candidates(product):
        if not host.supports(variant):
            continue
        # At 30 TFLOP/s, as many as the clock needs.
        repeat = int(1 + _MILLISECONDS * 3e10 / product.operations)
        _, ms = host.run(variant, {}, product.rows * product.columns, repeat)
        assert ms is not None
        if kind not in best or ms < best[kind]["ms"]:
            best[kind] = {"tile": asdict(tile), "ms": ms}
    return best


def read_products(paths: Iterable[Path]) -> list[GemmProblem]:
    """Return the products of libraries, each once, epilogues left out."""
    found: dict[str, GemmProblem] = {}
    for path in paths:
        for entry in json.loads(path.read_text())["products"]:
            product = replace(
                read_gemm_problem(entry), buffers=_PLAIN.buffers, finish=_PLAIN.finish
            )
            if product.rows * product.depth <= _MOST_VALUES:
                found[product_key(product)] = product
    return sorted(found.values(), key=lambda product: -product.operations)


def main(arguments: list[str]) -> None:
    """Tune the products of some ``library.json`` files: SECONDS OUT LIBRARY..."""
    seconds, out, *libraries = arguments
    products = read_products(Path(library) for library in libraries)
    ends = time.monotonic() + float(seconds)
    found: dict[str, Any] = {**read_tuned(Path(out))}
    adapter: dict[str, Any] = {}
    while any(product_key(p) not in found for p in products) and time.monotonic() < ends:
        with open_kernel_host() as host:
            adapter = host.adapter
            for product in products:
                key = product_key(product)
                if key in found or time.monotonic() > ends:
                    continue
                found[key] = {}  # a driver that dies of it is not asked again
                try:
                    found[key] = tune(host, product)
                except WsdError as error:
                    print(f"{key}: {error}", file=sys.stderr)
                    break
                told = {kind: f"{best['ms']:.3f} ms" for kind, best in found[key].items()}
                print(f"{len(found)} of {len(products)}: {key}: {told}", file=sys.stderr)
                write_tuned(Path(out), adapter, found)


if __name__ == "__main__":
    main(sys.argv[1:])
