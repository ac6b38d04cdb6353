// Unpacks a float16 weight to float32.
//
//   values[i] = weights[i]
//
// weights: two float16 values a word, low bits first; values: float32, row-major.
// Integers do it, because `unpack2x16float` may flush subnormal values to zero.
// parameters: [number of values]. One thread a word.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read> weights : array<u32>;
@group(0) @binding(2) var<storage, read_write> values : array<f32>;

fn widen(half : u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 0x1fu;
  let fraction = half & 0x3ffu;
  if (exponent == 0u) {
    // Exact: a whole number of at most ten bits times a power of two.
    return bitcast<f32>(bitcast<u32>(f32(fraction) * 0x1p-24f) | sign);
  }
  return bitcast<f32>(sign | ((exponent + 112u) << 23u) | (fraction << 13u));
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let word = id.y * groups.x * 256u + id.x;
  let count = parameters[0];
  if (2u * word >= count) {
    return;
  }
  let packed = weights[word];
  values[2u * word] = widen(packed & 0xffffu);
  if (2u * word + 1u < count) {
    values[2u * word + 1u] = widen(packed >> 16u);
  }
}
