"""Attention that keeps its scores in shared memory, on any WebGPU adapter.

One workgroup takes some queries of one head and walks over the keys, some at a time:
scores by a small tiled product, the exponentials relative to the largest score so far,
and what they weigh of the values added to sums in registers, which are scaled down
whenever a larger score comes ("FlashAttention", Dao et al. 2022, algorithm 1). Nothing
is stored but the result; all numbers are float32.

Both products take vectors along what they sum over from both sides: queries and keys as
they lie in storage, weights as the scores are stored, values turned around on their way
into shared memory. Rows there are an odd number of vectors apart, so that threads that
read one column of different rows meet in no bank. Queries are read where they lie: shared
memory is what decides how many workgroups a GPU holds at a time. What comes next into it is
under way while the threads compute.

Roofline: 4 heads x width operations a score, of which exp is one; bound by arithmetic
from widths of 40 on, and then by shared memory, as a thread's scores are fewer than 8 x 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from wsd.kernels.attention.bindings import HIDDEN, attention_head
from wsd.kernels.problem import AttentionProblem
from wsd.kernels.variant import VECTOR, Launch, Variant


@dataclass(frozen=True)
class Block:
    """What one workgroup takes at a time.

    Attributes:
        queries: of the workgroup.
        keys: at a time.
        depth: values of the width at a time, for scores.
        values: keys whose values lie in shared memory at a time.
        score: a thread's scores, along the queries and along the keys.
        sums: a thread's results, along the queries and along the width.
    """

    queries: int
    keys: int
    depth: int
    values: int
    score: tuple[int, int]
    sums: tuple[int, int]

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.queries * self.keys // (self.score[0] * self.score[1])

    def part_vectors(self, width: int) -> int:
        """Return the vectors of shared memory for keys, or values after them."""
        return max(self.keys * _odd(self.depth), width * _odd(self.values))

    def shared_bytes(self, width: int) -> int:
        """Return the shared memory of a workgroup."""
        weights = self.queries * _odd(self.keys)
        return 16 * (weights + self.part_vectors(width)) + 4 * self.queries


def _odd(values: int) -> int:
    """Return the vectors from one row of some values to the next."""
    return values // VECTOR | 1


# By width, best first, as timed on an H200.
_TIMED = {
    40: (
        Block(256, 32, 40, 32, (8, 4), (8, 5)),
        Block(64, 32, 40, 32, (4, 4), (4, 5)),
    ),
    64: (Block(128, 32, 32, 16, (4, 4), (8, 4)),),
    80: (
        Block(128, 64, 40, 32, (4, 8), (4, 10)),
        Block(64, 64, 16, 16, (4, 8), (8, 5)),
    ),
    160: (Block(32, 64, 40, 16, (4, 4), (8, 5)),),
    512: (
        Block(32, 64, 64, 8, (2, 4), (8, 8)),
        Block(32, 32, 64, 4, (2, 4), (4, 32)),
    ),
}
_MOST_DEPTH = 40
_WIDEST = 256


def blocks_for(width: int) -> list[Block]:
    """Return blocks for a width, best first; the last fits what every adapter has."""
    timed = _TIMED.get(width, ())
    if width % 8 or width > _WIDEST:
        return list(timed)
    depths = (depth for depth in range(VECTOR, _MOST_DEPTH + 1, VECTOR) if width % depth == 0)
    values = 32 if width <= 40 else 16 if width <= 128 else 8 if width <= 160 else 4
    return [*timed, Block(32, 32, max(depths), values, (4, 4), (4, width // 8))]


def streamed(attention: AttentionProblem, block: Block) -> Variant:
    """Return the kernel of an attention that a block fits."""
    blocks = -(-attention.queries // block.queries)
    return Variant(
        launches=(
            Launch(
                head=attention_head(attention, "f32"),
                body="\n".join(_Kernel(attention, block).body()),
                grid=(blocks, attention.heads, attention.batch),
                buffers=attention.buffers,
            ),
        ),
        threads=block.threads,
        shared_bytes=block.shared_bytes(attention.width),
        operations=attention.operations,
    )


class _Copy(NamedTuple):
    """Lines that load vectors into registers, and lines that store them in shared memory."""

    loads: list[str]
    stores: list[str]


@dataclass(frozen=True)
class _Kernel:
    """The text of a kernel; what its parts share."""

    attention: AttentionProblem
    block: Block

    @property
    def width4(self) -> int:
        """Return the vectors of a head."""
        return self.attention.width // VECTOR

    @property
    def queries_down(self) -> int:
        """Return the threads along the queries of the scores."""
        return self.block.queries // self.block.score[0]

    @property
    def keys_across(self) -> int:
        """Return the threads along the keys of the scores."""
        return self.block.keys // self.block.score[1]

    @property
    def width_across(self) -> int:
        """Return the threads along the width of the result."""
        return self.attention.width // self.block.sums[1]

    @property
    def stride(self) -> int:
        """Return the vectors from one row of weights to the next."""
        return _odd(self.block.keys)

    @property
    def rows(self) -> list[str]:
        """Return the rows of the result that a thread makes, within the block."""
        down = self.block.queries // self.block.sums[0]
        return [f"oy + {i * down}u" for i in range(self.block.sums[0])]

    def body(self) -> list[str]:
        """Return the kernel after its head."""
        block = self.block
        sums = [f"o{i}_{j}" for i, _ in enumerate(self.rows) for j in range(block.sums[1])]
        keys, values = self._keys("0u", "0u"), self._values("0u")
        queries = (f"ty + {i * self.queries_down}u" for i in range(block.score[0]))
        return [
            f"var<workgroup> part : array<vec4<f32>, {block.part_vectors(self.attention.width)}>;",
            f"var<workgroup> weights : array<vec4<f32>, {block.queries * self.stride}>;",
            f"var<workgroup> factors : array<f32, {block.queries}>;",
            f"@compute @workgroup_size({block.threads})",
            "fn main(@builtin(workgroup_id) group : vec3<u32>,",
            "        @builtin(local_invocation_index) t : u32) {",
            f"let first = group.x * {block.queries}u;",
            f"let q_at = (group.z * QUERIES * HEADS + group.y) * {self.width4}u;",
            f"let k_at = (group.z * KEYS * HEADS + group.y) * {self.width4}u;",
            f"let tx = t % {self.keys_across}u; let ty = t / {self.keys_across}u;",
            f"let ox = t % {self.width_across}u; let oy = t / {self.width_across}u;",
            *(
                f"let q{i} = q_at + min(first + {row}, QUERIES - 1u) * HEADS * {self.width4}u;"
                for i, row in enumerate(queries)
            ),
            f"var largest = {HIDDEN}; var total = 0.0f;",
            *(f"var {name} = 0.0f;" for name in sums),
            *(f"var {load}" for load in keys.loads),
            f"for (var k0 = 0u; k0 < KEYS; k0 += {block.keys}u) {{",
            *(f"let {load}" for load in values.loads),
            *self._scores(keys.stores),
            "workgroupBarrier();",
            *values.stores,
            *self._softmax(),
            "workgroupBarrier();",
            *self._each_row("let factor = factors[row];", "o{i}_{j} *= factor;"),
            f"for (var v0 = 0u; v0 < {block.keys // VECTOR}u; v0 += {block.values // VECTOR}u) {{",
            *(self._more_values() if block.values < block.keys else []),
            *self._mix(),
            "} }",
            "workgroupBarrier();",
            f"if (t < {block.queries}u) {{ factors[t] = 1.0f / total; }}",
            "workgroupBarrier();",
            *self._each_row(
                "if (first + row >= QUERIES) { return; } let factor = factors[row]; "
                f"let at = {VECTOR}u * (q_at + (first + row) * HEADS * {self.width4}u) + ox;",
                "result[at + {across}u] = o{i}_{j} * factor;",
            ),
            "}\n",
        ]

    def _each_row(self, before: str, each: str) -> list[str]:
        """Return what is done with each row's results."""
        lines = []
        for i, row in enumerate(self.rows):
            results = (
                each.format(i=i, j=j, across=j * self.width_across)
                for j in range(self.block.sums[1])
            )
            lines.append(f"{{ let row = {row}; {before} {' '.join(results)} }}")
        return lines

    def _keys(self, k0: str, c0: str) -> _Copy:
        """Return what brings columns of keys into shared memory."""
        depth4, threads = self.block.depth // VECTOR, self.block.threads
        vectors = self.block.keys * depth4
        loads, stores = [], []
        for n in range(-(-vectors // threads)):
            at, alone = self._place(n, vectors)
            row = f"min({k0} + {at} / {depth4}u, KEYS - 1u)"
            loads.append(
                f"key{n} = k[k_at + {row} * HEADS * {self.width4}u + {c0} + {at} % {depth4}u];"
            )
            to = f"{at} / {depth4}u * {_odd(self.block.depth)}u + {at} % {depth4}u"
            stores.append(f"{alone}{{ part[{to}] = key{n}; }}")
        return _Copy(loads, stores)

    def _values(self, v0: str) -> _Copy:
        """Return what turns 4 keys' values into one vector for each of the width."""
        columns = self.block.values // VECTOR
        stride, across = _odd(self.block.values), self.keys_across
        vectors = columns * self.width4
        loads, stores = [], []
        for n in range(-(-vectors // self.block.threads)):
            at, alone = self._place(n, vectors)
            place, column = f"({v0} + {at} % {columns}u)", f"{at} / {columns}u"
            # The order in which threads store their scores.
            key = f"k0 + {place} % {across}u + {place} / {across}u * {VECTOR * across}u"
            for m in range(VECTOR):
                row = f"min({key} + {m * across}u, KEYS - 1u)"
                loads.append(f"value{n}_{m} = v[k_at + {row} * HEADS * {self.width4}u + {column}];")
            turned = (
                f"part[({column} * 4u + {m}u) * {stride}u + {at} % {columns}u] = "
                f"vec4<f32>({', '.join(f'value{n}_{each}.{x}' for each in range(VECTOR))});"
                for m, x in enumerate("xyzw")
            )
            stores.append(f"{alone}{{ {' '.join(turned)} }}")
        return _Copy(loads, stores)

    def _more_values(self) -> list[str]:
        """Return what brings the values of later keys, where not all lie in shared memory."""
        values = self._values("v0")
        loads = (f"let {load}" for load in values.loads)
        barrier = "workgroupBarrier();"
        return ["if (v0 > 0u) {", *loads, barrier, *values.stores, barrier, "}"]

    def _place(self, n: int, vectors: int) -> tuple[str, str]:
        """Return a thread's n-th of some vectors, and what asks whether there is such a one."""
        i = f"t + {n * self.block.threads}u"
        if (n + 1) * self.block.threads <= vectors:
            return f"({i})", ""
        return f"min({i}, {vectors - 1}u)", f"if ({i} < {vectors}u) "

    def _scores(self, store_keys: list[str]) -> list[str]:
        """Return the scores of a block of keys, and where they are stored."""
        block = self.block
        depth4, stride = block.depth // VECTOR, _odd(block.depth)
        queries, keys = range(block.score[0]), range(block.score[1])
        lines = [
            *(f"var s{i}_{j} = 0.0f;" for i in queries for j in keys),
            f"for (var c0 = 0u; c0 < {self.width4}u; c0 += {depth4}u) {{",
            "workgroupBarrier();",
            *store_keys,
            "workgroupBarrier();",
            # The next keys are under way while these are multiplied.
            f"let last = c0 + {depth4}u == {self.width4}u;",
            f"let next_k0 = k0 + select(0u, {block.keys}u, last);",
            f"let next_c0 = select(c0 + {depth4}u, 0u, last);",
            *self._keys("next_k0", "next_c0").loads,
            f"for (var c = 0u; c < {depth4}u; c++) {{",
            *(f"let a{i} = q[q{i} + c0 + c];" for i in queries),
        ]
        for j in keys:
            lines.append(f"let b{j} = part[(tx + {j * self.keys_across}u) * {stride}u + c];")
            lines += [
                f"s{i}_{j} = fma(a{i}.{x}, b{j}.{x}, s{i}_{j});" for x in "xyzw" for i in queries
            ]
        lines.append("} }")
        for i in queries:
            row = f"ty + {i * self.queries_down}u"
            for j in range(0, block.score[1], VECTOR):
                scores = ", ".join(self._score(row, i, j + n) for n in range(VECTOR))
                at = f"({row}) * {self.stride}u + tx + {j // VECTOR * self.keys_across}u"
                lines.append(f"weights[{at}] = vec4<f32>({scores});")
        return lines

    def _score(self, row: str, i: int, j: int) -> str:
        """Return a score, or what hides it."""
        attention = self.attention
        key = f"k0 + tx + {j * self.keys_across}u"
        seen = [f"({key} < KEYS)"] if attention.keys % self.block.keys else []
        seen += [f"({key} <= first + {row})"] if attention.causal else []
        score = f"s{i}_{j} * SCALE"
        return f"select({HIDDEN}, {score}, {' & '.join(seen)})" if seen else score

    def _softmax(self) -> list[str]:
        """Return what makes weights of scores, a thread a row."""
        columns = range(self.block.keys // VECTOR)
        return [
            f"if (t < {self.block.queries}u) {{",
            *(f"var w{n} = weights[t * {self.stride}u + {n}u];" for n in columns),
            "var most4 = vec4<f32>(largest);",
            *(f"most4 = max(most4, w{n});" for n in columns),
            "let most = max(max(most4.x, most4.y), max(most4.z, most4.w));",
            "var sum = vec4<f32>();",
            *(
                f"w{n} = exp2(w{n} - most); sum += w{n}; weights[t * {self.stride}u + {n}u] = w{n};"
                for n in columns
            ),
            "let factor = exp2(largest - most);",
            "total = total * factor + sum.x + sum.y + sum.z + sum.w;",
            "largest = most; factors[t] = factor;",
            "}",
        ]

    def _mix(self) -> list[str]:
        """Return the sums of values by their weights."""
        rows, columns = range(self.block.sums[0]), range(self.block.sums[1])
        stride = _odd(self.block.values)
        lines = [
            f"for (var p = 0u; p < {self.block.values // VECTOR}u; p++) {{",
            *(
                f"let w{i} = weights[({row}) * {self.stride}u + v0 + p];"
                for i, row in enumerate(self.rows)
            ),
        ]
        for j in columns:
            lines.append(f"let v{j} = part[(ox + {j * self.width_across}u) * {stride}u + p];")
            lines += [
                f"o{i}_{j} = fma(w{i}.{x}, v{j}.{x}, o{i}_{j});" for x in "xyzw" for i in rows
            ]
        return [*lines, "}"]
