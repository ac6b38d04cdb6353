"""The sums of layer and group normalisation, spread over a GPU.

A layer's sum runs over one row: 64 threads share it. A group's runs over all pixels and
a few channels of each: workgroups take some pixels each and all channels, so that they
read whole rows; a second launch adds what they found. The variance is summed around the
mean (:mod:`wsd.compiler.tir.legalize.group_layer_norm`), so each sum is taken twice, of the
values and of the squares of their distance from the mean.

Roofline: bound by reading the input, twice.
"""

from __future__ import annotations

import math
from dataclasses import replace

from wsd.kernels.problem import NormSumsProblem
from wsd.kernels.reduce.workgroup_sum import WorkgroupSum
from wsd.kernels.variant import VECTOR, Launch, Variant

_THREADS = 256
_TOGETHER = 64
_MOST_PARTS = 1024
# Values of a group that one workgroup sums sooner than two launches do, if there are as
# many groups as keep a GPU busy.
_FEW = 1 << 14
_LEAST_GROUPS = 32


def row_sums(sums: NormSumsProblem, subgroups: bool = False) -> Variant:
    """Return the kernel for rows of their own: pixels and groups are 1."""
    rows = _THREADS // _TOGETHER
    adding = WorkgroupSum(_THREADS, _TOGETHER, subgroups)
    body = f"""{adding.main}
  let row = group.x * {rows}u + t / {_TOGETHER}u;
  let lane = t % {_TOGETHER}u;
  var four = vec4<f32>();
  if (row < ROWS) {{
    {_mean("row")}
    for (var k = lane; k < WIDTH4; k += {_TOGETHER}u) {{
      four += term(x[row * WIDTH4 + k], vec4<f32>(mean));
    }}
  }}
  let sum = dot(four, vec4<f32>(1.0f));
  {adding.total}
  if (lane == 0u && row < ROWS) {{ result[row] = total; }}
}}
"""
    constants = f"const ROWS = {sums.batch}u;\nconst WIDTH4 = {sums.width // 4}u;\n"
    launch = Launch(
        head=_head(sums, "vec4<f32>") + constants,
        body=body,
        grid=(-(-sums.batch // rows), 1, 1),
        buffers=sums.buffers,
    )
    return adding.variant(launch)


def group_sums(sums: NormSumsProblem, subgroups: bool = False) -> Variant:
    """Return the kernels for groups of channels, of which a pixel has whole vectors."""
    if sums.pixels * sums.width <= _FEW and sums.batch * sums.groups >= _LEAST_GROUPS:
        return _whole_groups(sums, subgroups)
    adding = WorkgroupSum(_TOGETHER, _TOGETHER, subgroups)
    # As timed on an H200, of images from 16 x 16 to 512 x 512.
    parts = min(_MOST_PARTS, 4 * math.isqrt(sums.pixels))
    per_part = -(-sums.pixels // parts)
    columns = sums.channels // VECTOR
    rows = max(1, _THREADS // columns)
    constants = (
        f"const PIXELS = {sums.pixels}u;\nconst PER_PART = {per_part}u;\n"
        f"const PARTS = {parts}u;\nconst COLUMNS = {columns}u;\nconst ROWS = {rows}u;\n"
        f"const GROUPS = {sums.groups}u;\nconst WIDTH = {sums.width}u;\n"
    )
    owners = ", ".join(f"mean_of(owner + (c * 4u + {n}u) / WIDTH)" for n in range(VECTOR))
    body = f"""var<workgroup> sums : array<vec4<f32>, ROWS * COLUMNS>;
@compute @workgroup_size({_THREADS})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) t : u32) {{
  let first = group.x * PER_PART;
  let last = min(first + PER_PART, PIXELS);
  let owner = group.y * GROUPS;
  for (var i = t; i < ROWS * COLUMNS; i += {_THREADS}u) {{
    let c = i % COLUMNS;
    let mean = vec4<f32>({owners});
    var sum = vec4<f32>();
    for (var pixel = first + i / COLUMNS; pixel < last; pixel += ROWS) {{
      sum += term(x[(group.y * PIXELS + pixel) * COLUMNS + c], mean);
    }}
    sums[i] = sum;
  }}
  workgroupBarrier();
  for (var g = t; g < GROUPS; g += {_THREADS}u) {{
    var sum = 0.0f;
    for (var row = 0u; row < ROWS; row++) {{
      for (var c = g * WIDTH; c < (g + 1u) * WIDTH; c++) {{
        sum += sums[row * COLUMNS + c / 4u][c % 4u];
      }}
    }}
    result[(owner + g) * PARTS + group.x] = sum;
  }}
}}
"""
    add = f"""{adding.main}
  var sum = 0.0f;
  for (var part = t; part < PARTS; part += {_TOGETHER}u) {{ sum += parts[group.x * PARTS + part]; }}
  {adding.total}
  if (t == 0u) {{ result[group.x] = total; }}
}}
"""
    gather = Launch(
        head="@group(0) @binding(0) var<storage, read_write> result : array<f32>;\n"
        "@group(0) @binding(1) var<storage, read> parts : array<f32>;\n"
        f"const PARTS = {parts}u;\n",
        body=add,
        grid=(sums.batch * sums.groups, 1, 1),
        buffers=(sums.buffers[0], None),
    )
    launch = Launch(
        head=_head(sums, "vec4<f32>") + constants,
        body=body,
        grid=(parts, sums.batch, 1),
        buffers=(None, *sums.buffers[1:]),
    )
    added = adding.variant(gather)
    return replace(
        added,
        launches=(launch, *added.launches),
        threads=_THREADS,
        shared_bytes=4 * rows * sums.channels,
        scratch_bytes=4 * parts * sums.batch * sums.groups,
    )


def _whole_groups(sums: NormSumsProblem, subgroups: bool) -> Variant:
    """Return the kernel for groups so small that one workgroup takes each."""
    constants = (
        f"const VALUES = {sums.pixels * sums.width}u;\nconst PIXELS = {sums.pixels}u;\n"
        f"const CHANNELS = {sums.channels}u;\nconst GROUPS = {sums.groups}u;\n"
        f"const WIDTH = {sums.width}u;\n"
    )
    adding = WorkgroupSum(_THREADS, _THREADS, subgroups)
    body = f"""{adding.main}
  {_mean("group.y * GROUPS + group.x")}
  let first = group.y * PIXELS * CHANNELS + group.x * WIDTH;
  var sum = 0.0f;
  for (var i = t; i < VALUES; i += {_THREADS}u) {{
    sum += term(x[first + i / WIDTH * CHANNELS + i % WIDTH], mean);
  }}
  {adding.total}
  if (t == 0u) {{ result[group.y * GROUPS + group.x] = total; }}
}}
"""
    launch = Launch(
        head=_head(sums, "f32") + constants,
        body=body,
        grid=(sums.groups, sums.batch, 1),
        buffers=sums.buffers,
    )
    return adding.variant(launch)


def _head(sums: NormSumsProblem, element: str) -> str:
    lines = [
        "@group(0) @binding(0) var<storage, read_write> result : array<f32>;",
        f"@group(0) @binding(1) var<storage, read> x : array<{element}>;",
    ]
    if sums.centred:
        lines.append("@group(0) @binding(2) var<storage, read> totals : array<f32>;")
    inverse = 1 / (sums.pixels * sums.width)
    total, value = ("totals[at]", "(x - mean) * (x - mean)") if sums.centred else ("0.0f", "x")
    lines += [
        f"fn mean_of(at : u32) -> f32 {{ return {total} * {inverse!r}f; }}",
        f"fn term(x : {element}, mean : {element}) -> {element} {{ return {value}; }}",
        "",
    ]
    return "\n".join(lines)


def _mean(at: str) -> str:
    return f"let mean = mean_of({at});"
