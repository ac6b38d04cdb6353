/**
 * The only import of tvmjs: a compiled library on a WebGPU device.
 *
 * What differs between TVM v0.21.0 and 0.27 in JavaScript is told apart here;
 * the rest of the page sees tensors and functions. Objects of tvmjs live in
 * WebAssembly memory and must be disposed: a `Tensors` scope does it.
 */

import { OpenFile, File, ConsoleStdout, WASI } from "@bjorn3/browser_wasi_shim";
import * as tvmjs from "tvmjs";

import type { Usage } from "../../api/types";
import type { Roofline } from "../../diagnostics/roofline";
import { measureRoofline } from "../../diagnostics/roofline";
import { DeviceLostError, OutOfMemoryError, throwIfAborted, WsdError } from "../../api/errors";
import type { Abilities, KernelChoice, KernelTable } from "../kernel_variants";
import { chooseVariant } from "../kernel_variants";
import type { FunctionInfo, Kernel, TvmContext } from "../kernel_launcher";
import { KernelLauncher } from "../kernel_launcher";
import type { DType, EntryPoint } from "../../bundle/manifest";
import { forEachConcurrently } from "../../util/concurrency";
import type { KernelTime } from "../../diagnostics/gpu_profiler";
import { PassProfiler, TimestampSpan } from "../../diagnostics/gpu_profiler";

export type Tensor = tvmjs.Tensor;
/** A component's parameters, as the compiled functions take them. */
export type Parameters = tvmjs.TVMObject;

interface GpuContext extends TvmContext {
  currAllocatedBytes: number;
  peakAllocatedBytes: number;
  createShaderAsync(info: object, code: string): Promise<Kernel>;
}

/** tvmjs's private fields that are read here; the same in both versions. */
interface Internals {
  lib: { webGPUContext: GpuContext };
  env: { packedCFuncTable: unknown[] };
  memory: { memory: WebAssembly.Memory };
}

/** Kernels that a bundle brings besides its library's, and for which GPU. */
export interface OwnKernels {
  table: KernelTable | undefined;
  choice: KernelChoice | undefined;
  abilities: Abilities;
}

/** Pipelines that are compiled at once: as many keep any driver busy, and are soon stopped. */
const COMPILED_AT_ONCE = 16;

export class Runtime {
  /** Names of the kernels whose pipelines are compiled. */
  private readonly ready = new Set<string>();
  private profiler: PassProfiler | undefined;

  private constructor(
    private readonly device: GPUDevice,
    private readonly own: OwnKernels,
    private readonly launcher: KernelLauncher | undefined,
    private readonly watch: DeviceWatch,
    private readonly instance: tvmjs.Instance,
    private readonly vm: tvmjs.VirtualMachine,
    private readonly gpu: tvmjs.DLDevice,
    private readonly cpu: tvmjs.DLDevice,
    private readonly functions: Map<string, tvmjs.PackedFunc>,
  ) {}

  /** Start a library; `prepare` comes before the first call of a function. */
  static async create(
    wasm: ArrayBuffer,
    device: GPUDevice,
    entryPoints: EntryPoint[],
    own: OwnKernels,
  ): Promise<Runtime> {
    const watch = new DeviceWatch(device);
    const instance = await tvmjs.instantiate(wasm, makeWasiImports(), () => undefined);
    instance.initWebGPU(device);
    instance.beginScope();
    const gpu = instance.webgpu();
    const cpu = instance.cpu();
    const vm = instance.detachFromCurrentScope(instance.createVirtualMachine(gpu));
    const functions = new Map(
      entryPoints.map(({ name }) => [name, instance.detachFromCurrentScope(vm.getFunction(name))]),
    );
    instance.endScope();
    const context = (instance as unknown as Internals).lib.webGPUContext;
    const launcher = own.table === undefined ? undefined : new KernelLauncher(device, context, own.table);
    return new Runtime(device, own, launcher, watch, instance, vm, gpu, cpu, functions);
  }

