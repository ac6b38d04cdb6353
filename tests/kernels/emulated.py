"""Subgroup matrices in plain WGSL, so that kernels that need them run on any adapter, slowly.

Only what the extension and f16 add is rewritten in the kernel's own text; its loads, addresses,
barriers and loops stay as they are. Of a left matrix, a thread holds the row of its number modulo
16; of a result, half of that row; of a right matrix, where it begins. f16 values are float32
values that are rounded to f16; those in storage buffers are read from words of two. A word of
either extension that no rule rewrites is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from wsd.kernels.variant import Launch, Variant

SIZE = 16
_DIRECTIVE = re.compile(r"^\s*(?:enable|diagnostic)\b[^;]*;\s*", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*")
_THREADS = re.compile(r"@workgroup_size\((\d+)\)")
_INDEX = re.compile(r"@builtin\(local_invocation_index\)\s*(\w+)\s*:\s*u32[^{]*\{")
_SHARED = re.compile(r"var<workgroup>\s*\w+\s*:\s*array<[fu]32,\s*(\d+)>")
_EXTENSION_WORD = re.compile(r"\b(?:subgroup[A-Z]\w*|subgroup_matrix\w*|f16|enable|chromium\w*)\b")

_TYPES = """alias Left = array<f32, 16>;
alias Result = array<f32, 8>;
struct Right { source : u32, at : u32, by_columns : bool, stride : u32 }
var<private> matrix_row : u32;
var<private> first_column : u32;
fn round_f16x4(x : vec4<f32>) -> vec4<f32> {
  return vec4(unpack2x16float(pack2x16float(x.xy)), unpack2x16float(pack2x16float(x.zw)));
}
fn unpack_f16x4(x : vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
fn round_f16(x : f32) -> f32 { return round_f16x4(vec4(x)).x; }
"""
_START = """
matrix_row = {thread} % 16u;
first_column = {thread} % 32u / 16u * 8u;
"""
_READ = "fn read_{0}(at : u32) -> f32 {{ return {0}[at]; }}\n"
_READ_WORD = "fn read_{0}(at : u32) -> f32 {{ return unpack2x16float({0}[at / 2u])[at % 2u]; }}\n"
_LOAD_LEFT = """fn load_left_{0}(at : u32, by_columns : bool, stride : u32) -> Left {{
  var row : Left;
  let start = at + matrix_row * select(stride, 1u, by_columns);
  let step = select(1u, stride, by_columns);
  for (var k = 0u; k < 16u; k++) {{ row[k] = read_{0}(start + k * step); }}
  return row;
}}
"""
_MULTIPLY = """fn multiply_accumulate(a : Left, b : Right, c : Result) -> Result {{
  var row = c;
  for (var j = 0u; j < 8u; j++) {{
    let n = first_column + j;
    let start = b.at + n * select(1u, b.stride, b.by_columns);
    let step = select(b.stride, 1u, b.by_columns);
    switch b.source {{
{}
    }}
  }}
  return row;
}}
"""
_SUM = """
      {case} {{ for (var k = 0u; k < 16u; k++) {{ row[j] += a[k] * read_{0}(start + k * step); }} }}
"""
# Of results: where the thread's half of a row begins, and how far its values are apart.
_HALF_ROW = """
  let start = at + select(matrix_row * stride + first_column,
    matrix_row + first_column * stride, by_columns);
  let step = select(1u, stride, by_columns);
"""
_LOAD_RESULT = """fn load_result_{0}(at : u32, by_columns : bool, stride : u32) -> Result {{
  var row : Result;{half_row}
  for (var j = 0u; j < 8u; j++) {{ row[j] = {0}[start + j * step]; }}
  return row;
}}
"""
_STORE = """fn store_{0}(at : u32, row : Result, by_columns : bool, stride : u32) {{{half_row}
  for (var j = 0u; j < 8u; j++) {{ {0}[start + j * step] = row[j]; }}
}}
"""
_SHUFFLE = """var<workgroup> shuffled : array<f32, {threads}>;
fn shuffle_xor(thread : u32, x : f32, mask : u32) -> f32 {{
  workgroupBarrier();
  shuffled[thread] = x;
  workgroupBarrier();
  return shuffled[thread ^ mask];
}}
"""


class _Rewriter:
    """Rewrites the text of one kernel, and remembers which arrays it loads and stores."""

    def __init__(self, thread: str) -> None:
        self.left: set[str] = set()
        self.right: list[str] = []
        self.results: set[str] = set()
        self.stored: set[str] = set()
        self.words: set[str] = set()
        self.shuffles = False
        matrix = rf"<\s*f16\s*,\s*{SIZE}\s*,\s*{SIZE}\s*>\s*>\s*\(\s*&\s*(\w+)\s*,"
        self._thread = thread
        self._rules: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
            (rf"\bsubgroupMatrixLoad\s*<\s*subgroup_matrix_left\s*{matrix}", self._load_left),
            (rf"\bsubgroupMatrixLoad\s*<\s*subgroup_matrix_right\s*{matrix}", self._load_right),
            (
                r"\bsubgroupMatrixLoad\s*<\s*subgroup_matrix_result\s*"
                rf"<\s*f32\s*,\s*{SIZE}\s*,\s*{SIZE}\s*>\s*>\s*\(\s*&\s*(\w+)\s*,",
                self._load_result,
            ),
            (r"\bsubgroupMatrixStore\s*\(\s*&\s*(\w+)\s*,", self._store),
            (rf"\bsubgroup_matrix_result\s*<\s*f32\s*,\s*{SIZE}\s*,\s*{SIZE}\s*>", self._result),
            (r"\bsubgroupMatrixMultiplyAccumulate\b", lambda _: "multiply_accumulate"),
            (r"\bsubgroupShuffleXor\s*\(", self._shuffle),
            (r"(var<storage,\s*read>\s*(\w+)\s*:\s*)array\s*<\s*f16\s*>", self._words),
            (r"\barray\s*<\s*f16\s*,", lambda _: "array<f32,"),
            (r"\bbitcast\s*<\s*vec4\s*<\s*f16\s*>\s*>\s*\(", lambda _: "unpack_f16x4("),
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
                *(
                    (_READ_WORD if name in self.words else _READ).format(name)
                    for name in sorted({*self.left, *self.right})
                ),
                *(_LOAD_LEFT.format(name) for name in sorted(self.left)),
                *(_LOAD_RESULT.format(n, half_row=_HALF_ROW) for n in sorted(self.results)),
                _MULTIPLY.format("\n".join(sums)),
                *(_STORE.format(name, half_row=_HALF_ROW) for name in sorted(self.stored)),
                *([_SHUFFLE.format(threads=threads)] if self.shuffles else []),
            ]
        )

    def _load_left(self, found: re.Match[str]) -> str:
        self.left.add(found[1])
        return f"load_left_{found[1]}("

    def _load_right(self, found: re.Match[str]) -> str:
        if found[1] not in self.right:
            self.right.append(found[1])
        return f"Right({self.right.index(found[1])}u, "

    def _load_result(self, found: re.Match[str]) -> str:
        self.results.add(found[1])
        return f"load_result_{found[1]}("

    def _words(self, found: re.Match[str]) -> str:
        self.words.add(found[2])
        return f"{found[1]}array<u32>"

    def _store(self, found: re.Match[str]) -> str:
        self.stored.add(found[1])
        return f"store_{found[1]}("

    def _result(self, _: re.Match[str]) -> str:
        return "Result"

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
    shared = max(sum(4 * int(n) for n in _SHARED.findall(ln.head + ln.body)) for ln in launches)
    return replace(
        variant,
        launches=launches,
        features=(),
        subgroup_matrix=None,
        subgroup_size=None,
        shared_bytes=shared,
    )


def _emulated(launch: Launch) -> Launch:
    [threads] = _THREADS.findall(launch.body)
    head, body = (_COMMENT.sub("", text) for text in (launch.head, launch.body))
    [main] = _INDEX.finditer(body)
    body = body[: main.end()] + _START.format(thread=main[1]) + body[main.end() :]
    rewriter = _Rewriter(main[1])
    head, body = rewriter.rewrite(_DIRECTIVE.sub("", head)), rewriter.rewrite(body)
    return replace(launch, head=head + rewriter.declarations(int(threads)), body=body)
