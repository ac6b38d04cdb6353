"""Linear layers of a few rows: every weight is read once, and nothing is reused.

The embedding of a timestep is one row. A tile would leave most of a GPU idle; here 64
threads share each result, side by side along k, so that they read one piece of the
weight's row after another, and add up what they have in shared memory.

Roofline: bound by reading the weight.
"""

from __future__ import annotations

from wsd.wgsl.operands import head
from wsd.wgsl.product import Product
from wsd.wgsl.variant import Launch, Variant

_TOGETHER = 64
_RESULTS = 4


def shared_rows(product: Product) -> Variant:
    """Return the kernel of a linear layer whose depth is a multiple of 4."""
    threads = _TOGETHER * _RESULTS
    body = f"""var<workgroup> sums : array<f32, {threads}>;
@compute @workgroup_size({threads})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) t : u32) {{
  let m = group.y;
  let n = group.x * {_RESULTS}u + t / {_TOGETHER}u;
  let lane = t % {_TOGETHER}u;
  var sum = vec4<f32>();
  for (var k = lane; k < K4; k += {_TOGETHER}u) {{
    sum = fma(a[m * K4 + k], weight(min(n, N - 1u) * K4 + k), sum);
  }}
  sums[t] = sum.x + sum.y + sum.z + sum.w;
  for (var step = {_TOGETHER // 2}u; step > 0u; step /= 2u) {{
    workgroupBarrier();
    if (lane < step) {{ sums[t] += sums[t + step]; }}
  }}
  if (lane == 0u && n < N) {{
    let at = m * N + n;
    result[at] = finish(m, n, at, sums[t]);
  }}
}}
"""
    return Variant(
        launches=(
            Launch(
                head=head(product),
                body=body,
                grid=(-(-product.columns // _RESULTS), product.rows, 1),
                buffers=product.buffers,
            ),
        ),
        threads=threads,
        shared_bytes=4 * threads,
        operations=product.operations,
    )
