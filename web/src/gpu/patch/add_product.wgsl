// Adds the product, value by value, of two products of matrices to a weight: LoHa,
// Hyeon-Woo et al. 2022.
//
//   values[o, i] += factor · (sum over r of up[o, r] · down[r, i])
//                          · (sum over r of up2[o, r] · down2[r, i])
//
// values: float32, (rows, columns) row-major. down and down2: float32, (rank, columns) row-major. up
// and up2: float32, transposed, (rank, rows), with rows padded to a multiple of 8.
// The sums run over r in order, from 0, without fused multiply-adds, as in add_low_rank.wgsl.
// parameters: [rows, columns, rank, bits of the factor, rank of the second product]. A thread
// computes 8 rows of a column; the grid is (columns / 64, rows / 8).

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> values : array<f32>;
@group(0) @binding(2) var<storage, read> up : array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> down : array<f32>;
@group(0) @binding(4) var<storage, read> up2 : array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> down2 : array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  let rows = parameters[0];
  let columns = parameters[1];
  let factor = bitcast<f32>(parameters[3]);
  let column = id.x;
  if (column >= columns) {
    return;
  }
  let blocks = 2u * ((rows + 7u) / 8u);
  var sums = array<vec4<f32>, 2>();
  for (var r = 0u; r < parameters[2]; r++) {
    let value = down[r * columns + column];
    let first = up[r * blocks + 2u * id.y] * value;
    let second = up[r * blocks + 2u * id.y + 1u] * value;
    sums[0] = sums[0] + first;
    sums[1] = sums[1] + second;
  }
  var others = array<vec4<f32>, 2>();
  for (var r = 0u; r < parameters[4]; r++) {
    let value = down2[r * columns + column];
    let first = up2[r * blocks + 2u * id.y] * value;
    let second = up2[r * blocks + 2u * id.y + 1u] * value;
    others[0] = others[0] + first;
    others[1] = others[1] + second;
  }
  for (var part = 0u; part < 8u && 8u * id.y + part < rows; part++) {
    let at = (8u * id.y + part) * columns + column;
    let product = sums[part / 4u][part % 4u] * others[part / 4u][part % 4u];
    let change = product * factor;
    values[at] = values[at] + change;
  }
}
