// Dequantises an int4 weight to float32.
//
//   values[i] = weights[i] · scales[i / 32]
//
// weights: eight int4 values a word, low bits first, row-major; scales: float16, two a word, one for each
// group of 32 values.
// parameters: [number of values]. One thread a word.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read> weights : array<u32>;
@group(0) @binding(2) var<storage, read> scales : array<u32>;
@group(0) @binding(3) var<storage, read_write> values : array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let word = id.y * groups.x * 256u + id.x;
  if (8u * word >= parameters[0]) {
    return;
  }
  let packed = bitcast<i32>(weights[word]);
  let group = word / 4u;
  let scale = widen((scales[group / 2u] >> (16u * (group % 2u))) & 0xffffu);
  for (var part = 0u; part < 8u; part++) {
    values[8u * word + part] = f32(extractBits(packed, 4u * part, 4u)) * scale;
  }
}
