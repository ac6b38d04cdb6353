"""Matrix units in plain WGSL: kernels that need them run on any adapter, slowly.

Only what the experimental feature adds is replaced, in the kernel's own text; its loads,
addresses, barriers and loops stay. Of the operands of a unit, a thread holds the row of the
left one that is its own (its number modulo 16), and half of that row of the result; of the
right one it knows where it lies. Halves are float32 values, rounded.
"""

from __future__ import annotations

import re
from dataclasses import replace

from wsd.kernels.variant import Launch, Variant

# The directives of ``enable_subgroup_matrix()`` in ``templates/common.wgsl.j2``.
_DIRECTIVES = re.compile(r"\A(?:enable .*;\n)+(?://.*\n)*diagnostic.*;\n")
_THREADS = "thread : u32) {"
_HEAD = """alias Left = array<f32, 16>;
alias Sums = array<f32, 8>;
struct Right { at : u32, turned : bool, stride : u32 }
var<private> lane_row : u32;
var<private> lane_column : u32;
fn half4(x : vec4<f32>) -> vec4<f32> {
  return vec4(unpack2x16float(pack2x16float(x.xy)), unpack2x16float(pack2x16float(x.zw)));
}
fn half(x : f32) -> f32 { return half4(vec4(x)).x; }
"""
_START = """
lane_row = thread % 16u;
lane_column = thread % 32u / 16u * 8u;
"""
_LEFT = """fn left_{0}(at : u32, turned : bool, stride : u32) -> Left {{
  var row : Left;
  for (var k = 0u; k < 16u; k++) {{ row[k] = {0}[at + lane_row * stride + k]; }}
  return row;
}}
"""
_MULTIPLY = """fn multiply(a : Left, b : Right, sums : Sums) -> Sums {{
  var row = sums;
  for (var j = 0u; j < 8u; j++) {{
    let n = lane_column + j;
    let start = b.at + n * select(1u, b.stride, b.turned);
    let step = select(b.stride, 1u, b.turned);
    for (var k = 0u; k < 16u; k++) {{ row[j] += a[k] * {0}[start + k * step]; }}
  }}
  return row;
}}
"""
_STORE = """fn store_{0}(at : u32, row : Sums, turned : bool, stride : u32) {{
  for (var j = 0u; j < 8u; j++) {{ {0}[at + lane_row * stride + lane_column + j] = row[j]; }}
}}
"""
_SHUFFLE = """var<workgroup> shuffled : array<f32, {0}>;
fn shuffle(thread : u32, x : f32, other : u32) -> f32 {{
  workgroupBarrier();
  shuffled[thread] = x;
  workgroupBarrier();
  return shuffled[thread ^ other];
}}
"""
_CHANGES = (
    (r"subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>>\(&(\w+), ", r"left_\1("),
    (r"subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>>\(&(\w+), ", "Right("),
    (r"subgroup_matrix_result<f32, 16, 16>", "Sums"),
    (r"subgroupMatrixMultiplyAccumulate\(", "multiply("),
    (r"subgroupMatrixStore\(&(\w+), ", r"store_\1("),
    (r"subgroupShuffleXor\(", "shuffle(thread, "),
    (r"array<f16, ", "array<f32, "),
    (r"vec4<f16>\(", "half4("),
    (r"\bf16\(", "half("),
)


def emulated(variant: Variant) -> Variant:
    """Return a variant on matrix units of 16 x 16 x 16 as one that needs none."""
    launches = tuple(
        _emulated(launch, variant.threads) if _DIRECTIVES.match(launch.head) else launch
        for launch in variant.launches
    )
    assert launches != variant.launches
    shared = max(
        sum(4 * int(n) for n in re.findall(r"<workgroup> \w+ : array<f32, (\d+)>", text))
        for text in (launch.head + launch.body for launch in launches)
    )
    return replace(
        variant,
        launches=launches,
        features=(),
        subgroup_matrix=None,
        subgroup_size=None,
        shared_bytes=shared,
    )


def _emulated(launch: Launch, threads: int) -> Launch:
    body = launch.body
    left = set(re.findall(r"subgroup_matrix_left[^(]*\(&(\w+)", body))
    (right,) = set(re.findall(r"subgroup_matrix_right[^(]*\(&(\w+)", body))
    stored = set(re.findall(r"subgroupMatrixStore\(&(\w+)", body))
    assert body.count(_THREADS) == 1
    body = body.replace(_THREADS, _THREADS + _START)
    for pattern, new in _CHANGES:
        body = re.sub(pattern, new, body)
    functions = [
        _HEAD,
        *(_LEFT.format(name) for name in sorted(left)),
        _MULTIPLY.format(right),
        *(_STORE.format(name) for name in sorted(stored)),
        *([_SHUFFLE.format(threads)] if "shuffle(" in body else []),
    ]
    head = _DIRECTIVES.sub("", launch.head, count=1)
    return replace(launch, head=head + "".join(functions), body=body)
