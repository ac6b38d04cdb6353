/** How long each kernel takes, by the GPU's own clock. */

/** One kernel's share. */
export interface KernelTime {
  kernel: string;
  /** How often it was called. */
  calls: number;
  /** Passes that its calls recorded. */
  dispatches: number;
  milliseconds: number;
}

/** Passes that one query set can time. */
const PASSES = 2048;

/** Adds timestamps to every compute pass of a device while it is on. */
export class PassProfiler {
  /** Whose passes are being recorded. */
  private kernel = "";
  private readonly calls = new Map<string, number>();
  private readonly kernels: string[] = [];
  private readonly sets: GPUQuerySet[] = [];
  private readonly original: GPUDevice["createCommandEncoder"];

  constructor(private readonly device: GPUDevice) {
    this.original = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (descriptor) => this.watched(this.original(descriptor));
  }

  /** What is recorded from now on is this kernel's. */
  begin(kernel: string): void {
    this.kernel = kernel;
    this.calls.set(kernel, (this.calls.get(kernel) ?? 0) + 1);
  }

  /** Stop, wait for the GPU, and tell what every kernel took. */
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

/** The GPU's clock at the beginning of some commands and at their end. */
export class TimestampSpan {
  private readonly set: GPUQuerySet;
  private marks = 0;

  constructor(private readonly device: GPUDevice) {
    this.set = device.createQuerySet({ type: "timestamp", count: 2 });
  }

  /** Note the time once the GPU comes to this command: first the beginning, then the end. */
  mark(encoder: GPUCommandEncoder): void {
    const timestampWrites = { querySet: this.set, beginningOfPassWriteIndex: this.marks++ };
    encoder.beginComputePass({ timestampWrites }).end();
  }

  /** Milliseconds between the marks. */
  async read(): Promise<number> {
    const [begin, end] = await readStamps(this.device, this.set);
    return Number(end! - begin!) / 1e6;
  }
}

/** Read a query set's nanoseconds, and destroy it. */
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
