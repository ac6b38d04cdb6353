// Functions that stand before each shader of this folder: float16 values as bits.
//
// Integers do it, because `pack2x16float` may round in either direction, and `unpack2x16float` may
// flush subnormal values to zero.

// A float32 as the nearest float16, an even one between two; beyond float16's largest, the largest.
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

// A float16 as float32. Exact: a subnormal one is a whole number of at most ten bits times 2^-24.
fn widen(half : u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 0x1fu;
  let fraction = half & 0x3ffu;
  let normal = ((exponent + 112u) << 23u) | (fraction << 13u);
  let bits = select(normal, bitcast<u32>(f32(fraction) * 0x1p-24f), exponent == 0u);
  return bitcast<f32>(bits | sign);
}
