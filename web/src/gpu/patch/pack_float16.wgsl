// Packs float32 values as a float16 weight, rounded to the nearest and to even between two.
//
//   weights[i] = float16(values[i])
//
// weights: two float16 values a word, low bits first; values: float32, row-major.
// Integers do it, because `pack2x16float` may round in either direction. A value beyond float16's
// largest becomes the largest.
// parameters: [number of values]. One thread a word.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> weights : array<u32>;
@group(0) @binding(2) var<storage, read> values : array<f32>;

fn narrow(value : f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  let exponent = magnitude >> 23u;
  if (exponent >= 113u) {
    // Normal: the exponent's bias becomes 15, and 13 bits of the fraction are rounded off.
    let biased = magnitude - (112u << 23u);
    let rounded = (biased + 0xfffu + ((biased >> 13u) & 1u)) >> 13u;
    return sign | min(rounded, 0x7bffu);
  }
  if (exponent < 102u) {
    return sign; // less than half of the smallest
  }
  // Subnormal: a whole number of 2^-24.
  let significand = (magnitude & 0x7fffffu) | 0x800000u;
  let shift = 126u - exponent;
  let whole = significand >> shift;
  let rest = significand & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  let up = rest > half || (rest == half && (whole & 1u) == 1u);
  return sign | (whole + select(0u, 1u, up));
}

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
