// Adds a Kronecker product to a weight: LoKr, Yeh et al. 2024. With a left factor of the one value 1
// it adds a whole matrix.
//
//   values[o, p, i] += factor · left[o / c, i / d] · right[o % c, p, i % d]
//
// values: float32, (rows, positions, inputs) row-major, where positions are those of a convolution's
// kernel. left: float32, (rows / c, inputs / d). right: float32, (c, positions, d).
// parameters: [number of values, positions, inputs, bits of the factor, c, d]. One thread a value.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> values : array<f32>;
@group(0) @binding(2) var<storage, read> left : array<f32>;
@group(0) @binding(3) var<storage, read> right : array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let at = id.y * groups.x * 256u + id.x;
  if (at >= parameters[0]) {
    return;
  }
  let positions = parameters[1];
  let inputs = parameters[2];
  let factor = bitcast<f32>(parameters[3]);
  let c = parameters[4];
  let d = parameters[5];
  let i = at % inputs;
  let p = (at / inputs) % positions;
  let o = at / (inputs * positions);
  let product = left[(o / c) * (inputs / d) + i / d] * right[((o % c) * positions + p) * d + i % d];
  let change = product * factor;
  values[at] = values[at] + change;
}