  /**
   * Compile the pipelines of functions, in parallel, those that are not compiled yet.
   *
   * tvmjs's own `asyncLoadWebGPUPipelines` compiles those of all functions, which for
   * a library of several sizes takes several times as long.
   *
   * @param onProgress told how many of how many are ready.
   */
  async prepare(
    functions: EntryPoint[],
    onProgress: (loaded: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const wanted = new Set(functions.flatMap(({ kernels }) => kernels));
    const missing = [...wanted].filter((name) => !this.ready.has(name));
    if (missing.length === 0) return;
    const { context } = this;
    this.instance.beginScope();
    const module = this.vm.getInternalModule();
    const infos = JSON.parse(module.getFunction("webgpu.get_fmap", true)() as string) as Record<
      string,
      FunctionInfo
    >;
    const getShader = module.getFunction("webgpu.get_shader");
    const shaders = missing.map((name) => [name, getShader(name) as string] as const);
    const install = this.instance.detachFromCurrentScope(
      module.getFunction("webgpu.update_prebuild"),
    );
    this.instance.endScope();
    let loaded = 0;
    try {
      await forEachConcurrently(shaders, COMPILED_AT_ONCE, async ([name, code]) => {
        const variant = chooseVariant(this.own.table, name, this.own.abilities, this.own.choice);
        const kernel =
          variant === undefined
            ? await context.createShaderAsync(infos[name]!, code)
            : await this.launcher!.create(variant, infos[name]!);
        throwIfAborted(signal);
        this.instance.beginScope();
        install(name, (...args: number[]) => {
          this.profiler?.begin(name);
          kernel(...args);
        });
        this.instance.endScope();
        this.ready.add(name);
        loaded += 1;
        onProgress(loaded, missing.length);
      });
    } finally {
      // Whoever stops it disposes of everything, and may have done so.
      if (!signal?.aborted) install.dispose();
    }
  }

  /** Run `work` and dispose of every tensor it made but the one it returns. */
  scope<T extends tvmjs.Disposable | undefined>(work: () => T): T {
    this.instance.beginScope();
    try {
      const kept = work();
      return kept === undefined ? kept : this.instance.detachFromCurrentScope(kept);
    } finally {
      this.instance.endScope();
    }
  }

  /** Take a tensor out of the scope; the caller disposes of it. */
  keep(tensor: Tensor): Tensor {
    return this.instance.detachFromCurrentScope(tensor);
  }

  /** A new GPU tensor with these values. Call within a scope. */
  tensor(data: Float32Array | Int32Array, shape: number[]): Tensor {
    const dtype = data instanceof Int32Array ? "int32" : "float32";
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.upload(bytes, shape, dtype);
  }

  /** A new GPU tensor with these bytes. Call within a scope. */
  upload(bytes: Uint8Array, shape: number[], dtype: DType): Tensor {
    return this.instance.empty(shape, dtype, this.gpu).copyFromRawBytes(bytes);
  }

  /** Bundle tensors into the tuple that compiled functions take. Call within a scope. */
  bundle(tensors: Tensor[]): Parameters {
    return this.instance.makeTVMArray(tensors);
  }

  /** Call a compiled function; its results are in the manifest's order. Call within a scope. */
  call(entry: EntryPoint, ...args: (Tensor | Parameters)[]): Tensor[] {
    const compiled = this.functions.get(entry.name);
    if (compiled === undefined) {
      throw new WsdError(
        `the library has no function ${entry.name}`,
        "rebuild the bundle: its manifest and library do not belong together",
      );
    }
    const result = compiled(...args);
    if (entry.outputs.length === 1) return [result as Tensor];
    return entry.outputs.map((_, index) => (result as tvmjs.TVMArray).get(index) as Tensor);
  }

  /** Time every kernel that `work` runs; none on a device without timestamps. */
  async profile(work: () => void): Promise<KernelTime[]> {
    if (!this.device.features.has("timestamp-query")) return [];
    await this.sync();
    this.profiler = new PassProfiler(this.device);
    try {
      work();
      await this.sync();
      return await this.profiler.stop();
    } finally {
      this.profiler = undefined;
    }
  }

  /**
   * Milliseconds that the GPU takes for what `work` records, given to it all at once.
   *
   * Null on a device without timestamps, and where tvmjs gives it one dispatch at a time.
   */
  async timeSpan(work: () => void): Promise<number | null> {
    const { context } = this;
    const collects = context.flushCommands !== undefined;
    if (!collects || !this.device.features.has("timestamp-query")) return null;
    await this.sync();
    const span = new TimestampSpan(this.device);
    const encoder = (context.pendingEncoder = this.device.createCommandEncoder());
    if (this.launcher !== undefined) this.launcher.holds = true;
    try {
      span.mark(encoder);
      work();
      // Where a copy made tvmjs hand it over early, the GPU waited in between.
      const whole = context.pendingEncoder === encoder;
      if (whole) span.mark(encoder);
      await this.sync();
      return whole ? await span.read() : null;
    } finally {
      if (this.launcher !== undefined) this.launcher.holds = false;
    }
  }

  /** Measure what the GPU does at most. */
  async ceilings(): Promise<Roofline> {
    await this.sync();
    return measureRoofline(this.device);
  }

  /** Wait until the GPU has done everything it was given. */
  async sync(): Promise<void> {
    await this.gpu.sync();
  }

  /** Read a tensor back. */
  async read(tensor: Tensor): Promise<ArrayBuffer> {
    this.instance.beginScope();
    try {
      const copy = this.instance.empty(tensor.shape, tensor.dtype, this.cpu).copyFrom(tensor);
      await this.gpu.sync();
      return copy.toRawBytes().slice().buffer;
    } finally {
      this.instance.endScope();
    }
  }

  /** Give back the memory that finished calls worked in; the next call takes it anew. */
  releaseWorkspace(): void {
    this.instance.beginScope();
    this.instance.getGlobalFunc("vm.builtin.memory_manager.clear")();
    this.instance.endScope();
  }

  /** Count what is held now. */
  usage(): Usage {
    const { context } = this;
    const { env, memory } = this.instance as unknown as Internals;
    return {
      gpuBytes: context.currAllocatedBytes + (this.launcher?.bytes ?? 0),
      peakGpuBytes: context.peakAllocatedBytes + (this.launcher?.bytes ?? 0),
      gpuBuffers: context.bufferTable.filter((buffer) => buffer !== undefined).length,
      pipelines: this.ready.size,
      callbacks: env.packedCFuncTable.filter((callback) => callback !== undefined).length,
      wasmBytes: memory.memory.buffer.byteLength,
    };
  }

  /** tvmjs's own view of the device. */
  private get context(): GpuContext {
    return (this.instance as unknown as Internals).lib.webGPUContext;
  }

  /** Why nothing can be computed any more, if that is so. */
  get failure(): WsdError | undefined {
    return this.watch.failure;
  }

  /** Do work that ends, with the device's own error, when the device does. */
  async guard<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await Promise.race([work(), this.watch.failed]);
    } catch (error) {
      // What the loss broke may be told before the loss is.
      await new Promise((resolve) => setTimeout(resolve));
      throw this.failure ?? asOutOfMemory(error);
    }
  }

  /** Release everything; the device is destroyed with it. */
  dispose(): void {
    // tvmjs disposes of an instance whose device is lost.
    if (this.failure !== undefined) return;
    this.watch.stop();
    for (const compiled of this.functions.values()) compiled.dispose();
    this.launcher?.dispose();
    this.vm.dispose();
    this.instance.dispose();
  }
}

