/** The GPU's roofline, measured: the most operations and bytes a second that a kernel can reach. */

/** The most that a GPU reached in measurements. */
export interface Roofline {
  /** Float32 multiplications and additions, without subgroup matrices. */
  operationsPerSecond: number;
  /** Bytes read plus bytes written, of a copy that is larger than the GPU's caches. */
  bytesPerSecond: number;
}

const THREADS = 256;
/** Independent sums of each thread: enough of them to hide the latency of an operation. */
const SUMS = Array.from({ length: 8 }, (_, index) => `s${index}`);
const ROUNDS = 64;
const GROUPS = 4096;
const MULTIPLY = `
@group(0) @binding(0) var<storage, read> source : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result : array<vec4<f32>>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  let a = source[0];
  let b = source[1];
  ${SUMS.map((sum, index) => `var ${sum} = b + ${index}.0f;`).join("\n")}
  for (var round = 0u; round < ${ROUNDS}u; round++) {
    ${SUMS.map((sum) => `${sum} = fma(${sum}, a, b);`).join("\n")}
  }
  result[id.x] = ${SUMS.join(" + ")};
}`;
const COPY = `
@group(0) @binding(0) var<storage, read> source : array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result : array<vec4<f32>>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group : vec3<u32>, @builtin(num_workgroups) groups : vec3<u32>,
        @builtin(local_invocation_index) thread : u32) {
  for (var block = group.x; block * ${THREADS}u < arrayLength(&source); block += groups.x) {
    result[block * ${THREADS}u + thread] = source[block * ${THREADS}u + thread];
  }
}`;
const VECTOR_BYTES = 16;
/** Larger than GPUs' caches, and a multiple of what one workgroup copies at a time. */
const COPIED_BYTES = 2 ** 27;
/** Dispatches are repeated until one measurement takes at least this long. */
const MIN_MILLISECONDS = 30;
/**
 * Measurements go on until so many in a row are no faster than the best one, because the clock
 * of an idle GPU rises slowly.
 */
const PATIENCE = 5;
/** A measurement is faster if it takes less than this share of the best one's time. */
const FASTER = 0.99;

/** Measure a device's roofline; the device must be idle. */
export async function measureRoofline(device: GPUDevice): Promise<Roofline> {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const copied = Math.min(COPIED_BYTES, maxBufferSize, maxStorageBufferBindingSize);
  const results = GROUPS * THREADS * VECTOR_BYTES;
  const operations = 2 * 4 * SUMS.length * ROUNDS * GROUPS * THREADS;
  return {
    operationsPerSecond: operations / (await measureDispatch(device, MULTIPLY, results)),
    bytesPerSecond: (2 * copied) / (await measureDispatch(device, COPY, copied)),
  };
}

/** Measure one dispatch in seconds: the best of several measurements of many dispatches. */
async function measureDispatch(device: GPUDevice, code: string, bytes: number): Promise<number> {
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
  while ((await time(dispatches)) < MIN_MILLISECONDS) dispatches *= 2;
  let best = Infinity;
  for (let turn = 0; turn < PATIENCE; turn++) {
    const taken = await time(dispatches);
    if (taken < FASTER * best) turn = 0;
    best = Math.min(best, taken);
  }
  for (const buffer of buffers) buffer.destroy();
  return best / dispatches / 1000;
}
