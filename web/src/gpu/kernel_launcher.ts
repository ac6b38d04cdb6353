/** Pipelines of our own in the place of tvmjs's, called as tvmjs calls its own. */

import type { KernelTable, Launch, Variant } from "./kernel_variants";

/** What of tvmjs's GPU context a kernel needs; its fields are the same in both versions. */
export interface TvmContext {
  bufferTable: (GPUBuffer | undefined)[];
  /** Only newer versions collect commands. */
  pendingEncoder?: GPUCommandEncoder | null;
  flushCommands?(): void;
}

/** A kernel's arguments as tvmjs has them: buffers by number, then the grid. */
export interface FunctionInfo {
  arg_types: string[];
}

/** What the generated host code calls: buffers by number, numbers, the grid. */
export type Kernel = (...args: number[]) => void;

interface Stage {
  pipeline: GPUComputePipeline;
  launch: Launch;
  /** Bind groups by the numbers of their buffers, with the buffers they were made for. */
  groups: Map<string, { buffers: GPUBuffer[]; group: GPUBindGroup }>;
}

/**
 * Dispatches after which the GPU is given what has been recorded, of a call that has just
 * begun; then it is twice as many each time, for the GPU pauses whenever it is given more.
 */
const FIRST_BATCH = 48;
/** Bind groups of one pipeline that are kept. */
const MOST_GROUPS = 256;

/** Makes kernels of variants, and runs them in tvmjs's order of commands. */
export class KernelLauncher {
  /** Whether commands are kept until tvmjs hands them over. */
  holds = false;
  private scratch: GPUBuffer | undefined;
  private recorded = 0;
  private batch = FIRST_BATCH;

  constructor(
    private readonly device: GPUDevice,
    private readonly context: TvmContext,
    private readonly table: KernelTable,
  ) {}

  /** Bytes of GPU memory that tvmjs does not know of. */
  get bytes(): number {
    return this.scratch?.size ?? 0;
  }

  /** Compile a variant. */
  async create(variant: Variant, info: FunctionInfo): Promise<Kernel> {
    this.reserve(variant.scratch_bytes);
    const handles = info.arg_types.flatMap((type, index) => (type === "handle" ? [index] : []));
    const stages = await Promise.all(variant.launches.map((launch) => this.compile(launch)));
    return (...args) => {
      const pointers = handles.map((index) => args[index]!);
      for (const stage of stages) this.run(stage, pointers);
    };
  }

  dispose(): void {
    this.scratch?.destroy();
  }

  private reserve(bytes: number): void {
    if (bytes <= this.bytes) return;
    this.context.flushCommands?.();
    this.scratch?.destroy();
    this.scratch = this.device.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE });
  }

  private async compile(launch: Launch): Promise<Stage> {
    const code = launch.head + this.table.bodies[launch.body]!;
    const pipeline = await this.device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: this.device.createShaderModule({ code }), entryPoint: "main" },
    });
    return { pipeline, launch, groups: new Map() };
  }

  private run(stage: Stage, pointers: number[]): void {
    const group = this.bind(stage, pointers);
    const { context, device } = this;
    const collects = context.flushCommands !== undefined;
    const pending = collects ? context.pendingEncoder : undefined;
    const encoder = pending ?? device.createCommandEncoder();
    if (collects) context.pendingEncoder = encoder;
    // tvmjs has handed over what there was: another call begins.
    if (!pending && this.recorded > 0) this.begin();
    const pass = encoder.beginComputePass();
    pass.setPipeline(stage.pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...stage.launch.grid);
    pass.end();
    if (!collects) device.queue.submit([encoder.finish()]);
    // What is recorded late is computed late: the GPU should not wait for the whole step.
    else if (++this.recorded >= this.batch && !this.holds) {
      context.flushCommands!();
      this.begin(2 * this.batch);
    }
  }

  private begin(batch = FIRST_BATCH): void {
    this.batch = batch;
    this.recorded = 0;
  }

  private bind(stage: Stage, pointers: number[]): GPUBindGroup {
    const buffers = stage.launch.arguments.map((index) =>
      index < 0 ? this.scratch! : this.context.bufferTable[pointers[index]!]!,
    );
    const key = pointers.join();
    const kept = stage.groups.get(key);
    // Numbers are given anew when buffers are freed.
    if (kept?.buffers.every((buffer, index) => buffer === buffers[index])) return kept.group;
    const group = this.device.createBindGroup({
      layout: stage.pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    if (stage.groups.size >= MOST_GROUPS) stage.groups.clear();
    stage.groups.set(key, { buffers, group });
    return group;
  }
}
