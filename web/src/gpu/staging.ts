/**
 * Brings much data to the GPU and has it computed with there: through a few mapped buffers that are
 * used in turn, so that nothing is allocated for single tensors and the GPU works meanwhile.
 */

import type { GpuContext } from "./tvm/gpu_context";

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
  /** Slots that the GPU may still read; each becomes mapped again. */
  private readonly busy: Promise<Slot>[] = [];
  /** The buffers of all slots. */
  private readonly slots = new Set<GPUBuffer>();
  private recording: Recording | undefined;
  /** Bytes of the slot that are in use. */
  private used = 0;
  /** Where the arena has what the dispatches of the slot read, at the same places as the slot. */
  private arena: GPUBuffer | undefined;
  /** Buffers that are computed with, by number. */
  private readonly scratch = new Map<number, GPUBuffer>();

  /** @param size bytes of each slot and of the arena, a multiple of 256; they grow where data need it. */
  constructor(
    private readonly context: GpuContext,
    private size: number = SLOT_BYTES,
  ) {}

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
      if (this.arena !== undefined) this.context.destroyBuffer(this.arena);
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
    return { buffer: this.arena!, offset, size };
  }

  /** A buffer of at least so many bytes, of any values; call it before {@link Staging.reserve}. */
  temporary(number: number, bytes: number): GPUBuffer {
    const found = this.scratch.get(number);
    if (found !== undefined && found.size >= bytes) return found;
    this.submit(); // what is recorded may use the smaller one
    this.scratch.delete(number);
    if (found !== undefined) this.context.destroyBuffer(found);
    const made = this.allocate(bytes);
    this.scratch.set(number, made);
    return made;
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
    this.context.flush();
    await this.context.device.queue.onSubmittedWorkDone();
  }

  dispose(): void {
    const arena = this.arena === undefined ? [] : [this.arena];
    for (const buffer of [...this.scratch.values(), ...arena, ...this.slots]) {
      this.context.destroyBuffer(buffer);
    }
  }

  private async open(): Promise<Recording> {
    if (this.recording !== undefined) return this.recording;
    const slot = await this.nextSlot();
    const { context } = this;
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
    if (this.slots.size >= SLOTS) {
      const slot = await this.busy.shift()!;
      if (slot.bytes.length >= this.size) return slot;
      this.slots.delete(slot.buffer);
      this.context.destroyBuffer(slot.buffer);
    }
    const buffer = this.context.createBuffer({
      size: this.size,
      usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC,
      mappedAtCreation: true,
    });
    this.slots.add(buffer);
    return { buffer, bytes: new Uint8Array(buffer.getMappedRange()) };
  }

  /** Copy to the arena what was put since the last time: with one command, as it lies together. */
  private fillArena(): void {
    const { slot, copies, arenaFrom: from } = this.recording!;
    if (from === undefined) return;
    this.recording!.arenaFrom = undefined;
    copies.copyBufferToBuffer(slot.buffer, from, this.arena!, from, this.used - from);
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
    this.context.device.queue.submit([copies.finish(), compute.finish()]);
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

  private allocate(bytes: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    return this.context.createBuffer({ size: 4 * Math.ceil(bytes / 4), usage });
  }
}

function align(bytes: number): number {
  return ALIGNMENT * Math.ceil(bytes / ALIGNMENT);
}
