/** Times of kernels, by the GPU's own clock (WebGPU's timestamp queries). */

import type { Runtime } from "../gpu/tvm/runtime";
import { readStamps } from "./gpu_clock";

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
  runtime.pipelines.onKernel = (name) => {
    profiler.begin(name);
    return true;
  };
  try {
    work();
    await runtime.sync();
    return await profiler.stop();
  } finally {
    runtime.pipelines.onKernel = undefined;
  }
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
