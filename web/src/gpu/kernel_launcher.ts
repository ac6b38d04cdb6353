/** Compiles and runs hand-written kernels in place of the ones that TVM generated. */

import type { KernelTable, Launch, Variant } from "./kernel_table";
import type { Selection } from "./kernel_variants";
import { selectVariant } from "./kernel_variants";
import type { GpuContext, Kernel, KernelInfo } from "./tvm/gpu_context";
import type { KernelReplacements, Replacement } from "./tvm/pipelines";

/** One compiled dispatch of a variant. */
interface CompiledLaunch {
  pipeline: GPUComputePipeline;
  launch: Launch;
  /** The buffer of the launch's number. */
  uniform: GPUBuffer | undefined;
  /** Bind groups by the numbers of their buffers, with the buffers they were made for. */
  groups: Map<string, { buffers: GPUBuffer[]; group: GPUBindGroup }>;
}

/** Bind groups that are kept of one pipeline; beyond that all of them are made anew. */
const MAX_BIND_GROUPS = 256;

/** Bytes of a buffer that holds one number: the smallest that WebGPU binds everywhere. */
const UNIFORM_BYTES = 16;

/** Key of a launch's pipeline: where its texts lie in the table. */
export function keyOf({ head, body }: Launch): string {
  return `${head} ${body}`;
}

/** Makes kernels of the variants that a GPU can run. */
export class KernelLauncher implements KernelReplacements {
  /** What one dispatch of a variant leaves for another; kernels use these buffers in turn. */
  readonly scratch: GPUBuffer[] = [];
  /** Buffers that hold one number each, by the number. */
  private readonly uniforms = new Map<number, GPUBuffer>();
  /** Pipelines of the variants by the places of their texts in the table. */
  readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  /** Kernel → the variant that runs in it; the generated kernel runs in all others. */
  readonly running = new Map<string, Variant>();

  /**
   * @param table the bundle's variants.
   * @param selection which of them run.
   */
  constructor(
    readonly context: GpuContext,
    readonly table: KernelTable,
    readonly selection: Selection,
  ) {}

  create(name: string, info: KernelInfo): Replacement | undefined {
    const variant = selectVariant(this.table, name, this.selection);
    if (variant === undefined) return undefined;
    this.running.set(name, variant);
    return { variant: variant.name, kernel: this.compile(variant, info) };
  }

  dispose(): void {
    for (const buffer of [...this.scratch, ...this.uniforms.values()]) {
      this.context.destroyBuffer(buffer);
    }
  }

  /** Compile a variant, which reads and writes the buffers of the generated kernel. */
  async compile(variant: Variant, info: KernelInfo): Promise<Kernel> {
    for (const [number, bytes] of variant.scratch_bytes.entries()) {
      this.reserveScratch(number, bytes);
    }
    const handles = info.arg_types.flatMap((type, index) => (type === "handle" ? [index] : []));
    const launches = await Promise.all(
      variant.launches.map((launch) => this.compileLaunch(launch)),
    );
    return (...args) => {
      const buffers = handles.map((index) => args[index]!);
      for (const launch of launches) this.run(launch, buffers);
    };
  }

  private reserveScratch(number: number, bytes: number): void {
    const { context } = this;
    const scratch = this.scratch[number];
    if (bytes <= (scratch?.size ?? 0)) return;
    // Commands that are recorded and not submitted may still use the old buffer.
    context.flush();
    if (scratch !== undefined) context.destroyBuffer(scratch);
    this.scratch[number] = context.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE });
  }

  private async compileLaunch(launch: Launch): Promise<CompiledLaunch> {
    const pipeline = await this.compilePipeline(launch);
    const uniform = launch.uniform === undefined ? undefined : this.makeUniform(launch.uniform);
    return { pipeline, launch, uniform, groups: new Map() };
  }

  /** Compile a launch's pipeline, once for all launches of the same text. */
  private compilePipeline(launch: Launch): Promise<GPUComputePipeline> {
    const key = keyOf(launch);
    const { head, body } = launch;
    const found = this.pipelines.get(key);
    if (found !== undefined) return found;
    const { device } = this.context;
    const code = this.table.heads[head]! + this.table.bodies[body]!;
    const pipeline = device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
    });
    this.pipelines.set(key, pipeline);
    return pipeline;
  }

  /** A buffer that holds a number. */
  private makeUniform(value: number): GPUBuffer {
    const found = this.uniforms.get(value);
    if (found !== undefined) return found;
    const buffer = this.context.createBuffer({
      size: UNIFORM_BYTES,
      usage: GPUBufferUsage.UNIFORM,
      mappedAtCreation: true,
    });
    new Uint32Array(buffer.getMappedRange())[0] = value;
    buffer.unmap();
    this.uniforms.set(value, buffer);
    return buffer;
  }

  /** @param numbers tvmjs's numbers of the kernel's buffers. */
  private run(compiled: CompiledLaunch, numbers: number[]): void {
    const group = this.bind(compiled, numbers);
    this.context.record((pass) => {
      pass.setPipeline(compiled.pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...compiled.launch.grid);
    });
  }

  private bind(compiled: CompiledLaunch, numbers: number[]): GPUBindGroup {
    const { pipeline, launch, uniform, groups } = compiled;
    const buffers = launch.arguments.map((index) =>
      index < 0 ? this.scratch[-1 - index]! : this.context.buffer(numbers[index]!),
    );
    if (uniform !== undefined) buffers.push(uniform);
    const key = numbers.join();
    const kept = groups.get(key);
    // tvmjs gives a freed buffer's number to the next buffer, so the buffers are compared too.
    if (kept?.buffers.every((buffer, index) => buffer === buffers[index])) return kept.group;
    const group = this.context.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    if (groups.size >= MAX_BIND_GROUPS) groups.clear();
    groups.set(key, { buffers, group });
    return group;
  }
}
