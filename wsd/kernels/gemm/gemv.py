"""Linear layers of a few rows: every weight is read once, and nothing is reused.

The embedding of a timestep is one row. A tile would leave most of a GPU idle; here 64
threads share each result, side by side along k, so that they read one piece of the
weight's row after another, and add up what they have.

Roofline: bound by reading the weight.
"""

from __future__ import annotations

from wsd.kernels.gemm.loads import head
from wsd.kernels.problem import GemmProblem
from wsd.kernels.reduce.workgroup_sum import WorkgroupSum
from wsd.kernels.variant import Launch, Variant

_TOGETHER = 64
_RESULTS = 4


def shared_rows(product: GemmProblem, subgroups: bool = False) -> Variant:
    """Return the kernel of a linear layer whose depth is a multiple of 4."""
    adding = WorkgroupSum(_TOGETHER * _RESULTS, _TOGETHER, subgroups)
    body = f"""{adding.main}
  let m = group.y;
  let n = group.x * {_RESULTS}u + t / {_TOGETHER}u;
  let lane = t % {_TOGETHER}u;
  var four = vec4<f32>();
  for (var k = lane; k < K4; k += {_TOGETHER}u) {{
    four = fma(a[m * K4 + k], weight(min(n, N - 1u) * K4 + k), four);
  }}
  let sum = dot(four, vec4<f32>(1.0f));
  {adding.total}
  if (lane == 0u && n < N) {{
    let at = m * N + n;
    result[at] = finish(m, n, at, total);
  }}
}}
"""
    launch = Launch(
        head=head(product),
        body=body,
        grid=(-(-product.columns // _RESULTS), product.rows, 1),
        buffers=product.buffers,
    )
    return adding.variant(launch, product.operations)
