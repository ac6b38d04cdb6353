/** Measures onnxruntime-web's WebGPU backend on one model, in a browser or in Node.js. */

import { importModule } from "./import_module";

/** The part of onnxruntime-web that is used here. */
interface OnnxRuntime {
  env: { wasm: { numThreads: number; wasmBinary: ArrayBuffer } };
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<Session>;
  };
  Tensor: new (dtype: string, data: ArrayBufferView, shape: number[]) => OnnxTensor;
}

interface OnnxTensor {
  type: string;
  data: ArrayBufferView;
}

interface Session {
  run(feeds: Record<string, OnnxTensor>): Promise<Record<string, OnnxTensor>>;
}

/** One input of the model. */
interface Feed {
  name: string;
  dtype: "float16" | "float32";
  shape: number[];
  bytes: Uint8Array<ArrayBuffer>;
}

/** What is measured; every file is given by its address. */
export interface OnnxModel {
  /** onnxruntime-web's module. */
  runtime: string;
  /** Its WebAssembly. */
  wasm: string;
  model: string;
  /** Names of the files beside the model that hold its weights. */
  weights: string[];
  feeds: Feed[];
  /** Calls that are timed, after one that is not. */
  repeats: number;
}

/** What was measured. */
export interface OnnxMeasurement {
  /** Mean time of one call. */
  milliseconds: number;
  /** Type of the model's output. */
  dtype: string;
  /** The output of the first call. */
  bytes: Uint8Array;
}

/** Load a model and time its calls. */
export async function measureOnnxRuntime(given: OnnxModel): Promise<OnnxMeasurement> {
  copySharedWrites();
  const ort = (await importModule(given.runtime)) as OnnxRuntime;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await download(given.wasm);
  const model = new Uint8Array(await download(given.model));
  const externalData = [];
  for (const path of given.weights) {
    externalData.push({ path, data: await download(new URL(path, given.model).href) });
  }
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["webgpu"],
    externalData,
  });
  const feeds = Object.fromEntries(given.feeds.map((feed) => [feed.name, makeTensor(ort, feed)]));
  const first = await session.run(feeds);
  const started = performance.now();
  for (let turn = 0; turn < given.repeats; turn++) await session.run(feeds);
  const milliseconds = (performance.now() - started) / given.repeats;
  const { type, data } = Object.values(first)[0]!;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { milliseconds, dtype: type, bytes };
}

/**
 * Have `GPUQueue.writeBuffer` accept views of shared memory in Node.js, as browsers do: Dawn for
 * Node.js refuses them, and onnxruntime-web writes from its shared WebAssembly memory.
 */
function copySharedWrites(): void {
  if (!isNode()) return;
  const queue = GPUQueue.prototype as GPUQueue & { copiesShared?: boolean };
  if (queue.copiesShared) return;
  queue.copiesShared = true;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its queue below
  const write = queue.writeBuffer;
  queue.writeBuffer = function (buffer, offset, data, start = 0, count) {
    const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
    const memory: ArrayBufferLike = view.buffer;
    if (memory instanceof ArrayBuffer) {
      write.call(this, buffer, offset, data as ArrayBuffer, start, count);
      return;
    }
    const unit = (view as Partial<Uint8Array>).BYTES_PER_ELEMENT ?? 1;
    const first = view.byteOffset + start * unit;
    const length = count === undefined ? view.byteLength - start * unit : count * unit;
    const copy = new Uint8Array(length);
    copy.set(new Uint8Array(memory, first, length));
    write.call(this, buffer, offset, copy);
  };
}

/** Whether this runs in Node.js. */
export function isNode(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node !== undefined;
}

async function download(url: string): Promise<ArrayBuffer> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
  return response.arrayBuffer();
}

function makeTensor(ort: OnnxRuntime, { dtype, shape, bytes }: Feed): OnnxTensor {
  const data = dtype === "float16" ? new Uint16Array(bytes.buffer) : new Float32Array(bytes.buffer);
  return new ort.Tensor(dtype, data, shape);
}
