// Adds a product of two matrices to a weight: LoRA, Hu et al. 2021.
//
//   values[o, i] += factor · (sum over r of up[o, r] · down[r, i])
//
// values: float32, (rows, columns) row-major. down: float32, (rank, columns) row-major. up: float32,
// transposed, (rank, rows), with rows padded to a multiple of 8.
// The sum runs over r in order, from 0, and neither it nor the last addition is a fused
// multiply-add: wsd/checkpoint/adapters computes the same, so that both give the same bits.
// parameters: [rows, columns, rank, bits of the factor]. A thread computes 8 rows of a column; the
// grid is (columns / 64, rows / 8).

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> values : array<f32>;
@group(0) @binding(2) var<storage, read> up : array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> down : array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  let rows = parameters[0];
  let columns = parameters[1];
  let rank = parameters[2];
  let factor = bitcast<f32>(parameters[3]);
  let column = id.x;
  if (column >= columns) {
    return;
  }
  let blocks = 2u * ((rows + 7u) / 8u);
  var sums = array<vec4<f32>, 2>();
  for (var r = 0u; r < rank; r++) {
    let value = down[r * columns + column];
    let first = up[r * blocks + 2u * id.y] * value;
    let second = up[r * blocks + 2u * id.y + 1u] * value;
    sums[0] = sums[0] + first;
    sums[1] = sums[1] + second;
  }
  for (var part = 0u; part < 8u && 8u * id.y + part < rows; part++) {
    let at = (8u * id.y + part) * columns + column;
    let change = sums[part / 4u][part % 4u] * factor;
    values[at] = values[at] + change;
  }
}
