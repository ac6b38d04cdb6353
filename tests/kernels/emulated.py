"""Subgroup matrices in plain WGSL, so that kernels that need them run on any adapter, slowly.

Only what the extension and f16 add is rewritten in the kernel's own text; its loads, addresses,
barriers and loops stay as they are. Of a left matrix, a thread holds the row of its number modulo
16; of a result, half of that row; of a right matrix, where it lies. f16 values are float32 values
that are rounded to f16, two of them in a word where the kernel has words. A pointer to an array,
or to an inner one of an array of arrays, becomes the number of that inner array, with which the
functions that are added here read and write. A word of either extension that no rule rewrites is
an error: so is a matrix in an array whose elements no rule knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from workgroup_memory import shared_bytes
from wsd.kernels.variant import Launch, Variant

SIZE = 16
_DIRECTIVE = re.compile(r"^\s*(?:enable|diagnostic)\b[^;]*;\s*", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*")
_THREADS = re.compile(r"@workgroup_size\((\d+)\)")
_INDEX = re.compile(r"@builtin\(local_invocation_index\)\s*(\w+)\s*:\s*u32[^{]*\{")
_ALIAS = re.compile(r"\balias\s+(\w+)\s*=\s*([^;]+);")
_VARIABLE = re.compile(r"\bvar\s*<[^>]*>\s*(\w+)\s*:\s*([^;]+);")
_ARRAY = re.compile(r"array\s*<\s*(.+?)\s*(?:,\s*\d+\s*)?>")
_EXTENSION_WORD = re.compile(r"\b(?:subgroup[A-Z]\w*|subgroup_matrix\w*|f16|enable|chromium\w*)\b")
# The types of an array's elements → how many values of a matrix each holds.
_OPERANDS = {"f16": 1, "vec2<u32>": 4, "vec4<u32>": 8}
_RESULTS = {"f32": 1, "vec2<u32>": 2}

_TYPES = """alias Left = array<f32, 16>;
alias Result = array<f32, 8>;
struct Place { source : u32, inner : u32, by_columns : bool, at : u32, stride : u32 }
var<private> matrix_row : u32;
var<private> first_column : u32;
fn round_f16x4(x : vec4<f32>) -> vec4<f32> { return unpack_f16x4(pack_f16x4(x)); }
fn round_i8x4(x : u32) -> vec4<f32> { return vec4<f32>(unpack4xI8(x)); }
fn pack_f16x4(x : vec4<f32>) -> vec2<u32> {
  return vec2(pack2x16float(x.xy), pack2x16float(x.zw));
}
fn unpack_f16x4(x : vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
fn round_f16(x : f32) -> f32 { return round_f16x4(vec4(x)).x; }
fn value_at(p : Place, values : u32, row : u32, column : u32) -> u32 {
  let step = values * p.stride;
  return values * p.at + select(row * step + column, column * step + row, p.by_columns);
}
"""
_START = """
matrix_row = {thread} % 16u;
first_column = {thread} % 32u / 16u * 8u;
"""
_READ_VALUE = "return {0}[at];"
_READ_WORD = "return unpack2x16float({0}[at / {1}u][at % {1}u / 2u])[at % 2u];"
_READ = """fn read_{name}(p : Place, row : u32, column : u32) -> f32 {{
  let inner = p.inner;
  let at = value_at(p, {values}u, row, column);
  {read}
}}
"""
_LOAD_LEFT = """fn load_left_{0}(inner : u32, by_columns : bool, at : u32, stride : u32) -> Left {{
  var row : Left;
  let p = Place(0u, inner, by_columns, at, stride);
  for (var k = 0u; k < 16u; k++) {{ row[k] = read_{0}(p, matrix_row, k); }}
  return row;
}}
"""
_MULTIPLY = """fn multiply_accumulate(a : Left, b : Place, c : Result) -> Result {{
  var row = c;
  for (var j = 0u; j < 8u; j++) {{
    let n = first_column + j;
    switch b.source {{
{}
    }}
  }}
  return row;
}}
"""
_SUM = """
      {case} {{ for (var k = 0u; k < 16u; k++) {{ row[j] += a[k] * read_{0}(b, k, n); }} }}
"""
_LOAD_RESULT = """fn load_result_{name}(
  inner : u32, by_columns : bool, at : u32, stride : u32) -> Result {{
  var row : Result;
  let p = Place(0u, inner, by_columns, at, stride);
  for (var j = 0u; j < 8u; j++) {{
    row[j] = {array}[value_at(p, 1u, matrix_row, first_column + j)];
  }}
  return row;
}}
"""
_STORE = """fn store_{name}(
  inner : u32, by_columns : bool, at : u32, row : Result, stride : u32) {{
  let p = Place(0u, inner, by_columns, at, stride);
  for (var j = 0u; j < 8u; j += {values}u) {{
    {array}[value_at(p, {values}u, matrix_row, first_column + j) / {values}u] = {stored};
  }}
}}
"""
_STORED = {1: "row[j]", 2: "bitcast<vec2<u32>>(vec2(row[j], row[j + 1u]))"}
_SHUFFLE = """var<workgroup> shuffled : array<f32, {threads}>;
fn shuffle_xor(thread : u32, x : f32, mask : u32) -> f32 {{
  workgroupBarrier();
  shuffled[thread] = x;
  workgroupBarrier();
  return shuffled[thread ^ mask];
}}
"""


@dataclass(frozen=True)
class _Array:
    """A variable of a kernel.

    Attributes:
        element: the type of what its innermost arrays hold, or its own.
        depth: 0 if it is no array, 1 for an array, 2 for an array of arrays.
    """

    element: str
    depth: int


def _list_arrays(text: str) -> dict[str, _Array]:
    """Return the variables of a kernel with an address space, by name."""
    aliases = {name: stored.strip() for name, stored in _ALIAS.findall(text)}
    found = {}
    for name, stored in _VARIABLE.findall(text):
        element, depth = aliases.get(stored.strip(), stored.strip()), 0
        while array := _ARRAY.fullmatch(element):
            element, depth = aliases.get(array[1], array[1]), depth + 1
        found[name] = _Array(element, depth)
    return found


class _Rewriter:
    """Rewrites the text of one kernel, and remembers which arrays it loads and stores."""

    def __init__(self, thread: str, arrays: Mapping[str, _Array]) -> None:
        self.left: set[str] = set()
        self.right: list[str] = []
        self.results: set[str] = set()
        self.stored: set[str] = set()
        self.shuffles = False
        operand = rf"<\s*f16\s*,\s*{SIZE}\s*,\s*{SIZE}\s*>"
        result = rf"\bsubgroup_matrix_result\s*<\s*f32\s*,\s*{SIZE}\s*,\s*{SIZE}\s*>"
        load = r"\bsubgroupMatrixLoad\s*<\s*"
        # The order of its values, then the array and perhaps the number of an inner one.
        place = r"(row|col)_major\s*>\s*\(\s*&\s*(\w+)\s*(?:\[([^\[\]]*)\]\s*)?,"
        self._thread = thread
        self._arrays = arrays
        self._rules: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
            (rf"{load}subgroup_matrix_left\s*{operand}\s*,\s*{place}", self._load_left),
            (rf"{load}subgroup_matrix_right\s*{operand}\s*,\s*{place}", self._load_right),
            (rf"{load}{result}\s*,\s*{place}", self._load_result),
            (rf"\bsubgroupMatrixStore\s*<\s*{place}", self._store),
            (result, lambda _: "Result"),
            (r"\bsubgroupMatrixMultiplyAccumulate\b", lambda _: "multiply_accumulate"),
            (r"\bsubgroupShuffleXor\s*\(", self._shuffle),
            (r"\barray\s*<\s*f16\s*,", lambda _: "array<f32,"),
            (r"\bbitcast\s*<\s*vec4\s*<\s*f16\s*>\s*>\s*\(", lambda _: "unpack_f16x4("),
            # Of four values in f16: of all else, the argument has the wrong type.
            (r"\bbitcast\s*<\s*vec2\s*<\s*u32\s*>\s*>\s*\(", lambda _: "pack_f16x4("),
            # Whole numbers of 8 bits are exact in f16.
            (r"\bvec4\s*<\s*f16\s*>\s*\(\s*unpack4xI8\s*\(", lambda _: "(round_i8x4("),
            (r"\bvec4\s*<\s*f16\s*>\s*\(", lambda _: "round_f16x4("),
            (r"\bvec4\s*<\s*f16\s*>", lambda _: "vec4<f32>"),
            (r"\bf16\s*\(", lambda _: "round_f16("),
        )

    def rewrite(self, text: str) -> str:
        for pattern, rule in self._rules:
            text = re.sub(pattern, rule, text)
        left_over = sorted(set(_EXTENSION_WORD.findall(text)))
        assert not left_over, f"the emulation has no rule for {', '.join(left_over)}"
        return text

    def declarations(self, threads: int) -> str:
        sums = [
            _SUM.format(name, case="default:" if number == 0 else f"case {number}u:").strip("\n")
            for number, name in enumerate(self.right)
        ]
        return "".join(
            [
                _TYPES,
                *(self._define_read(name) for name in sorted({*self.left, *self.right})),
                *(_LOAD_LEFT.format(name) for name in sorted(self.left)),
                *(
                    _LOAD_RESULT.format(name=name, array=self._innermost(name))
                    for name in sorted(self.results)
                ),
                _MULTIPLY.format("\n".join(sums)),
                *(self._define_store(name) for name in sorted(self.stored)),
                *([_SHUFFLE.format(threads=threads)] if self.shuffles else []),
            ]
        )

    def _innermost(self, name: str) -> str:
        """Return an array, or that of its inner ones whose number is `inner`."""
        return f"{name}[inner]" if self._arrays[name].depth == 2 else name

    def _define_read(self, name: str) -> str:
        values = _OPERANDS[self._arrays[name].element]
        read = (_READ_VALUE if values == 1 else _READ_WORD).format(self._innermost(name), values)
        return _READ.format(name=name, values=values, read=read)

    def _define_store(self, name: str) -> str:
        values = _RESULTS[self._arrays[name].element]
        array, stored = self._innermost(name), _STORED[values]
        return _STORE.format(name=name, array=array, values=values, stored=stored)

    def _arguments(self, found: re.Match[str], known: Mapping[str, int]) -> str | None:
        """Return the first arguments of a function for a matrix; None if no rule knows its array.

        Args:
            found: the order of the values, an array, and perhaps the number of an inner one.
            known: types of elements that matrices may lie in.
        """
        order, name, inner = found.groups()
        array = self._arrays.get(name)
        if array is None or array.element not in known or array.depth != 1 + (inner is not None):
            return None
        return f"{inner or '0u'}, {'true' if order == 'col' else 'false'},"

    def _load_left(self, found: re.Match[str]) -> str:
        if (arguments := self._arguments(found, _OPERANDS)) is None:
            return found[0]
        self.left.add(found[2])
        return f"load_left_{found[2]}({arguments}"

    def _load_right(self, found: re.Match[str]) -> str:
        if (arguments := self._arguments(found, _OPERANDS)) is None:
            return found[0]
        if found[2] not in self.right:
            self.right.append(found[2])
        return f"Place({self.right.index(found[2])}u, {arguments}"

    def _load_result(self, found: re.Match[str]) -> str:
        if (arguments := self._arguments(found, {"f32": 1})) is None:
            return found[0]
        self.results.add(found[2])
        return f"load_result_{found[2]}({arguments}"

    def _store(self, found: re.Match[str]) -> str:
        # Values of two rows in one element would be written by two threads.
        known = _RESULTS if found[1] == "row" else {"f32": 1}
        if (arguments := self._arguments(found, known)) is None:
            return found[0]
        self.stored.add(found[2])
        return f"store_{found[2]}({arguments}"

    def _shuffle(self, _: re.Match[str]) -> str:
        self.shuffles = True
        return f"shuffle_xor({self._thread}, "


def emulated(variant: Variant) -> Variant:
    """Return a variant on subgroup matrices of 16 x 16 x 16 as one that needs no feature."""
    assert variant.subgroup_matrix == (SIZE, SIZE, SIZE)
    launches = tuple(
        _emulated(launch) if "subgroupMatrix" in launch.body else launch
        for launch in variant.launches
    )
    assert launches != variant.launches
    return replace(
        variant,
        launches=launches,
        features=(),
        subgroup_matrix=None,
        subgroup_size=None,
        shared_bytes=max(shared_bytes(launch.head + launch.body) for launch in launches),
    )


def _emulated(launch: Launch) -> Launch:
    [threads] = _THREADS.findall(launch.body)
    head, body = (_COMMENT.sub("", text) for text in (launch.head, launch.body))
    [main] = _INDEX.finditer(body)
    body = body[: main.end()] + _START.format(thread=main[1]) + body[main.end() :]
    rewriter = _Rewriter(main[1], _list_arrays(head + body))
    head, body = rewriter.rewrite(_DIRECTIVE.sub("", head)), rewriter.rewrite(body)
    return replace(launch, head=head + rewriter.declarations(int(threads)), body=body)
