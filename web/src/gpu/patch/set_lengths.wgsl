// Gives lines of a weight the lengths that DoRA states, Liu et al. 2024, or a share of that change.
//
//   values[line] *= blend · (lengths[line] / (‖values[line]‖ + epsilon) - 1) + 1
//
// values: float32. A line is an output channel, whose values are side by side, or all that belongs to
// an input channel, whose values are a stride apart.
// parameters: [stride from line to line, stride in a line, values in a line, bits of the blend,
// bits of epsilon]. One workgroup a line.

@group(0) @binding(0) var<storage, read> parameters : array<u32>;
@group(0) @binding(1) var<storage, read_write> values : array<f32>;
@group(0) @binding(2) var<storage, read> lengths : array<f32>;

var<workgroup> squares : array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(local_invocation_index) thread : u32) {
  let start = group.x * parameters[0];
  let stride = parameters[1];
  let count = parameters[2];
  let blend = bitcast<f32>(parameters[3]);
  var sum = 0.0f;
  for (var index = thread; index < count; index += 64u) {
    let value = values[start + index * stride];
    sum += value * value;
  }
  squares[thread] = sum;
  workgroupBarrier();
  for (var step = 32u; step > 0u; step /= 2u) {
    if (thread < step) {
      squares[thread] += squares[thread + step];
    }
    workgroupBarrier();
  }
  var ratio = lengths[group.x] / (sqrt(squares[0]) + bitcast<f32>(parameters[4]));
  if (blend != 1.0f) {
    ratio = blend * (ratio - 1.0f) + 1.0f;
  }
  for (var index = thread; index < count; index += 64u) {
    values[start + index * stride] *= ratio;
  }
}
