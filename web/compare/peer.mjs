// onnxruntime-web's WebGPU backend on one model, in a browser or in Node.js.

/** What is measured: addresses of its files, inputs as base64, how often it runs. */
export async function measure({ runtime, wasm, model, weights, feeds, repeats }) {
  copySharedWrites();
  const ort = await import(runtime);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await download(wasm);
  const session = await ort.InferenceSession.create(new Uint8Array(await download(model)), {
    executionProviders: ["webgpu"],
    externalData: [{ path: weights.name, data: new Uint8Array(await download(weights.url)) }],
  });
  const tensors = Object.fromEntries(
    feeds.map(({ name, dtype, shape, values }) => [name, makeTensor(ort, dtype, shape, values)]),
  );
  const first = await session.run(tensors);
  const started = performance.now();
  for (let turn = 0; turn < repeats; turn++) await session.run(tensors);
  const milliseconds = (performance.now() - started) / repeats;
  const [output] = Object.values(first);
  return { milliseconds, noise: encode(output.data), dtype: output.type };
}

/** Which numbers a model may have on this adapter. */
export async function supportsHalves() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  return adapter?.features.has("shader-f16") ?? false;
}

/** Dawn for Node.js refuses views of shared memory, which browsers take. */
function copySharedWrites() {
  const queue = globalThis.GPUQueue.prototype;
  if (globalThis.process?.versions?.node === undefined || queue.copiesShared) return;
  queue.copiesShared = true;
  const write = queue.writeBuffer;
  queue.writeBuffer = function (buffer, offset, data, start = 0, count = undefined) {
    const memory = data.buffer ?? data;
    if (!(memory instanceof SharedArrayBuffer))
      return write.call(this, buffer, offset, data, start, count);
    const unit = data.BYTES_PER_ELEMENT ?? 1;
    const from = (data.byteOffset ?? 0) + start * unit;
    const length = count === undefined ? data.byteLength - start * unit : count * unit;
    return write.call(this, buffer, offset, new Uint8Array(memory, from, length).slice());
  };
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.arrayBuffer();
}

function makeTensor(ort, dtype, shape, values) {
  const bytes = Uint8Array.from(atob(values), (char) => char.charCodeAt(0)).buffer;
  const array = dtype === "float16" ? new Uint16Array(bytes) : new Float32Array(bytes);
  return new ort.Tensor(dtype, array, shape);
}

function encode({ buffer, byteOffset, byteLength }) {
  const view = new Uint8Array(buffer, byteOffset, byteLength);
  let text = "";
  for (let i = 0; i < view.length; i += 32768)
    text += String.fromCharCode(...view.subarray(i, i + 32768));
  return btoa(text);
}
