/**
 * A compiled library on a WebGPU device: its functions and their tensors.
 *
 * This folder is all that knows tvmjs. Objects of tvmjs live in WebAssembly memory and must be
 * disposed of: {@link Runtime.scope} disposes of those that are made in it.
 */

import * as tvmjs from "tvmjs";

import type { Usage } from "../../api/types";
import type { DType, EntryPoint } from "../../bundle/manifest";
import { WsdError } from "../../util/errors";
import { DeviceWatch } from "./device_watch";
import { GpuContext } from "./gpu_context";
import { countVariants, Pipelines } from "./pipelines";
import type { KernelReplacements } from "./pipelines";
import { makeWasiImports } from "./wasi";

export type Tensor = tvmjs.Tensor;
/** A component's parameters, as the compiled functions take them: one tuple of tensors. */
export type Parameters = tvmjs.TVMObject;

/** A running library; {@link Runtime.create} starts it. */
export class Runtime {
  private constructor(
    readonly context: GpuContext,
    readonly pipelines: Pipelines,
    private readonly replacements: KernelReplacements | undefined,
    private readonly watch: DeviceWatch,
    private readonly instance: tvmjs.Instance,
    private readonly vm: tvmjs.VirtualMachine,
    private readonly gpu: tvmjs.DLDevice,
    private readonly cpu: tvmjs.DLDevice,
    private readonly functions: Map<string, tvmjs.PackedFunc>,
  ) {}

  /**
   * Start a library. Pipelines are compiled afterwards, by {@link Runtime.prepare}.
   *
   * @param wasm the library; it must have been checked.
   * @param device destroyed by {@link Runtime.dispose}.
   * @param entryPoints the functions that will be called.
   * @param makeReplacements makes the kernels that take the place of generated ones, if any do.
   */
  static async create(
    wasm: ArrayBuffer,
    device: GPUDevice,
    entryPoints: EntryPoint[],
    makeReplacements?: (context: GpuContext) => KernelReplacements,
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
    const context = new GpuContext(device, instance);
    const replacements = makeReplacements?.(context);
    const pipelines = new Pipelines(instance, vm, context, replacements);
    return new Runtime(context, pipelines, replacements, watch, instance, vm, gpu, cpu, functions);
  }

  /** Compile the pipelines of functions; see {@link Pipelines.prepare}. */
  async prepare(
    functions: EntryPoint[],
    onProgress: (loaded: number, total: number) => void = () => undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.pipelines.prepare(functions, onProgress, signal);
  }

  /** Run `work` and dispose of every tensor that it made except the one that it returns. */
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

  /** Make a GPU tensor with these values, float32 or int32. Call within a scope. */
  tensor(data: Float32Array | Int32Array, shape: readonly number[]): Tensor {
    const dtype = data instanceof Int32Array ? "int32" : "float32";
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.upload(bytes, shape, dtype);
  }

  /** Make a GPU tensor with these bytes. Call within a scope. */
  upload(bytes: Uint8Array, shape: readonly number[], dtype: DType): Tensor {
    return this.empty(shape, dtype).copyFromRawBytes(bytes);
  }

  /** Make a GPU tensor of any values. Call within a scope. */
  empty(shape: readonly number[], dtype: DType): Tensor {
    return this.instance.empty([...shape], dtype, this.gpu);
  }

  /** Replace a GPU tensor's values; there must be as many bytes. */
  write(tensor: Tensor, bytes: Uint8Array): void {
    tensor.copyFromRawBytes(bytes);
  }

  /**
   * Replace a part of the values of a tensor that no recorded command uses.
   *
   * @param at where in the tensor it begins, in bytes: a multiple of 4, as is the number of bytes.
   */
  writePart(tensor: Tensor, at: number, bytes: Uint8Array): void {
    const { device } = this.context;
    device.queue.writeBuffer(this.bufferOf(tensor), at, bytes as Uint8Array<ArrayBuffer>);
  }

  /** The buffer of a GPU tensor. */
  bufferOf(tensor: Tensor): GPUBuffer {
    return this.context.buffer(tensor.getDataPtr());
  }

  /** Bundle tensors into the tuple that compiled functions take. Call within a scope. */
  bundle(tensors: Tensor[]): Parameters {
    return this.instance.makeTVMArray(tensors);
  }

  /** A tensor of such a tuple. Call within a scope. */
  unbundle(parameters: Parameters, index: number): Tensor {
    return (parameters as tvmjs.TVMArray).get(index) as Tensor;
  }

  /**
   * Call a compiled function. Call within a scope.
   *
   * @returns its results in the manifest's order.
   * @throws WsdError if the library has no such function.
   */
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

  /** Wait until the GPU has finished everything that was submitted. */
  async sync(): Promise<void> {
    await this.gpu.sync();
  }

  /** Read a tensor's bytes back; the tensor stays. Others may be made and read meanwhile. */
  async read(tensor: Tensor): Promise<ArrayBuffer> {
    // No scope may be open while this waits: those of other work would be closed in its place.
    const copy = this.scope(() =>
      this.instance.empty(tensor.shape, tensor.dtype, this.cpu).copyFrom(tensor),
    );
    try {
      await this.gpu.sync();
      return copy.toRawBytes().slice().buffer;
    } finally {
      copy.dispose();
    }
  }

  /** Free the workspace of finished calls; the next call allocates its own. */
  releaseWorkspace(): void {
    this.instance.beginScope();
    this.instance.getGlobalFunc("vm.builtin.memory_manager.clear")();
    this.instance.endScope();
  }

  /** Count what is held now. */
  usage(): Usage {
    return {
      ...this.context.usage(),
      pipelines: this.pipelines.variants.size,
      variants: countVariants(this.pipelines.variants.values()),
    };
  }

  /** Why nothing can be computed any more; undefined while it can. */
  get failure(): WsdError | undefined {
    return this.watch.failure;
  }

  /** Do work; see {@link DeviceWatch.guard}. */
  async guard<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.watch.guard(work);
  }

  /** Release everything and destroy the device. */
  dispose(): void {
    // tvmjs has already disposed of an instance whose device is lost.
    if (this.failure !== undefined) return;
    this.watch.stop();
    for (const compiled of this.functions.values()) compiled.dispose();
    this.replacements?.dispose();
    this.vm.dispose();
    this.instance.dispose();
  }
}
