/**
 * Brings much data to the GPU and has it computed with there: through a few mapped buffers that are
 * used in turn, so that nothing is allocated for single tensors and the GPU works meanwhile.
 */

import type { Runtime, Tensor } from "./tvm/runtime";

/** Bytes of a mapped buffer, unless one piece of data is larger. */
const SLOT_BYTES = 2 ** 24;
/** Mapped buffers: the GPU has two while the third one is filled. */
const SLOTS = 3;
/** WebGPU's largest `minStorageBufferOffsetAlignment`, a multiple of every other. */
const ALIGNMENT = 256;

/** A mapped buffer. */
interface Slot {
  buffer: GPUBuffer;
  bytes: Uint8Array;
}

/** What is recorded for the slot that is being filled. */
interface Recording {
  slot: Slot;
  /** Run before `compute`. */
  copies: GPUCommandEncoder;
  compute: GPUCommandEncoder;
  pass: GPUComputePassEncoder;
  /** Where in the slot the data begin that the arena gets; undefined while there are none. */
  arenaFrom: number | undefined;
}

/**
 * Copies and dispatches in their order, except that what {@link Staging.write} writes and
 * {@link Staging.put} puts is there before the dispatches that are recorded after it.
 *
 * Dispose of it also after a failure: what was not submitted is dropped then.
 */
export class Staging {
  /** Bytes of each slot and of the arena. */
  private size = SLOT_BYTES;
  private slots = 0;
  /** Slots that the GPU may still read; each becomes mapped again. */
  private readonly busy: Promise<Slot>[] = [];
  private readonly buffers = new Set<GPUBuffer>();
  private recording: Recording | undefined;
  /** Bytes of the slot that are in use. */
  private used = 0;
  /** Where the arena has what the dispatches of the slot read, at the same places as the slot. */
  private arena: Tensor | undefined;
  /** Buffers that are computed with, by number, and how many bytes each has. */
  private readonly scratch = new Map<number, { tensor: Tensor; bytes: number }>();

  constructor(private readonly runtime: Runtime) {}

  /** Write bytes, a multiple of 4, into a buffer. */
  async write(target: GPUBuffer, bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length;) {
      if (this.used >= this.size) this.submit();
      const { slot, copies } = await this.open();
      this.fillArena();
      const count = Math.min(bytes.length - from, this.size - this.used);
      slot.bytes.set(bytes.subarray(from, from + count), this.used);
      copies.copyBufferToBuffer(slot.buffer, this.used, target, from, count);
      this.used += count;
      from += count;
    }
  }

  /** Have room for data of these lengths, so that {@link Staging.put} takes them for one dispatch. */
  async reserve(...lengths: number[]): Promise<void> {
    const needed = lengths.reduce((sum, length) => sum + align(length), 0);
    if (align(this.used) + needed > this.size) this.submit();
    if (needed > this.size) {
      this.size = needed;
      this.arena?.dispose();
      this.arena = undefined;
    }
    this.arena ??= this.allocate(this.size);
    await this.open();
  }

  /** Put data where dispatches can read it; {@link Staging.reserve} must have made room for it. */
  put(data: Uint8Array): GPUBufferBinding {
    const recording = this.recording!;
    const offset = align(this.used);
    const size = 4 * Math.ceil(data.length / 4);
    recording.slot.bytes.set(data, offset);
    recording.arenaFrom ??= offset;
    this.used = offset + size;
    return { buffer: this.runtime.bufferOf(this.arena!), offset, size };
  }

  /** A buffer of at least so many bytes, of any values; call it before {@link Staging.reserve}. */
  temporary(number: number, bytes: number): GPUBuffer {
    let found = this.scratch.get(number);
    if (found === undefined || found.bytes < bytes) {
      this.submit(); // before tvmjs destroys the smaller one
      found?.tensor.dispose();
      this.scratch.delete(number);
      found = { tensor: this.allocate(bytes), bytes };
      this.scratch.set(number, found);
    }
    return this.runtime.bufferOf(found.tensor);
  }

  /** Compute with what {@link Staging.put} has put. */
  dispatch(
    pipeline: GPUComputePipeline,
    group: GPUBindGroup,
    [x, y]: readonly [number, number],
  ): void {
    const { pass } = this.recording!;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y);
  }

  /** Wait until the GPU has done everything. */
  async finish(): Promise<void> {
    this.submit();
    await this.runtime.sync();
  }

  dispose(): void {
    for (const { tensor } of this.scratch.values()) tensor.dispose();
    this.arena?.dispose();
    for (const buffer of this.buffers) buffer.destroy();
  }

  private async open(): Promise<Recording> {
    if (this.recording !== undefined) return this.recording;
    const slot = await this.nextSlot();
    const { context } = this.runtime;
    context.flush(); // tvmjs's own commands come before
    const copies = context.device.createCommandEncoder();
    const compute = context.device.createCommandEncoder();
    this.recording = {
      slot,
      copies,
      compute,
      pass: compute.beginComputePass(),
      arenaFrom: undefined,
    };
    this.used = 0;
    return this.recording;
  }

  private async nextSlot(): Promise<Slot> {
    if (this.slots >= SLOTS) {
      const slot = await this.busy.shift()!;
      if (slot.bytes.length >= this.size) return slot;
      slot.buffer.destroy();
      this.buffers.delete(slot.buffer);
      this.slots -= 1;
    }
    const buffer = this.runtime.context.device.createBuffer({
      size: this.size,
      usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC,
      mappedAtCreation: true,
    });
    this.slots += 1;
    this.buffers.add(buffer);
    return { buffer, bytes: new Uint8Array(buffer.getMappedRange()) };
  }

  /** Copy to the arena what was put since the last time: with one command, as it lies together. */
  private fillArena(): void {
    const { slot, copies, arenaFrom: from } = this.recording!;
    if (from === undefined) return;
    this.recording!.arenaFrom = undefined;
    const buffer = this.runtime.bufferOf(this.arena!);
    copies.copyBufferToBuffer(slot.buffer, from, buffer, from, this.used - from);
  }

  private submit(): void {
    const { recording } = this;
    if (recording === undefined) return;
    this.fillArena();
    const { slot, copies, compute, pass } = recording;
    this.recording = undefined;
    this.used = 0;
    pass.end();
    slot.buffer.unmap();
    this.runtime.context.device.queue.submit([copies.finish(), compute.finish()]);
    const mapped = slot.buffer.mapAsync(GPUMapMode.WRITE).then(() => {
      return {
        buffer: slot.buffer,
        bytes: new Uint8Array(slot.buffer.getMappedRange()),
      };
    });
    // It fails if the device is lost, or if this is disposed of meanwhile.
    mapped.catch(() => undefined);
    this.busy.push(mapped);
  }

  private allocate(bytes: number): Tensor {
    const { runtime } = this;
    return runtime.scope(() => runtime.empty([Math.ceil(bytes / 4)], "int32"));
  }
}

function align(bytes: number): number {
  return ALIGNMENT * Math.ceil(bytes / ALIGNMENT);
}
