// Packs a changed weight as int4 with the scales of its groups, as wsd/bundle/quantize.py does.
//
//   weights[i] = values[i] / scales[i / 32], rounded to even between two, from -8 to 7
//
// Of five first scales, which map the value of largest magnitude to -7.2 ... -8.8, each gives values, and
// these the scale of least squared error, rounded to float16, with which values are quantised again. The
// scale stays whose squared error is least, of equal ones the first.
//
// weights: eight int4 values a word, low bits first, row-major; scales: float16, two a word, one for each
// group of 32 values; values: float32.
// parameters: [number of groups]. One thread two groups, whose scales are one word. A scale beyond
// float16's largest becomes the largest.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> weights : array<u32>;
@group(0) @binding(2) var<storage, read_write> scales : array<u32>;
@group(0) @binding(3) var<storage, read> values : array<f32>;

fn quantize(value : f32, scale : f32) -> f32 {
  return clamp(round(value / scale), -8.0f, 7.0f);
}

// The float16 bits of a group's scale; 0 for a group of zeros.
fn scaleOf(first : u32) -> u32 {
  var extreme = 0.0f;
  for (var at = first; at < first + 32u; at++) {
    if (abs(values[at]) > abs(extreme)) {
      extreme = values[at];
    }
  }
  var found = 0u;
  var least = -1.0f;
  for (var candidate = 0u; candidate < 5u; candidate++) {
    let start = extreme / (-7.2f - 0.4f * f32(candidate));
    if (start == 0.0f) {
      return 0u;
    }
    var products = 0.0f;
    var squares = 0.0f;
    for (var at = first; at < first + 32u; at++) {
      let steps = quantize(values[at], start);
      products += values[at] * steps;
      squares += steps * steps;
    }
    let half = narrow(products / squares);
    let scale = widen(half);
    var error = 0.0f;
    for (var at = first; at < first + 32u; at++) {
      // With a scale that underflows all values are 0.
      let rounded = select(quantize(values[at], scale) * scale, 0.0f, scale == 0.0f);
      error += (rounded - values[at]) * (rounded - values[at]);
    }
    if (least < 0.0f || error < least) {
      least = error;
      found = half;
    }
  }
  return found;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let pair = id.y * groups.x * 64u + id.x;
  if (2u * pair >= parameters[0]) {
    return;
  }
  var packedScales = 0u;
  for (var part = 0u; part < 2u && 2u * pair + part < parameters[0]; part++) {
    let group = 2u * pair + part;
    let half = scaleOf(32u * group);
    packedScales |= half << (16u * part);
    let scale = widen(half);
    for (var word = 0u; word < 4u; word++) {
      var packed = 0u;
      for (var field = 0u; field < 8u; field++) {
        let value = values[32u * group + 8u * word + field];
        let steps = select(quantize(value, scale), 0.0f, scale == 0.0f);
        packed = insertBits(packed, bitcast<u32>(i32(steps)), 4u * field, 4u);
      }
      weights[4u * group + word] = packed;
    }
  }
  scales[pair] = packedScales;
}
