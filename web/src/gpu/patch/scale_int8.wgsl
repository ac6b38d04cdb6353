// Finds the scale of each row of an int8 weight, as wsd/bundle/quantize.py does.
//
//   scales[o] = max over i of |values[o, i]| / 127, or 1 where that is 0
//
// values: float32, (rows, columns) row-major; scales: one float32 for each row.
// parameters: [columns]. One workgroup a row.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read> values : array<f32>;
@group(0) @binding(2) var<storage, read_write> scales : array<f32>;

var<workgroup> largest : array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) thread : u32) {
  let columns = parameters[0];
  var found = 0.0f;
  for (var column = thread; column < columns; column += 64u) {
    found = max(found, abs(values[group.x * columns + column]));
  }
  largest[thread] = found;
  workgroupBarrier();
  for (var step = 32u; step > 0u; step /= 2u) {
    if (thread < step) {
      largest[thread] = max(largest[thread], largest[thread + step]);
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    let scale = largest[0] / 127.0f;
    scales[group.x] = select(scale, 1.0f, scale == 0.0f);
  }
}
