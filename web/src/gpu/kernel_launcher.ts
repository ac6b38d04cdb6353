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
  /** Bind groups by the numbers of their buffers, with the buffers they were made for. */
  groups: Map<string, { buffers: GPUBuffer[]; group: GPUBindGroup }>;
}

/** Bind groups that are kept of one pipeline; beyond that all of them are made anew. */
const MAX_BIND_GROUPS = 256;

/** Makes kernels of the variants that a GPU can run. */
export class KernelLauncher implements KernelReplacements {
  /** Intermediate results of variants of several dispatches; kernels use it in turn. */
  private scratch: GPUBuffer | undefined;

  /**
   * @param table the bundle's variants.
   * @param selection which of them run.
   */
  constructor(
    private readonly context: GpuContext,
    private readonly table: KernelTable,
    private readonly selection: Selection,
  ) {}

  create(name: string, info: KernelInfo): Replacement | undefined {
    const variant = selectVariant(this.table, name, this.selection);
    if (variant === undefined) return undefined;
    return { variant: variant.name, kernel: this.compile(variant, info) };
  }

  dispose(): void {
    if (this.scratch !== undefined) this.context.destroyBuffer(this.scratch);
  }

  private async compile(variant: Variant, info: KernelInfo): Promise<Kernel> {
    this.reserveScratch(variant.scratch_bytes);
    const handles = info.arg_types.flatMap((type, index) => (type === "handle" ? [index] : []));
    const launches = await Promise.all(
      variant.launches.map((launch) => this.compileLaunch(launch)),
    );
    return (...args) => {
      const buffers = handles.map((index) => args[index]!);
      for (const launch of launches) this.run(launch, buffers);
    };
  }

  private reserveScratch(bytes: number): void {
    const { context, scratch } = this;
    if (bytes <= (scratch?.size ?? 0)) return;
    // Commands that are recorded and not submitted may still use the old buffer.
    context.flush();
    if (scratch !== undefined) context.destroyBuffer(scratch);
    this.scratch = context.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE });
  }

  private async compileLaunch(launch: Launch): Promise<CompiledLaunch> {
    const { device } = this.context;
    const code = launch.head + this.table.bodies[launch.body]!;
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
    });
    return { pipeline, launch, groups: new Map() };
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

  private bind({ pipeline, launch, groups }: CompiledLaunch, numbers: number[]): GPUBindGroup {
    const buffers = launch.arguments.map((index) =>
      index < 0 ? this.scratch! : this.context.buffer(numbers[index]!),
    );
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
