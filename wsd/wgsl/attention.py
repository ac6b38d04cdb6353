"""Attention that keeps its scores in shared memory, on any WebGPU adapter.

One workgroup takes some queries of one head and walks over the keys, some at a time:
scores by a small tiled product, the exponentials relative to the largest score so far,
and what they weigh of the values added to sums in registers, which are scaled down
whenever a larger score comes ("FlashAttention", Dao et al. 2022, algorithm 1). Nothing
is stored but the result; all numbers are float32.

Roofline: 4 heads x width operations a score, of which exp is one; bound by arithmetic
from widths of 40 on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wsd.wgsl.variant import VECTOR, Launch, Variant

_HIDDEN = "-3.0e38f"


@dataclass(frozen=True)
class Attention:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1).

    Attributes:
        batch: pictures.
        queries: of each.
        keys: of each.
        heads: of each.
        width: numbers of a query, a key or a value in one head.
        scale: of the scores.
        causal: whether a query sees only keys up to its own place.
        buffers: names of the result and the queries (batch, queries, heads, width),
            of the keys and the values (batch, keys, heads, width).
    """

    batch: int
    queries: int
    keys: int
    heads: int
    width: int
    scale: float
    causal: bool = False
    buffers: tuple[str, ...] = ("result", "q", "k", "v")

    @property
    def operations(self) -> int:
        """Return the floating-point operations of both products."""
        return 4 * self.batch * self.heads * self.queries * self.keys * self.width