/** Watches a device for its end. */
class DeviceWatch {
  failure: WsdError | undefined;
  /** Rejects when the device fails; never resolves. */
  readonly failed: Promise<never>;
  private stopped = false;

  constructor(device: GPUDevice) {
    let outOfMemory = false;
    // tvmjs asks after each buffer, and destroys the device if there was no room for one.
    const pop = device.popErrorScope.bind(device);
    device.popErrorScope = async () => {
      const error = await pop();
      outOfMemory ||= error instanceof GPUOutOfMemoryError;
      return error;
    };
    this.failed = device.lost.then(({ message }) => {
      if (this.stopped) return new Promise<never>(() => undefined);
      this.failure = outOfMemory ? noRoom() : deviceLost(message);
      throw this.failure;
    });
    // It may fail while nobody waits.
    this.failed.catch(() => undefined);
  }

  /** The device's end is meant. */
  stop(): void {
    this.stopped = true;
  }
}

function deviceLost(message: string): DeviceLostError {
  return new DeviceLostError(
    `the GPU was lost${message === "" ? "" : `: ${message}`}`,
    "draw again: the model is loaded anew; if it happens often, update the graphics driver",
  );
}

function noRoom(cause?: unknown): OutOfMemoryError {
  return new OutOfMemoryError(
    "the GPU has no room for this model",
    "close other tabs that use the GPU, or choose a smaller model",
    { cause },
  );
}

/** What Emscripten's standalone WebAssembly asks of its host. */
export function makeWasiImports(): object {
  const log = (line: string): void => console.debug(`wasm: ${line}`);
  const files = [
    new OpenFile(new File([])),
    ConsoleStdout.lineBuffered(log),
    ConsoleStdout.lineBuffered(log),
  ];
  const wasi = new WASI([], [], files, { debug: false });
  return {
    wasiImport: wasi.wasiImport,
    start: (instance: WebAssembly.Instance) =>
      wasi.initialize(instance as Parameters_<WASI["initialize"]>),
  };
}

type Parameters_<F extends (instance: never) => unknown> = F extends (instance: infer I) => unknown
  ? I
  : never;

/** Turn a failed allocation into our own error. */
function asOutOfMemory(error: unknown): unknown {
  return error instanceof Error && /memory/i.test(error.message) ? noRoom(error) : error;
}
