// The part of tvmjs that WSD calls, in both versions: v0.21.0 and 0.27.
// The sources come from the installed TVM when the page is bundled (build.mjs).

export interface Disposable {
  dispose(): void;
}

export interface DLDevice {
  sync(): Promise<void>;
}

export interface TVMObject extends Disposable {
  readonly handle?: number;
}

export interface Tensor extends TVMObject {
  shape: number[];
  dtype: string;
  copyFrom(data: Tensor | Float32Array | Int32Array): this;
  copyFromRawBytes(data: Uint8Array): this;
  toRawBytes(): Uint8Array;
  /** Of a tensor on the GPU: the number of its buffer in tvmjs's table. */
  getDataPtr(): number;
}

export interface TVMArray extends TVMObject {
  get(index: number): TVMObject;
}

export type PackedFunc = ((...args: unknown[]) => unknown) & Disposable;

export interface Module extends TVMObject {
  getFunction(name: string, queryImports?: boolean): PackedFunc;
}

export interface VirtualMachine extends Disposable {
  getFunction(name: string): PackedFunc;
  getInternalModule(): Module;
}

export interface Instance extends Disposable {
  webgpu(): DLDevice;
  cpu(): DLDevice;
  empty(shape: number[], dtype: string, device: DLDevice): Tensor;
  makeTVMArray(items: TVMObject[]): TVMObject;
  initWebGPU(device: GPUDevice): void;
  createVirtualMachine(device: DLDevice): VirtualMachine;
  getGlobalFunc(name: string): PackedFunc;
  beginScope(): void;
  endScope(): void;
  detachFromCurrentScope<T extends Disposable>(object: T): T;
}

export function instantiate(
  wasm: ArrayBuffer,
  imports: object,
  logger?: (message: string) => void,
): Promise<Instance>;
