// Packs float32 values as a float16 weight, rounded to the nearest and to even between two.
//
//   weights[i] = float16(values[i])
//
// weights: two float16 values a word, low bits first; values: float32, row-major.
// A value beyond float16's largest becomes the largest.
// parameters: [number of values]. One thread a word.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> weights : array<u32>;
@group(0) @binding(2) var<storage, read> values : array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let word = id.y * groups.x * 256u + id.x;
  let count = parameters[0];
  if (2u * word >= count) {
    return;
  }
  var packed = narrow(values[2u * word]);
  if (2u * word + 1u < count) {
    packed |= narrow(values[2u * word + 1u]) << 16u;
  }
  weights[word] = packed;
}
