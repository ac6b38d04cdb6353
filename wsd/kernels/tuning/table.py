"""The table of tiles that were found to be best, by product (:mod:`wsd.evaluate.tune_kernels`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from wsd.kernels.gemm.subgroup_matrix import MatrixTile
from wsd.kernels.gemm.tiled import Tile
from wsd.kernels.problem import GemmProblem

_TABLE = Path(__file__).parent / "h200.json"


class Tiles(TypedDict):
    """A tile's fields, and how long the product took with it."""

    tile: dict[str, Any]
    ms: float


def product_key(product: GemmProblem) -> str:
    """Return what a product is called in the table: what decides how fast a tile is."""
    conv = product.conv
    kind = f"conv{conv.kernel}s{conv.stride}" if conv else "linear"
    return f"{kind} {product.rows}x{product.columns}x{product.depth} {product.weights}"


def tuned_tile(product: GemmProblem) -> Tile | None:
    """Return the best tile for a product, if it was tried."""
    found = _table().get(product_key(product), {}).get("tiled")
    return None if found is None else Tile(**found["tile"])


def tuned_matrix_tile(product: GemmProblem) -> MatrixTile | None:
    """Return the best tile for matrix units, if it was tried."""
    found = _table().get(product_key(product), {}).get("matrix")
    if found is None:
        return None
    return MatrixTile(**{**found["tile"], "unit": tuple(found["tile"]["unit"])})


@cache
def _table() -> dict[str, dict[str, Tiles]]:
    return read_tuned(_TABLE)


def read_tuned(path: Path) -> dict[str, dict[str, Tiles]]:
    """Return a table's products; none of a file that is not there."""
    if not path.is_file():
        return {}
    products: dict[str, dict[str, Tiles]] = json.loads(path.read_text())["products"]
    return products


def write_tuned(path: Path, adapter: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Write a table, a product a line."""
    told = {name: adapter[name] for name in ("vendor", "architecture", "description")}
    lines = ",\n".join(
        f"  {json.dumps(key)}: {json.dumps(best)}" for key, best in sorted(found.items()) if best
    )
    head = f'"adapter": {json.dumps(told)},\n "products": '
    path.write_text(f"{{\n {head}{{\n{lines}\n }}\n}}\n")