@dataclass(frozen=True)
class Block:
    """What one workgroup takes at a time.

    Attributes:
        queries: of the workgroup.
        keys: at a time.
        depth: values of the width at a time.
        thread_queries: scores a thread makes along the queries.
        thread_keys: and along the keys.
        across: threads along the width of the result.
    """

    queries: int
    keys: int
    depth: int
    thread_queries: int
    thread_keys: int
    across: int

    @property
    def threads(self) -> int:
        """Return the threads of a workgroup."""
        return self.queries // self.thread_queries * self.keys // self.thread_keys

    def part_vectors(self, width: int) -> int:
        """Return the vectors of shared memory for parts of queries, keys and values."""
        scores = (self.queries + self.keys) * (self.depth // VECTOR)
        return max(scores, width)

    def shared_bytes(self, width: int) -> int:
        """Return the shared memory of a workgroup."""
        weights = self.queries * (self.keys // VECTOR)
        return 16 * (self.part_vectors(width) + weights) + 4 * self.queries


def _place(row: str, column: str, vectors: int) -> str:
    """Return where a vector of a row lies in shared memory, rows of 2, 4 or 8 vectors.

    A row's vectors are exchanged among themselves so that threads that read one column of
    different rows meet in no bank of 128 bytes, 8 vectors: without padding, which takes
    room.
    """
    turn = f"(({row}) >> {4 - vectors.bit_length()}u) & {vectors - 1}u"
    return f"({row}) * {vectors}u + (({column}) ^ ({turn}))"


def block_for(attention: Attention) -> Block | None:
    """Return a block that divides a width, or None."""
    width = attention.width
    if width % 8:
        return None
    if width > 256:
        block = Block(32, 32, 16, 2, 2, across=32)
    elif width > 128:
        block = Block(32, 32, 16, 4, 2, across=4)
    elif width % 16:
        block = Block(64, 32, 8, 4, 4, across=2)
    else:
        block = Block(64, 32, 16, 4, 4, across=4)
    fits = width % block.depth == 0 and width // VECTOR % block.across == 0
    return block if fits else None


def streamed(attention: Attention, block: Block) -> Variant:
    """Return the kernel of an attention that a block fits."""
    blocks = -(-attention.queries // block.queries)
    return Variant(
        launches=(
            Launch(
                head=attention_head(attention),
                body=_body(attention, block),
                grid=(blocks, attention.heads, attention.batch),
                buffers=attention.buffers,
            ),
        ),
        threads=block.threads,
        shared_bytes=block.shared_bytes(attention.width),
        operations=attention.operations,
    )


def attention_head(attention: Attention) -> str:
    """Return what an attention kernel takes for granted: bindings and constants."""
    return "\n".join(
        [
            "@group(0) @binding(0) var<storage, read_write> result : array<vec4<f32>>;",
            *(
                f"@group(0) @binding({binding}) var<storage, read> {name} : array<vec4<f32>>;"
                for binding, name in enumerate("qkv", start=1)
            ),
            f"const QUERIES = {attention.queries}u;",
            f"const KEYS = {attention.keys}u;",
            f"const HEADS = {attention.heads}u;",
            # Powers of 2 are cheaper than powers of e.
            f"const SCALE = {attention.scale * math.log2(math.e)!r}f;",
            "",
        ]
    )


def _body(attention: Attention, block: Block) -> str:
    width4, depth4, keys4 = (n // VECTOR for n in (attention.width, block.depth, block.keys))
    threads = block.threads
    across = block.keys // block.thread_keys
    down = threads // across
    lines_down = threads // block.across
    queries, keys = range(block.thread_queries), range(block.thread_keys)
    rows, columns = range(block.queries // lines_down), range(width4 // block.across)
    part = block.part_vectors(attention.width)
    at_once = VECTOR
    while 2 * at_once <= block.keys and 2 * at_once * width4 <= part:
        at_once *= 2

    def seen(i: int, j: int) -> str:
        key = f"k0 + tx + {j * across}u"
        causal = f" && {key} <= first + ty + {i * down}u" if attention.causal else ""
        return f"{key} < KEYS{causal}"

    def score(i: int, j: int) -> str:
        scaled = f"s{i}_{j} * SCALE"
        if attention.causal or attention.keys % block.keys:
            scaled = f"select({_HIDDEN}, {scaled}, {seen(i, j)})"
        at = _place(f"ty + {i * down}u", f"(tx + {j * across}u) / 4u", keys4)
        return f"weights[{at}][(tx + {j * across}u) % 4u] = {scaled};"

    def copy(offset: int, count: int, source: str, start: str, last: str) -> str:
        return (
            f"for (var i = t; i < {count * depth4}u; i += {threads}u) {{ "
            f"let r = i / {depth4}u; let c = i % {depth4}u; "
            f"part[{offset}u + {_place('r', 'c', depth4)}] = "
            f"{source}[{source}_at + min({start} + r, {last} - 1u) * HEADS * {width4}u"
            " + c0 + c]; }"
        )

    mine = _place("t", "k", keys4)
    alone = f"if (t < {block.queries}u) " if block.queries < threads else ""
    lines = [
        f"var<workgroup> part : array<vec4<f32>, {part}>;",
        f"var<workgroup> weights : array<vec4<f32>, {block.queries * keys4}>;",
        f"var<workgroup> factors : array<f32, {block.queries}>;",
        f"@compute @workgroup_size({threads})",
        "fn main(@builtin(workgroup_id) group : vec3<u32>,",
        "        @builtin(local_invocation_index) t : u32) {",
        f"let first = group.x * {block.queries}u;",
        f"let q_at = (group.z * QUERIES * HEADS + group.y) * {width4}u;",
        f"let k_at = (group.z * KEYS * HEADS + group.y) * {width4}u;",
        f"let tx = t % {across}u; let ty = t / {across}u;",
        f"let ox = t % {block.across}u; let oy = t / {block.across}u;",
        f"var largest = {_HIDDEN}; var total = 0.0f;",
        *(f"var o{i}_{j} = vec4<f32>();" for i in rows for j in columns),
        f"for (var k0 = 0u; k0 < KEYS; k0 += {block.keys}u) {{",
        *(f"var s{i}_{j} = 0.0f;" for i in queries for j in keys),
        f"for (var c0 = 0u; c0 < {width4}u; c0 += {depth4}u) {{",
        "workgroupBarrier();",
        copy(0, block.queries, "q", "first", "QUERIES"),
        copy(block.queries * depth4, block.keys, "k", "k0", "KEYS"),
        "workgroupBarrier();",
        f"for (var c = 0u; c < {depth4}u; c++) {{",
        *(f"let a{i} = part[{_place(f'ty + {i * down}u', 'c', depth4)}];" for i in queries),
        *(
            f"let b{j} = part[{block.queries * depth4}u"
            f" + {_place(f'tx + {j * across}u', 'c', depth4)}];"
            for j in keys
        ),
        *(
            f"s{i}_{j} = fma(a{i}.{component}, b{j}.{component}, s{i}_{j});"
            for component in "xyzw"
            for i in queries
            for j in keys
        ),
        "} }",
        *(score(i, j) for i in queries for j in keys),
        "workgroupBarrier();",
        f"{alone}{{",
        "var most4 = vec4<f32>(largest);",
        f"for (var k = 0u; k < {keys4}u; k++) {{ most4 = max(most4, weights[{mine}]); }}",
        "let most = max(max(most4.x, most4.y), max(most4.z, most4.w));",
        "var sum = vec4<f32>();",
        f"for (var k = 0u; k < {keys4}u; k++) {{",
        f"let weight = exp2(weights[{mine}] - most);",
        f"weights[{mine}] = weight; sum += weight; }}",
        "let factor = exp2(largest - most);",
        "total = total * factor + sum.x + sum.y + sum.z + sum.w;",
        "largest = most; factors[t] = factor;",
        "}",
        "workgroupBarrier();",
        *(
            f"{{ let factor = factors[oy + {i * lines_down}u]; "
            + " ".join(f"o{i}_{j} *= factor;" for j in columns)
            + " }"
            for i in rows
        ),
        f"for (var v0 = 0u; v0 < {block.keys}u; v0 += {at_once}u) {{",
        "workgroupBarrier();",
        f"for (var i = t; i < {at_once * width4}u; i += {threads}u) {{",
        f"let r = i / {width4}u; let c = i % {width4}u;",
        f"part[i] = v[k_at + min(k0 + v0 + r, KEYS - 1u) * HEADS * {width4}u + c]; }}",
        "workgroupBarrier();",
        f"for (var k = 0u; k < {at_once // VECTOR}u; k++) {{",
        *(
            f"let w{i} = weights[{_place(f'oy + {i * lines_down}u', 'v0 / 4u + k', keys4)}];"
            for i in rows
        ),
    ]
    for n, component in enumerate("xyzw"):
        for j in columns:
            at = f"(k * 4u + {n}u) * {width4}u + ox + {j * block.across}u"
            lines.append(f"let v{component}{j} = part[{at}];")
            lines += [
                f"o{i}_{j} = fma(vec4<f32>(w{i}.{component}), v{component}{j}, o{i}_{j});"
                for i in rows
            ]
    lines += [
        "} } }",
        "workgroupBarrier();",
        f"{alone}{{ factors[t] = 1.0f / total; }}",
        "workgroupBarrier();",
    ]
    for i in rows:
        lines += [
            f"{{ let r = oy + {i * lines_down}u; if (first + r < QUERIES) {{",
            "let factor = factors[r];",
            f"let at = q_at + (first + r) * HEADS * {width4}u + ox;",
            *(f"result[at + {j * block.across}u] = o{i}_{j} * factor;" for j in columns),
            "} }",
        ]
    return "\n".join([*lines, "}"]) + "\n"
