"""Attention on a GPU's matrix units, where the browser offers them.

One workgroup takes some queries of one head, a subgroup 16 rows of them or a multiple, and
walks over the keys twice: first for each row's largest score, then for the exponentials
relative to it and what they weigh of the values. A matrix unit's sums cannot be scaled row
by row, so the largest score must be known before the first sum (as in Milakov and
Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 2, "safe softmax").

Queries, keys, values and weights are rounded to halves on the way; scores, the softmax and
all sums are float32.

Roofline: 6 heads x width operations a score, bound by shared memory, through which every
score passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wsd.kernels.attention.bindings import HIDDEN, attention_head
from wsd.kernels.gemm.subgroup_matrix import ENABLE, PADDING
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.variant import F16, MATRIX, SUBGROUPS, VECTOR, Launch, Variant

_UNIT = 16
_LANES = 32
_RESULT = f"subgroup_matrix_result<f32, {_UNIT}, {_UNIT}>"
# Single precision's padding in shared memory: a row begins in another bank, 16 bytes aligned.
_PADDING_F32 = 4


@dataclass(frozen=True)
class MatrixBlock:
    """What one workgroup takes at a time.

    Attributes:
        subgroups: of the workgroup.
        tall: rows of a subgroup, in units of 16.
        keys: at a time.
    """

    subgroups: int
    tall: int
    keys: int

    @property
    def queries(self) -> int:
        """Return the queries of a workgroup."""
        return self.subgroups * self.tall * _UNIT

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.subgroups * _LANES

    def part_halves(self, width: int) -> int:
        """Return the halves of shared memory for keys and values, or for queries first."""
        return max(2 * self.keys, self.queries) * (_whole(width) + PADDING)

    def shared_bytes(self, width: int) -> int:
        """Return the shared memory of a workgroup."""
        scores = self.queries * (self.keys + _PADDING_F32)
        weights = self.queries * (self.keys + PADDING)
        return 2 * (self.part_halves(width) + weights) + 4 * (scores + self.queries)


def _whole(width: int) -> int:
    """Return a width in whole units."""
    return -(-width // _UNIT) * _UNIT


def matrix_block_for(attention: AttentionProblem) -> MatrixBlock | None:
    """Return a block that suits an attention, or None."""
    if attention.causal or attention.width % VECTOR or attention.width > 160:
        return None
    return MatrixBlock(4, 1, 32)


def attention_on_matrix_units(attention: AttentionProblem, block: MatrixBlock) -> Variant:
    """Return the kernel of an attention without a causal mask."""
    blocks = -(-attention.queries // block.queries)
    return Variant(
        launches=(
            Launch(
                head=ENABLE + attention_head(attention),
                body=_body(attention, block),
                grid=(blocks, attention.heads, attention.batch),
                buffers=attention.buffers,
            ),
        ),
        features=(F16, SUBGROUPS, MATRIX),
        threads=block.threads,
        shared_bytes=block.shared_bytes(attention.width),
        matrix=(_UNIT, _UNIT, _UNIT),
        lanes=(_LANES, _LANES),
        operations=attention.operations,
    )


@dataclass(frozen=True)
class _Layout:
    """How a block lies in shared memory; what the parts of the kernel share."""

    attention: AttentionProblem
    block: MatrixBlock

    @property
    def width4(self) -> int:
        """Return the vectors of a head."""
        return self.attention.width // VECTOR

    @property
    def whole(self) -> int:
        """Return the width, filled up to whole units."""
        return _whole(self.attention.width)

    @property
    def stride(self) -> int:
        """Return the halves of a row of queries, keys or values."""
        return self.whole + PADDING

    @property
    def wide(self) -> int:
        """Return the floats of a row of scores."""
        return self.block.keys + _PADDING_F32

    @property
    def thick(self) -> int:
        """Return the halves of a row of weights."""
        return self.block.keys + PADDING

    @property
    def tall(self) -> range:
        """Return the units of a subgroup's rows."""
        return range(self.block.tall)

    @property
    def along(self) -> range:
        """Return the units of the width."""
        return range(self.whole // _UNIT)

    @property
    def across(self) -> range:
        """Return the units of the keys."""
        return range(self.block.keys // _UNIT)

    @property
    def sharing(self) -> int:
        """Return how many threads share a row of scores: 1 or 2."""
        return _LANES // (self.block.tall * _UNIT)

    def columns(self) -> list[str]:
        """Return the columns of a thread's scores, such that threads meet in no bank."""
        if self.sharing == 1:
            return [f"{j}u" for j in range(self.block.keys)]
        turns = range(self.block.keys // 2)
        return [f"{'odd' if j % 2 else 'even'} + {j // 2 * 4}u" for j in turns]

    def turns(self, rows: int) -> range:
        """Return how often each thread loads to bring so many rows."""
        return range(-(-rows * self.whole // VECTOR // self.block.threads))

    def places(self) -> list[str]:
        """Return where each of a thread's loads goes: the same for every operand."""
        whole4 = self.whole // VECTOR
        lines = []
        for n in self.turns(self.block.queries):
            lines += [
                f"let r{n} = (t + {n * self.block.threads}u) / {whole4}u;",
                f"let c{n} = (t + {n * self.block.threads}u) % {whole4}u;",
                f"let to{n} = r{n} * {self.stride}u + c{n} * {VECTOR}u;",
            ]
        return lines

    def fetch(self, source: str, start: str, last: str, rows: int) -> list[str]:
        """Load rows of an operand, their width filled up with zeros."""
        lines = []
        for n in self.turns(rows):
            at = f"{source}_at + min({start} + r{n}, {last} - 1u) * HEADS * {self.width4}u + c{n}"
            value = f"{source}[{at}]"
            if self.whole != self.attention.width:
                value = f"select(vec4<f32>(), {source}[min({at}, arrayLength(&{source}) - 1u)], "
                value += f"c{n} < {self.width4}u)"
            lines.append(f"n{source}{n} = {value};")
        return lines

    def put(self, source: str, to: int, rows: int, scale: str = "") -> list[str]:
        """Put what was loaded into shared memory, as halves."""
        lines = []
        whole4 = self.whole // VECTOR
        for n in self.turns(rows):
            halves = " ".join(
                f"part[{to}u + to{n} + {m}u] = h.{component};" for m, component in enumerate("xyzw")
            )
            line = f"{{ let h = vec4<f16>(n{source}{n}{scale}); {halves} }}"
            within = (n + 1) * self.block.threads <= rows * whole4
            lines.append(line if within else f"if (r{n} < {rows}u) {line}")
        return lines

    def declare(self, source: str, rows: int) -> list[str]:
        """Declare what :meth:`fetch` loads to."""
        return [f"var n{source}{n} : vec4<f32>;" for n in self.turns(rows)]

    def load(self, kind: str, source: str, at: str, turned: bool, stride: int) -> str:
        """Return a unit's load from shared memory."""
        matrix = f"subgroup_matrix_{kind}<f16, {_UNIT}, {_UNIT}>"
        along = "true" if turned else "false"
        return f"subgroupMatrixLoad<{matrix}>(&{source}, {at}, {along}, {stride}u)"

    def row(self, i: int, stride: int) -> str:
        """Return where a unit of a subgroup's rows begins."""
        return f"(first_row + {i * _UNIT}u) * {stride}u"

    def store(self, name: str, i: int, column: int) -> str:
        """Return a unit's store among the scores."""
        at = f"{self.row(i, self.wide)} + {column * _UNIT}u"
        return f"subgroupMatrixStore(&scores, {at}, {name}, false, {self.wide}u);"

    def scores(self) -> list[str]:
        """Multiply the subgroup's queries by a block of keys, into shared memory."""
        lines = []
        for j in self.across:
            # Said in full: Dawn empties a variable in a loop only once, unless told to.
            lines += ["{", *(f"var s{i} = {_RESULT}();" for i in self.tall)]
            for d in self.along:
                at = f"{j * _UNIT * self.stride + d * _UNIT}u"
                lines.append(f"let b{d} = {self.load('right', 'part', at, True, self.stride)};")
                lines += [
                    f"s{i} = subgroupMatrixMultiplyAccumulate(q{i}_{d}, b{d}, s{i});"
                    for i in self.tall
                ]
            lines += [*(self.store(f"s{i}", i, j) for i in self.tall), "}"]
        return lines

    def weighted(self) -> list[str]:
        """Add a block of values, by their weights."""
        lines = []
        values = self.block.keys * self.stride
        for k in self.across:
            lines.append("{")
            for i in self.tall:
                at = f"{self.row(i, self.thick)} + {k * _UNIT}u"
                lines.append(f"let w{i} = {self.load('left', 'weights', at, False, self.thick)};")
            for d in self.along:
                at = f"{values + k * _UNIT * self.stride + d * _UNIT}u"
                lines.append(f"let v{d} = {self.load('right', 'part', at, False, self.stride)};")
                lines += [
                    f"o{i}_{d} = subgroupMatrixMultiplyAccumulate(w{i}, v{d}, o{i}_{d});"
                    for i in self.tall
                ]
            lines.append("}")
        return lines

    def seen(self, value: str, hidden: str, column: str) -> str:
        """Hide what lies beyond the last key."""
        if self.attention.keys % self.block.keys == 0:
            return value
        return f"select({hidden}, {value}, k0 + {column} < KEYS)"

    def gather(self, name: str, how: str) -> list[str]:
        """Join what the threads of a row found."""
        if self.sharing == 1:
            return []
        return [f"{name} = {how.format(name, f'subgroupShuffleXor({name}, 1u)')};"]


def _body(attention: AttentionProblem, block: MatrixBlock) -> str:
    layout = _Layout(attention, block)
    values_at = block.keys * layout.stride
    lines = [
        *_start(layout),
        f"var largest = {HIDDEN};",
        *layout.declare("k", block.keys),
        *_over_keys(layout, {"k": 0}),
        *layout.scores(),
        "workgroupBarrier();",
    ]
    for column in layout.columns():
        score = layout.seen(f"scores[score_at + {column}]", HIDDEN, column)
        lines.append(f"largest = max(largest, {score});")
    lines += [
        "}",
        *layout.gather("largest", "max({}, {})"),
        *(f"var o{i}_{d} : {_RESULT};" for i in layout.tall for d in layout.along),
        "var total = 0.0f;",
        *layout.declare("v", block.keys),
        *_over_keys(layout, {"k": 0, "v": values_at}),
        *layout.scores(),
        "workgroupBarrier();",
    ]
    for column in layout.columns():
        weight = f"exp2(scores[score_at + {column}] - largest)"
        lines += [
            f"{{ let w = {layout.seen(weight, '0.0f', column)}; total += w;",
            f"weights[weight_at + {column}] = f16(w); }}",
        ]
    lines += ["workgroupBarrier();", *layout.weighted(), "}"]
    lines += [*layout.gather("total", "{} + {}"), "factors[row] = 1.0f / total;"]
    return "\n".join([*lines, *_results(layout), "}"]) + "\n"


def _over_keys(layout: _Layout, operands: Mapping[str, int]) -> list[str]:
    """Begin a walk over the keys: operands in shared memory, the next ones on their way."""
    keys = layout.block.keys

    def fetch(start: str) -> list[str]:
        return [line for source in operands for line in layout.fetch(source, start, "KEYS", keys)]

    return [
        *fetch("0u"),
        f"for (var k0 = 0u; k0 < KEYS; k0 += {keys}u) {{",
        "workgroupBarrier();",
        *(line for source, to in operands.items() for line in layout.put(source, to, keys)),
        "workgroupBarrier();",
        f"if (k0 + {keys}u < KEYS) {{",
        *fetch(f"k0 + {keys}u"),
        "}",
    ]


def _start(layout: _Layout) -> list[str]:
    """Declare, and bring the queries to the subgroups' registers."""
    attention, block = layout.attention, layout.block
    lines = [
        f"var<workgroup> part : array<f16, {block.part_halves(attention.width)}>;",
        f"var<workgroup> weights : array<f16, {block.queries * layout.thick}>;",
        f"var<workgroup> scores : array<f32, {block.queries * layout.wide}>;",
        f"var<workgroup> factors : array<f32, {block.queries}>;",
        f"@compute @workgroup_size({block.threads})",
        "fn main(@builtin(workgroup_id) group : vec3<u32>,",
        "        @builtin(local_invocation_index) t : u32) {",
        f"let first = group.x * {block.queries}u;",
        f"let q_at = (group.z * QUERIES * HEADS + group.y) * {layout.width4}u;",
        f"let k_at = (group.z * KEYS * HEADS + group.y) * {layout.width4}u;",
        "let v_at = k_at;",
        f"let first_row = t / {_LANES}u * {block.tall * _UNIT}u;",
        f"let lane = t % {_LANES}u;",
        f"let row = first_row + lane / {layout.sharing}u;",
        f"let even = lane % 2u * 2u + lane / {_LANES // 2}u;",
        f"let odd = lane % 2u * 2u + 1u - lane / {_LANES // 2}u;",
        f"let score_at = row * {layout.wide}u; let weight_at = row * {layout.thick}u;",
        *layout.places(),
        *layout.declare("q", block.queries),
        *layout.fetch("q", "first", "QUERIES", block.queries),
        *layout.put("q", 0, block.queries, " * SCALE"),
        "workgroupBarrier();",
    ]
    for i in layout.tall:
        for d in layout.along:
            at = f"{layout.row(i, layout.stride)} + {d * _UNIT}u"
            lines.append(f"let q{i}_{d} = {layout.load('left', 'part', at, False, layout.stride)};")
    return lines


def _results(layout: _Layout) -> list[str]:
    """Write the sums through shared memory, as many columns at a time as the scores had."""
    attention, block = layout.attention, layout.block
    lines = []
    together = len(layout.across)
    for start in range(0, len(layout.along), together):
        columns4 = min(together * _UNIT, attention.width - start * _UNIT) // VECTOR
        units = layout.along[start : start + together]
        lines += ["workgroupBarrier();"]
        lines += [layout.store(f"o{i}_{d}", i, d - start) for d in units for i in layout.tall]
        lines += [
            "workgroupBarrier();",
            f"for (var i = t; i < {block.queries * columns4}u; i += {block.threads}u) {{",
            f"let r = i / {columns4}u; let c = i % {columns4}u;",
            f"let at = r * {layout.wide}u + c * {VECTOR}u;",
            "if (first + r < QUERIES) {",
            f"result[q_at + (first + r) * HEADS * {layout.width4}u"
            f" + {start * _UNIT // VECTOR}u + c]",
            "  = vec4<f32>(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u])"
            " * factors[r];",
            "} }",
        ]
    return lines
