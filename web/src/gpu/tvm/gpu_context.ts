/**
 * tvmjs's own view of the GPU: its buffers, and the order in which commands reach the GPU.
 *
 * What differs between TVM versions in JavaScript is known in this file alone: TVM 0.27
 * collects the commands of many dispatches in one encoder and submits them together, while
 * v0.21.0 submits every dispatch by itself.
 */

import type { Instance } from "tvmjs";

import type { Usage } from "../../api/types";
import { outOfMemoryError } from "./device_watch";

/**
 * A kernel's argument types, in the order in which the compiled host code passes them; those
 * of type "handle" are buffers.
 */
export interface KernelInfo {
  arg_types: string[];
}

/** Runs a kernel: buffers by their number in tvmjs's table, scalars, then the grid. */
export type Kernel = (...args: number[]) => void;

/** tvmjs's private fields that are used here; both versions have those that are not optional. */
interface WebGpuContext {
  bufferTable: (GPUBuffer | undefined)[];
  currAllocatedBytes: number;
  peakAllocatedBytes: number;
  createShaderAsync(info: KernelInfo, code: string): Promise<Kernel>;
  /** Only TVM 0.27 and later: the encoder of the commands that are not submitted yet. */
  pendingEncoder?: GPUCommandEncoder | null;
  /** Only TVM 0.27 and later: submits those commands. */
  flushCommands?(): void;
}

interface Internals {
  lib: { webGPUContext: WebGpuContext };
  env: { packedCFuncTable: unknown[] };
  memory: { memory: WebAssembly.Memory };
}

/**
 * Dispatches of a call after which the commands so far are submitted, so that the GPU starts
 * before the whole call is recorded. The number doubles with each submission of the call,
 * because the GPU pauses between submissions.
 */
const FIRST_BATCH = 48;

/** Records compute passes between tvmjs's own, and makes and counts buffers beside tvmjs's own. */
export class GpuContext {
  private readonly internals: Internals;
  private recorded = 0;
  private batch = FIRST_BATCH;
  /** Whether commands are kept until tvmjs itself submits them. */
  private holding = false;
  /** The buffers of {@link GpuContext.createBuffer}, which tvmjs does not have in its table. */
  private readonly buffers = new Set<GPUBuffer>();

  constructor(
    readonly device: GPUDevice,
    instance: Instance,
  ) {
    this.internals = instance as unknown as Internals;
  }

  /** Whether the commands of several dispatches are submitted together. */
  get collectsCommands(): boolean {
    return this.context.flushCommands !== undefined;
  }

  /** The buffer that tvmjs knows by a number. */
  buffer(number: number): GPUBuffer {
    return this.context.bufferTable[number]!;
  }

  /**
   * Make a buffer beside tvmjs's own, and count it among them. As for tvmjs's own, the device is
   * destroyed if the GPU has no memory for it: `DeviceWatch` then says why.
   *
   * @returns a buffer that only {@link GpuContext.destroyBuffer} may destroy.
   * @throws OutOfMemoryError if a buffer that is mapped at its creation has no room in the machine's
   *   memory.
   */
  createBuffer(descriptor: GPUBufferDescriptor): GPUBuffer {
    const { context, device } = this;
    device.pushErrorScope("out-of-memory");
    try {
      const buffer = device.createBuffer(descriptor);
      this.buffers.add(buffer);
      context.currAllocatedBytes += buffer.size;
      context.peakAllocatedBytes = Math.max(context.peakAllocatedBytes, context.currAllocatedBytes);
      return buffer;
    } catch (error) {
      throw error instanceof RangeError ? outOfMemoryError(error) : error;
    } finally {
      device.popErrorScope().then(
        (error) => {
          if (error !== null) device.destroy();
        },
        () => undefined, // the device is lost already
      );
    }
  }

  /** Destroy a buffer of {@link GpuContext.createBuffer}; what was submitted may still use it. */
  destroyBuffer(buffer: GPUBuffer): void {
    if (this.buffers.delete(buffer)) this.context.currAllocatedBytes -= buffer.size;
    buffer.destroy();
  }

  /** Compile a generated kernel's pipeline. */
  async createKernel(info: KernelInfo, code: string): Promise<Kernel> {
    return this.context.createShaderAsync(info, code);
  }

  /** Submit the commands that are recorded so far. */
  flush(): void {
    this.context.flushCommands?.();
  }

  /** Record one compute pass after everything that tvmjs has recorded before. */
  record(encode: (pass: GPUComputePassEncoder) => void): void {
    const { context, device } = this;
    const pending = this.collectsCommands ? context.pendingEncoder : undefined;
    const encoder = pending ?? device.createCommandEncoder();
    if (this.collectsCommands) context.pendingEncoder = encoder;
    // Without a pending encoder tvmjs has submitted everything: a new call begins.
    if (!pending && this.recorded > 0) this.startBatch(FIRST_BATCH);
    const pass = encoder.beginComputePass();
    encode(pass);
    pass.end();
    if (!this.collectsCommands) {
      device.queue.submit([encoder.finish()]);
    } else if (++this.recorded >= this.batch && !this.holding) {
      this.flush();
      this.startBatch(2 * this.batch);
    }
  }

  /**
   * Record several kinds of work as one submission, with a command of the caller's before, between
   * and after them.
   *
   * Needs a version of TVM that collects commands.
   *
   * @param mark records the caller's command.
   * @returns whether it is one submission; not if tvmjs had to submit early, for a copy.
   */
  recordAsOne(mark: (encoder: GPUCommandEncoder) => void, works: readonly (() => void)[]): boolean {
    const { context } = this;
    const encoder = (context.pendingEncoder = this.device.createCommandEncoder());
    this.holding = true;
    try {
      mark(encoder);
      return works.every((work) => {
        work();
        const whole = context.pendingEncoder === encoder;
        if (whole) mark(encoder);
        return whole;
      });
    } finally {
      this.holding = false;
    }
  }

  /** What tvmjs holds now, and the buffers made here; pipelines are counted elsewhere. */
  usage(): Omit<Usage, "pipelines" | "variants"> {
    const { context } = this;
    const { env, memory } = this.internals;
    return {
      gpuBytes: context.currAllocatedBytes,
      peakGpuBytes: context.peakAllocatedBytes,
      gpuBuffers:
        this.buffers.size + context.bufferTable.filter((buffer) => buffer !== undefined).length,
      callbacks: env.packedCFuncTable.filter((callback) => callback !== undefined).length,
      wasmBytes: memory.memory.buffer.byteLength,
    };
  }

  private get context(): WebGpuContext {
    return this.internals.lib.webGPUContext;
  }

  private startBatch(size: number): void {
    this.batch = size;
    this.recorded = 0;
  }
}
