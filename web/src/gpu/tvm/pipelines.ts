/** Compiles the compute pipelines of a library's functions before their first call. */

import type { Instance, PackedFunc, VirtualMachine } from "tvmjs";

import type { EntryPoint } from "../../bundle/manifest";
import { forEachConcurrently } from "../../util/concurrency";
import { GENERATED } from "../../util/constants.generated";
import { throwIfAborted } from "../../util/errors";
import type { GpuContext, Kernel, KernelInfo } from "./gpu_context";

/** A kernel that takes the place of a generated one, and its variant's name. */
export interface Replacement {
  variant: string;
  kernel: Promise<Kernel>;
}

/** A generated kernel: its arguments, and its WGSL. */
export interface KernelSource {
  info: KernelInfo;
  code: string;
}

/** Makes the kernels that take the place of generated ones. */
export interface KernelReplacements {
  /** Compile a replacement of a generated kernel; undefined where the generated one is used. */
  create(name: string, info: KernelInfo): Replacement | undefined;
  dispose(): void;
}

/**
 * Pipelines that are compiled at the same time: enough to keep any driver busy, and few enough
 * that cancelling does not wait for many.
 */
const COMPILED_AT_ONCE = 16;

/** The pipelines of a library's kernels. */
export class Pipelines {
  /**
   * Called with a kernel's name and arguments before it runs, while something measures. If it returns
   * false, the kernel does not run.
   */
  onKernel: ((name: string, args: readonly number[]) => boolean) | undefined;
  /** Kernels whose pipelines are compiled, each with the name of the variant that runs. */
  private readonly compiled = new Map<string, string>();
  /** Kernel → what runs when the compiled host code calls it. */
  private readonly running = new Map<string, Kernel>();

  constructor(
    private readonly instance: Instance,
    private readonly vm: VirtualMachine,
    private readonly context: GpuContext,
    private readonly replacements: KernelReplacements | undefined,
  ) {}

  /** Kernel → the variant that runs in it, `generated` where none does; as far as compiled. */
  get variants(): ReadonlyMap<string, string> {
    return this.compiled;
  }

  /**
   * Compile the pipelines of functions, in parallel, as far as they are not compiled yet.
   *
   * tvmjs's own `asyncLoadWebGPUPipelines` compiles those of all functions, which takes
   * several times as long for a library of several picture sizes.
   *
   * @param onProgress called after each pipeline with how many of how many are compiled.
   * @throws AbortError if the signal is aborted.
   */
  async prepare(
    functions: EntryPoint[],
    onProgress: (loaded: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const wanted = new Set(functions.flatMap(({ kernels }) => kernels));
    const missing = [...wanted].filter((name) => !this.compiled.has(name));
    if (missing.length === 0) return;
    const sources = this.readSources(missing);
    const install = this.findInstaller();
    let loaded = 0;
    try {
      await forEachConcurrently([...sources], COMPILED_AT_ONCE, async ([name, source]) => {
        const { info, code } = source;
        const replacement = this.replacements?.create(name, info);
        const kernel = await (replacement?.kernel ?? this.context.createKernel(info, code));
        throwIfAborted(signal);
        this.install(install, name);
        this.use(name, replacement?.variant ?? GENERATED, kernel);
        loaded += 1;
        onProgress(loaded, missing.length);
      });
    } finally {
      // Cancelling disposes of the whole instance, `install` included.
      if (!signal?.aborted) install.dispose();
    }
  }

  /** What runs in a compiled kernel. */
  kernel(name: string): Kernel {
    return this.running.get(name)!;
  }

  /**
   * Have another kernel run from now on.
   *
   * @param name of a kernel whose pipeline is compiled.
   * @param variant the name of what runs, for reports.
   */
  use(name: string, variant: string, kernel: Kernel): void {
    this.compiled.set(name, variant);
    this.running.set(name, kernel);
  }

  /** Read the sources of kernels from the library. */
  readSources(names: readonly string[]): Map<string, KernelSource> {
    this.instance.beginScope();
    const module = this.vm.getInternalModule();
    const infos = JSON.parse(module.getFunction("webgpu.get_fmap", true)() as string) as Record<
      string,
      KernelInfo
    >;
    const getShader = module.getFunction("webgpu.get_shader");
    const sources = names.map(
      (name) => [name, { info: infos[name]!, code: getShader(name) as string }] as const,
    );
    this.instance.endScope();
    return new Map(sources);
  }

  /** The function by which the compiled host code learns of a kernel; the caller disposes of it. */
  private findInstaller(): PackedFunc {
    this.instance.beginScope();
    const module = this.vm.getInternalModule();
    const install = this.instance.detachFromCurrentScope(
      module.getFunction("webgpu.update_prebuild"),
    );
    this.instance.endScope();
    return install;
  }

  /** Have the compiled host code call a kernel. */
  private install(install: PackedFunc, name: string): void {
    this.instance.beginScope();
    install(name, (...args: number[]) => {
      if (this.onKernel?.(name, args) ?? true) this.running.get(name)!(...args);
    });
    this.instance.endScope();
  }
}

/** Count kernels by what runs in them. */
export function countVariants(names: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
