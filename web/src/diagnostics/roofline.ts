/** What a GPU does at most, as measured: what a kernel's speed is a share of. */

export interface Roofline {
  /** Multiplications and additions of float32, outside matrix units. */
  operationsPerSecond: number;
  /** Bytes that are read and bytes that are written, of a copy larger than any cache. */
  bytesPerSecond: number;
}

const THREADS = 256;
/** Vectors that a thread sums, none waiting for another: the units' latency is hidden. */
const SUMS = Array.from({ length: 8 }, (_, index) => `s${index}`);
const ROUNDS = 64;
const GROUPS = 4096;
const MULTIPLY = `
@group(0) @binding(0) var<storage, read> given : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> made : array<vec4<f32>>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  let a = given[0];
  let b = given[1];
  ${SUMS.map((sum, index) => `var ${sum} = b + ${index}.0f;`).join("\n")}
  for (var round = 0u; round < ${ROUNDS}u; round++) {
    ${SUMS.map((sum) => `${sum} = fma(${sum}, a, b);`).join("\n")}
  }
  made[id.x] = ${SUMS.join(" + ")};
}`;
const COPY = `
@group(0) @binding(0) var<storage, read> given : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> made : array<vec4<f32>>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>,
        @builtin(local_invocation_index) thread : u32) {
  for (var block = group.x; block * ${THREADS}u < arrayLength(&given); block += groups.x) {
    made[block * ${THREADS}u + thread] = given[block * ${THREADS}u + thread];
  }
}`;
const VECTOR_BYTES = 16;
/** A multiple of what one workgroup copies, larger than GPUs' caches. */
const COPIED_BYTES = 2 ** 27;
const LEAST_MILLISECONDS = 30;
/** Turns without a better one after which there will be none: an idle GPU's clock rises slowly. */
const TURNS = 5;
const BETTER = 0.99;

/** Measure a device's ceilings; it should have nothing else to do. */
export async function measureRoofline(device: GPUDevice): Promise<Roofline> {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const copied = Math.min(COPIED_BYTES, maxBufferSize, maxStorageBufferBindingSize);
  const results = GROUPS * THREADS * VECTOR_BYTES;
  const operations = 2 * 4 * SUMS.length * ROUNDS * GROUPS * THREADS;
  return {
    operationsPerSecond: operations / (await seconds(device, MULTIPLY, results)),
    bytesPerSecond: (2 * copied) / (await seconds(device, COPY, copied)),
  };
}

/** Seconds of one dispatch, the best of several turns of many. */
async function seconds(device: GPUDevice, code: string, bytes: number): Promise<number> {
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const buffers = [0, 1].map(() =>
    device.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE }),
  );
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const time = async (dispatches: number): Promise<number> => {
    const started = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let turn = 0; turn < dispatches; turn++) pass.dispatchWorkgroups(GROUPS);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - started;
  };
  await time(1);
  let dispatches = 1;
  while ((await time(dispatches)) < LEAST_MILLISECONDS) dispatches *= 2;
  let best = Infinity;
  for (let turn = 0; turn < TURNS; turn++) {
    const taken = await time(dispatches);
    if (taken < BETTER * best) turn = 0;
    best = Math.min(best, taken);
  }
  for (const buffer of buffers) buffer.destroy();
  return best / dispatches / 1000;
}
