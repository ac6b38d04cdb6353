/** Times of kernels and of whole calls, by the GPU's own clock (WebGPU's timestamp queries). */

import type { Runtime } from "../gpu/tvm/runtime";

/** What one kernel took in a call. */
export interface KernelTime {
  kernel: string;
  /** How often it was called. */
  calls: number;
  /** Compute passes that its calls recorded. */
  dispatches: number;
  /** GPU time of all of them. */
  milliseconds: number;
}

/** Compute passes that one query set can time: WebGPU allows 4096 timestamps in a set. */
const PASSES = 2048;

/**
 * Time every kernel that `work` runs.
 *
 * @returns nothing on a device without timestamps.
 */
export async function profileKernels(runtime: Runtime, work: () => void): Promise<KernelTime[]> {
  const { device } = runtime.context;
  if (!device.features.has("timestamp-query")) return [];
  await runtime.sync();
  const profiler = new PassProfiler(device);
  runtime.pipelines.onKernel = (name) => profiler.begin(name);
  try {
    work();
    await runtime.sync();
    return await profiler.stop();
  } finally {
    runtime.pipelines.onKernel = undefined;
  }
}

/**
 * Measure the GPU time, in milliseconds, of what `work` records, all of it submitted at once.
 *
 * @returns null on a device without timestamps, and where it cannot be one submission.
 */
export async function timeOnGpu(runtime: Runtime, work: () => void): Promise<number | null> {
  const { context } = runtime;
  if (!context.collectsCommands || !context.device.features.has("timestamp-query")) return null;
  await runtime.sync();
  const span = new TimestampSpan(context.device);
  const whole = context.recordAsOne((encoder) => span.mark(encoder), work);
  await runtime.sync();
  return whole ? span.read() : null;
}

/** Adds timestamps to every compute pass of a device while it is on. */
class PassProfiler {
  /** Name of the kernel whose passes are being recorded. */
  private kernel = "";
  private readonly calls = new Map<string, number>();
  private readonly kernels: string[] = [];
  private readonly sets: GPUQuerySet[] = [];
  private readonly original: GPUDevice["createCommandEncoder"];

  constructor(private readonly device: GPUDevice) {
    this.original = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (descriptor) => this.watched(this.original(descriptor));
  }

  /** Count the passes that are recorded from now on as this kernel's. */
  begin(kernel: string): void {
    this.kernel = kernel;
    this.calls.set(kernel, (this.calls.get(kernel) ?? 0) + 1);
  }

  /** Stop, wait for the GPU, and return what every kernel took. */
  async stop(): Promise<KernelTime[]> {
    this.device.createCommandEncoder = this.original;
    const read = await Promise.all(this.sets.map((set) => readStamps(this.device, set)));
    const stamps = read.flat();
    const found = new Map<string, KernelTime>();
    this.kernels.forEach((kernel, index) => {
      const calls = this.calls.get(kernel) ?? 0;
      const sample = found.get(kernel) ?? { kernel, calls, dispatches: 0, milliseconds: 0 };
      sample.dispatches += 1;
      sample.milliseconds += Number(stamps[2 * index + 1]! - stamps[2 * index]!) / 1e6;
      found.set(kernel, sample);
    });
    return [...found.values()];
  }

  private watched(encoder: GPUCommandEncoder): GPUCommandEncoder {
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (descriptor) => {
      const index = this.kernels.length % PASSES;
      if (index === 0) {
        this.sets.push(this.device.createQuerySet({ type: "timestamp", count: 2 * PASSES }));
      }
      this.kernels.push(this.kernel);
      const timestampWrites = {
        querySet: this.sets.at(-1)!,
        beginningOfPassWriteIndex: 2 * index,
        endOfPassWriteIndex: 2 * index + 1,
      };
      return begin({ ...descriptor, timestampWrites });
    };
    return encoder;
  }
}

/** Two readings of the GPU's clock, one before some commands and one after them. */
class TimestampSpan {
  private readonly set: GPUQuerySet;
  private marks = 0;

  constructor(private readonly device: GPUDevice) {
    this.set = device.createQuerySet({ type: "timestamp", count: 2 });
  }

  /** Record a reading: the first call reads the beginning, the second the end. */
  mark(encoder: GPUCommandEncoder): void {
    const timestampWrites = { querySet: this.set, beginningOfPassWriteIndex: this.marks++ };
    encoder.beginComputePass({ timestampWrites }).end();
  }

  /** Return the milliseconds between the two readings. */
  async read(): Promise<number> {
    const [begin, end] = await readStamps(this.device, this.set);
    return Number(end! - begin!) / 1e6;
  }
}

/** Read a query set's timestamps, in nanoseconds, and destroy it. */
async function readStamps(device: GPUDevice, set: GPUQuerySet): Promise<bigint[]> {
  const size = 8 * set.count;
  const resolved = device.createBuffer({
    size,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const copy = device.createBuffer({
    size,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(set, 0, set.count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, copy, 0, size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const stamps = [...new BigUint64Array(copy.getMappedRange())];
  for (const buffer of [resolved, copy]) buffer.destroy();
  set.destroy();
  return stamps;
}
