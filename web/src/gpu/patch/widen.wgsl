// Widens values to float32, and turns matrices: of a factor, or of a float16 weight.
//
//   values[n, j, i] = given[n, i, j], and 0 for i from the length of its axis up to `padded`
//
// given: (count, length, steps) row-major: float32, or two float16 or bfloat16 values a word, low
// bits first. values: the bits of float32, (count, steps, padded) row-major.
// parameters: [number of values, length, steps, padded, bits of a value: 32, 16 for float16, 15 for
// bfloat16]. One thread a value.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read> given : array<u32>;
@group(0) @binding(2) var<storage, read_write> values : array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>) {
  let at = id.y * groups.x * 256u + id.x;
  if (at >= parameters[0]) {
    return;
  }
  let length = parameters[1];
  let steps = parameters[2];
  let padded = parameters[3];
  let i = at % padded;
  let j = (at / padded) % steps;
  let n = at / (padded * steps);
  if (i >= length) {
    values[at] = 0u;
    return;
  }
  let place = (n * length + i) * steps + j;
  if (parameters[4] == 32u) {
    values[at] = given[place];
    return;
  }
  let half = (given[place / 2u] >> (16u * (place % 2u))) & 0xffffu;
  values[at] = select(half << 16u, bitcast<u32>(widen(half)), parameters[4] == 16u);
}
