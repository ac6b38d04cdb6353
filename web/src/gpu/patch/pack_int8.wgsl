// Packs a changed weight as int8 with the scales of its rows, as wsd/bundle/quantize.py does.
//
//   weights[o, i] = values[o, i] / scales[o], rounded to even between two, from -127 to 127
//
// weights: four int8 values a word, low bits first, row-major; scales: one float32 for each row.
// parameters: [number of values, columns]. One thread a word.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> weights : array<u32>;
@group(0) @binding(2) var<storage, read> scales : array<f32>;
@group(0) @binding(3) var<storage, read> values : array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let word = id.y * groups.x * 256u + id.x;
  let count = parameters[0];
  let columns = parameters[1];
  if (4u * word >= count) {
    return;
  }
  var packed = 0u;
  for (var part = 0u; part < 4u && 4u * word + part < count; part++) {
    let at = 4u * word + part;
    let steps = clamp(round(values[at] / scales[at / columns]), -127.0f, 127.0f);
    packed = insertBits(packed, bitcast<u32>(i32(steps)), 8u * part, 8u);
  }
  weights[word] = packed;
}
