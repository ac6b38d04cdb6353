"""How a workgroup's threads load their parts of a product's two operands.

Text shared by the tiled and the matrix-unit product. Rows of A are stored, or are
gathered from an image tap by tap; rows of W are stored in one of three ways. Every
thread loads vectors of four values along k: ``na0``, ``na1`` … and ``nw0``, ``nw1`` ….
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wsd.kernels.problem import GemmProblem
from wsd.kernels.variant import VECTOR

_UNPACK = {
    "float32": ("vec4<f32>", "w[at]"),
    "float16": ("vec2<u32>", "vec4<f32>(unpack2x16float(w[at].x), unpack2x16float(w[at].y))"),
    "int8": ("u32", "vec4<f32>(unpack4xI8(w[at]))"),
}


# A rational function, as Eigen has it (``generic_fast_erf_float``); errors are below 2e-7.
_ERF = """fn erf(given : f32) -> f32 {
  let x = clamp(given, -4.0f, 4.0f); let s = x * x;
  var p = fma(s, -2.72614225801306e-10f, 2.77068142495902e-08f);
  p = fma(s, p, -2.10102402082508e-06f); p = fma(s, p, -5.69250639462346e-05f);
  p = fma(s, p, -7.34990630326855e-04f); p = fma(s, p, -2.95459980854025e-03f);
  p = fma(s, p, -1.60960333262415e-02f);
  var q = fma(s, -1.45660718464996e-05f, -2.13374055278905e-04f);
  q = fma(s, q, -1.68282697438203e-03f); q = fma(s, q, -7.37332916720468e-03f);
  q = fma(s, q, -1.42647390514189e-02f);
  return x * p / q;
}"""


def head(product: GemmProblem, scratch: bool = False) -> str:
    """Return what a kernel's body takes for granted: bindings, constants, ``finish``.

    Args:
        product: what is computed.
        scratch: whether sums of parts of k go to a scratch buffer, and are finished later.
    """
    element, weight = _UNPACK[product.weights]
    lines = [
        "@group(0) @binding(0) var<storage, read_write> result : array<f32>;",
        "@group(0) @binding(1) var<storage, read> a : array<vec4<f32>>;",
        f"@group(0) @binding(2) var<storage, read> w : array<{element}>;",
        f"const M = {product.rows}u;",
        f"const N = {product.columns}u;",
        f"const K4 = {product.depth // VECTOR}u;",
        f"fn weight(at : u32) -> vec4<f32> {{ return {weight}; }}",
    ]
    if conv := product.conv:
        lines += [
            f"const HEIGHT = {conv.height * conv.times}i;",
            f"const WIDTH = {conv.width * conv.times}i;",
            f"const TIMES = {conv.times}i;",
            f"const PIXELS = {conv.height * conv.width}u;",
            f"const C4 = {conv.channels // VECTOR}u;",
            f"const OUT_HEIGHT = {conv.out_height}u;",
            f"const OUT_WIDTH = {conv.out_width}u;",
            f"const KERNEL = {conv.kernel}u;",
            f"const STRIDE = {conv.stride}u;",
            f"const PADDING = {conv.padding}i;",
        ]
    if not scratch:
        lines += extras(product, first=3)
    return "\n".join(lines) + "\n"


def extras(product: GemmProblem, first: int) -> list[str]:
    """Return the bindings of what the epilogue reads, and the epilogue."""
    bindings = [
        f"@group(0) @binding({first + index}) var<storage, read> e{index} : array<f32>;"
        for index in range(len(product.buffers) - 3)
    ]
    return [
        *bindings,
        *([_ERF] if "erf(" in product.finish else []),
        "fn finish(m : u32, n : u32, at : u32, value : f32) -> f32 {",
        f"  return {product.finish};",
        "}",
    ]


class AnyTile(Protocol):
    """What one workgroup makes: rows, columns, values of k a step, by so many threads."""

    @property
    def rows(self) -> int:
        """Return the rows of the result."""

    @property
    def columns(self) -> int:
        """Return the columns of the result."""

    @property
    def depth(self) -> int:
        """Return the values of k of a step."""

    @property
    def threads(self) -> int:
        """Return the threads of the workgroup."""


@dataclass(frozen=True)
class Loads:
    """Who loads what: a tile's rows and columns, shared out among threads.

    Attributes:
        rows: of A in a tile.
        columns: rows of W in a tile.
        depth4: vectors along k.
        threads: that load.
        gathered: whether A's rows are gathered from an image.
    """

    rows: int
    columns: int
    depth4: int
    threads: int
    gathered: bool

    @property
    def a(self) -> int:
        """Return how many vectors of A a thread loads."""
        return self.rows * self.depth4 // self.threads

    @property
    def w(self) -> int:
        """Return how many vectors of W a thread loads."""
        return self.columns * self.depth4 // self.threads

    @property
    def apart(self) -> int:
        """Return how many rows lie between two that one thread loads."""
        return self.threads // self.depth4

    @classmethod
    def of(cls, product: GemmProblem, tile: AnyTile) -> Loads:
        """Return how the threads of a product's tile load."""
        gathered = product.conv is not None
        return cls(tile.rows, tile.columns, tile.depth // VECTOR, tile.threads, gathered)

    def start(self) -> list[str]:
        """Return declarations and the addresses of the first loads, of step ``first``."""
        lines = [
            f"let row = t / {self.depth4}u;",
            f"let along = t % {self.depth4}u;",
        ]
        for i in range(self.a):
            lines.append(
                f"let m{i} = min(group.y * {self.rows}u + row + {i * self.apart}u, M - 1u);"
            )
            if self.gathered:
                lines += [
                    f"let x{i} = i32(m{i} % OUT_WIDTH * STRIDE) - PADDING;",
                    f"let y{i} = i32(m{i} / OUT_WIDTH % OUT_HEIGHT * STRIDE) - PADDING;",
                    f"let image{i} = m{i} / (OUT_WIDTH * OUT_HEIGHT) * PIXELS * C4 + along;",
                    f"var pa{i} = 0u;",
                    f"var inside{i} = false;",
                ]
            else:
                lines.append(f"var pa{i} = m{i} * K4 + along + first * {self.depth4}u;")
            lines.append(f"var na{i} : vec4<f32>;")
        for i in range(self.w):
            lines += [
                f"let n{i} = min(group.x * {self.columns}u + row + {i * self.apart}u, N - 1u);",
                f"var pw{i} = n{i} * K4 + along + first * {self.depth4}u;",
                f"var nw{i} : vec4<f32>;",
            ]
        if self.gathered:
            lines += [
                f"const PER_TAP = C4 / {self.depth4}u;",
                "var ky = i32(first / PER_TAP / KERNEL);",
                "var kx = i32(first / PER_TAP % KERNEL);",
                "var done = first % PER_TAP;",
                *self._tap(),
            ]
        return [*lines, *self.load()]

    def _tap(self) -> list[str]:
        lines = []
        for i in range(self.a):
            lines += [
                f"inside{i} = y{i} + ky >= 0 && y{i} + ky < HEIGHT",
                f"    && x{i} + kx >= 0 && x{i} + kx < WIDTH;",
                f"pa{i} = image{i} + done * {self.depth4}u",
                f"    + u32((y{i} + ky) / TIMES * (WIDTH / TIMES) + (x{i} + kx) / TIMES) * C4;",
            ]
        return lines

    def load(self) -> list[str]:
        """Return the loads at the current addresses."""
        lines = []
        for i in range(self.a):
            if self.gathered:
                lines += [f"na{i} = vec4<f32>();", f"if (inside{i}) {{ na{i} = a[pa{i}]; }}"]
            else:
                lines.append(f"na{i} = a[pa{i}];")
        return [*lines, *(f"nw{i} = weight(pw{i});" for i in range(self.w))]

    def advance(self) -> list[str]:
        """Return the move to the next step's addresses, and its loads."""
        along_a = [f"pa{i} += {self.depth4}u;" for i in range(self.a)]
        if self.gathered:
            along_a = [
                "done += 1u;",
                "if (done == PER_TAP) {",
                "done = 0u; kx += 1;",
                "if (kx == i32(KERNEL)) { kx = 0; ky += 1; }",
                *self._tap(),
                "} else {",
                *along_a,
                "}",
            ]
        return [*along_a, *(f"pw{i} += {self.depth4}u;" for i in range(self.w)), *self.load()]
