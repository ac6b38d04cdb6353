// Dequantises an int8 weight to float32.
//
//   values[o, i] = weights[o, i] · scales[o]
//
// weights: four int8 values a word, low bits first, row-major; scales: one float32 for each row.
// parameters: [number of values, columns]. One thread a word.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read> weights : array<u32>;
@group(0) @binding(2) var<storage, read> scales : array<f32>;
@group(0) @binding(3) var<storage, read_write> values : array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let word = id.y * groups.x * 256u + id.x;
  let count = parameters[0];
  let columns = parameters[1];
  if (4u * word >= count) {
    return;
  }
  let packed = bitcast<i32>(weights[word]);
  for (var part = 0u; part < 4u && 4u * word + part < count; part++) {
    let at = 4u * word + part;
    values[at] = f32(extractBits(packed, 8u * part, 8u)) * scales[at / columns];
  }
}
