/** Measures the GPU time of work: by the GPU's own clock, or else by when the work is done. */

import type { Runtime } from "../gpu/tvm/runtime";

/**
 * Milliseconds: browsers round the GPU's clock to 0.1, so that pages cannot watch each other by it. Of a
 * device without it, it is how late a page may learn that work is done.
 */
const [TICK, LATENESS] = [0.1, 1];
/** How many times as long as its resolution a measurement of each clock should take. */
const [TICKS, WAITS] = [50, 25];

/** The best clock that a device has. */
export class GpuClock {
  private byGpu: boolean;

  constructor(private readonly runtime: Runtime) {
    this.byGpu = hasTimestamps(runtime);
  }

  /** By how many milliseconds a time may be wrong. */
  get resolution(): number {
    return this.byGpu ? TICK : LATENESS;
  }

  /** Milliseconds that a measurement should take, so that this matters little. */
  get span(): number {
    return this.byGpu ? TICK * TICKS : LATENESS * WAITS;
  }

  /** Do several kinds of work one after another; returns the milliseconds of each. */
  async time(works: readonly (() => void)[]): Promise<number[]> {
    const { runtime } = this;
    const times = this.byGpu ? await timeOnGpu(runtime, works) : null;
    return times ?? timeByWaiting(runtime, works);
  }

  /**
   * Take the page's clock from now on if that of the GPU does not go.
   *
   * @param times of work that together takes the GPU longer than its clock's resolution.
   */
  judge(times: readonly number[]): void {
    this.byGpu &&= times.length === 0 || times.some((time) => time > 0);
  }
}

function hasTimestamps({ context }: Runtime): boolean {
  return context.collectsCommands && context.device.features.has("timestamp-query");
}

/**
 * Measure the GPU time, in milliseconds, of several kinds of work, all of it submitted at once.
 *
 * @returns null on a device without timestamps, and where it cannot be one submission.
 */
export async function timeOnGpu(
  runtime: Runtime,
  works: readonly (() => void)[],
): Promise<number[] | null> {
  if (!hasTimestamps(runtime)) return null;
  const { context } = runtime;
  await runtime.sync();
  const stamps = new Timestamps(context.device, works.length + 1);
  const whole = context.recordAsOne((encoder) => stamps.mark(encoder), works);
  await runtime.sync();
  const readings = await stamps.read();
  if (!whole) return null;
  const times = readings.slice(1).map((time, index) => time - readings[index]!);
  // Some drivers leave readings out, which are 0 then.
  return times.every((time) => time >= 0) ? times : null;
}

/** Measure by the page's clock, from recording to the moment at which the GPU has done it. */
async function timeByWaiting(runtime: Runtime, works: readonly (() => void)[]): Promise<number[]> {
  const times: number[] = [];
  for (const work of works) {
    await runtime.sync();
    const started = performance.now();
    work();
    await runtime.sync();
    times.push(performance.now() - started);
  }
  return times;
}

/** Readings of the GPU's clock between some commands. */
class Timestamps {
  private readonly set: GPUQuerySet;
  private marks = 0;

  constructor(
    private readonly device: GPUDevice,
    count: number,
  ) {
    this.set = device.createQuerySet({ type: "timestamp", count });
  }

  /** Record the next reading. */
  mark(encoder: GPUCommandEncoder): void {
    const timestampWrites = { querySet: this.set, beginningOfPassWriteIndex: this.marks++ };
    encoder.beginComputePass({ timestampWrites }).end();
  }

  /** Return the readings in milliseconds, those that were not recorded as 0. */
  async read(): Promise<number[]> {
    return (await readStamps(this.device, this.set)).map((stamp) => Number(stamp) / 1e6);
  }
}

/** Read a query set's timestamps, in nanoseconds, and destroy it. */
export async function readStamps(device: GPUDevice, set: GPUQuerySet): Promise<bigint[]> {
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
