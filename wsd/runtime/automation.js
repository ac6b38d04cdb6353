// Generated from web/src/driver/automation.ts: npm run automation, in web/
"use strict";
(() => {
  // src/util/constants.generated.ts
  var KERNEL_FEATURES = [
    "shader-f16",
    "subgroups",
    "chromium-experimental-subgroup-matrix"
  ];

  // src/gpu/device.ts
  var WANTED_FEATURES = new Set(KERNEL_FEATURES);
  var ASK_AGAIN_AFTER = [250, 500];
  async function askForAdapter() {
    const gpu = navigator.gpu;
    const ask = async () => await gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null) ?? null;
    let adapter = await ask();
    for (const pause of gpu === void 0 ? [] : ASK_AGAIN_AFTER) {
      if (adapter !== null) break;
      await new Promise((done) => setTimeout(done, pause));
      adapter = await ask();
    }
    return adapter;
  }

  // src/driver/codec.ts
  var CHUNK = 32768;
  function encode(value) {
    if (typeof value === "bigint") return { bigint: value.toString() };
    if (value instanceof Float32Array) return encodeArray("float32", value);
    if (value instanceof Int32Array) return encodeArray("int32", value);
    if (value instanceof Uint8Array || value instanceof Uint8ClampedArray) {
      return encodeArray("uint8", value);
    }
    if (value instanceof ImageData) {
      const { width, height, data } = value;
      return { width, height, data: encode(data) };
    }
    if (Array.isArray(value)) return value.map(encode);
    return isObject(value) ? mapValues(value, encode) : value;
  }
  function decode(value) {
    if (Array.isArray(value)) return value.map(decode);
    if (!isObject(value)) return value;
    if (isEncodedBigInt(value)) return BigInt(value.bigint);
    if (isEncodedArray(value)) return decodeArray(value);
    return isEncodedImage(value) ? decodeImage(value) : mapValues(value, decode);
  }
  function encodeArray(dtype, array) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = "";
    for (let start = 0; start < bytes.length; start += CHUNK) {
      text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
    }
    return { dtype, base64: btoa(text) };
  }
  function decodeArray({ dtype, base64 }) {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    if (dtype === "float32") return new Float32Array(bytes.buffer);
    return dtype === "int32" ? new Int32Array(bytes.buffer) : bytes;
  }
  function decodeImage({ width, height, data }) {
    const bytes = decodeArray(data);
    return new ImageData(new Uint8ClampedArray(bytes.buffer), width, height);
  }
  function isEncodedImage(value) {
    const { data } = value;
    return "width" in value && "height" in value && isObject(data) && isEncodedArray(data);
  }
  function isEncodedArray(value) {
    return "dtype" in value && "base64" in value;
  }
  function isEncodedBigInt(value) {
    return "bigint" in value;
  }
  function isObject(value) {
    return typeof value === "object" && value !== null;
  }
  function mapValues(value, change) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item)]));
  }

  // src/driver/import_module.ts
  async function importModule(address) {
    const url = new URL(address, document.baseURI).href;
    const { importModule: imported } = globalThis;
    return imported === void 0 ? import(url) : imported(url);
  }

  // src/driver/onnxruntime_web.ts
  async function measureOnnxRuntime(given) {
    copySharedWrites();
    const ort = await importModule(given.runtime);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = await download(given.wasm);
    const model = new Uint8Array(await download(given.model));
    const externalData = [];
    for (const path of given.weights) {
      externalData.push({ path, data: await download(new URL(path, given.model).href) });
    }
    const session = await ort.InferenceSession.create(model, {
      executionProviders: ["webgpu"],
      externalData
    });
    const feeds = Object.fromEntries(given.feeds.map((feed) => [feed.name, makeTensor(ort, feed)]));
    const first = await session.run(feeds);
    const started = performance.now();
    for (let turn = 0; turn < given.repeats; turn++) await session.run(feeds);
    const milliseconds = (performance.now() - started) / given.repeats;
    const { type, data } = Object.values(first)[0];
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { milliseconds, dtype: type, bytes };
  }
  function copySharedWrites() {
    if (!isNode()) return;
    const queue = GPUQueue.prototype;
    if (queue.copiesShared) return;
    queue.copiesShared = true;
    const write = queue.writeBuffer;
    queue.writeBuffer = function(buffer, offset, data, start = 0, count) {
      const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
      const memory = view.buffer;
      if (memory instanceof ArrayBuffer) {
        write.call(this, buffer, offset, data, start, count);
        return;
      }
      const unit = view.BYTES_PER_ELEMENT ?? 1;
      const first = view.byteOffset + start * unit;
      const length = count === void 0 ? view.byteLength - start * unit : count * unit;
      const copy = new Uint8Array(length);
      copy.set(new Uint8Array(memory, first, length));
      write.call(this, buffer, offset, copy);
    };
  }
  function isNode() {
    const { process } = globalThis;
    return process?.versions?.node !== void 0;
  }
  async function download(url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
    return response.arrayBuffer();
  }
  function makeTensor(ort, { dtype, shape, bytes }) {
    const data = dtype === "float16" ? new Uint16Array(bytes.buffer) : new Float32Array(bytes.buffer);
    return new ort.Tensor(dtype, data, shape);
  }

  // src/driver/automation.ts
  var client;
  var pipeline;
  async function load(clientUrl, manifestUrl, options) {
    client = await importModule(clientUrl);
    const started = performance.now();
    pipeline = await client.StableDiffusionPipeline.fromPretrained(manifestUrl, {
      ...options,
      onProgress: reportProgress
    });
    return { milliseconds: performance.now() - started, adapter: pipeline.adapter };
  }
  async function generate(prompt, options) {
    const previews = [];
    const onProgress = (event) => {
      const { preview } = event;
      if (preview !== void 0) previews.push({ step: event.loaded, image: preview });
      reportProgress(event);
    };
    const generated = await pipeline.generate(prompt, { ...options, onProgress });
    const { images, latents, timings, safety } = generated;
    const drawn = { images, previews, latents, timings, settings: textsOf(generated) };
    return { ...drawn, ...safety && { safety }, usage: await usage() };
  }
  function textsOf({ images, settings, imageSettings }) {
    const ofEach = imageSettings;
    return ofEach?.map((each) => client.formatSettings(each)) ?? images.map((_, index) => client.formatSettings(settings, index));
  }
  async function encodePrompt(prompt, negativePrompt, options) {
    return pipeline.encodePrompt(prompt, {
      ...negativePrompt == null ? {} : { negativePrompt },
      ...options
    });
  }
  async function loadTextualInversion(bytes, options) {
    return pipeline.loadTextualInversion(new Blob([bytes]), options);
  }
  function unloadTextualInversion(token) {
    pipeline.unloadTextualInversion(token);
  }
  async function timeLoras(change) {
    const started = performance.now();
    await change;
    const milliseconds = performance.now() - started;
    return { milliseconds, names: pipeline.loras.map(({ name }) => name) };
  }
  async function loadLora(address, options) {
    const url = new URL(address, document.baseURI);
    return timeLoras(pipeline.loadLora(url, { ...options, onProgress: reportProgress }));
  }
  async function setAdapters(scales) {
    return timeLoras(pipeline.setAdapters(scales, { onProgress: reportProgress }));
  }
  async function unloadLora(name) {
    return timeLoras(pipeline.unloadLora(name, { onProgress: reportProgress }));
  }
  async function countTokens(prompt, options) {
    return pipeline.countTokens(prompt, options);
  }
  async function selfTest() {
    return pipeline.selfTest();
  }
  async function usage() {
    return pipeline.usage();
  }
  async function tune(options) {
    return pipeline.tune({ ...options, onProgress: reportProgress });
  }
  function stages() {
    return pipeline.remote;
  }
  async function encodeText(text, text2, syntax, clipSkip, text3) {
    const isPlain = [text2, syntax, clipSkip, text3].every((given) => given === void 0);
    return stages().encodeText(isPlain ? text : { text, text2, syntax, clipSkip, text3 });
  }
  async function predictNoise(inputs, size) {
    return stages().predictNoise(inputs, size);
  }
  async function decodeLatents(latents, size) {
    return stages().decodeLatents(latents, size);
  }
  async function encodeImage(pixels, size) {
    return stages().encodeImage(pixels, size);
  }
  async function checkPicture(pixels, size) {
    return stages().checkPicture(pixels, size);
  }
  async function combineLatents(terms, weights) {
    return stages().combineLatents(terms, weights);
  }
  async function runBenchmark(options) {
    return stages().runBenchmark(options);
  }
  async function describeAdapter() {
    const adapter = await askForAdapter();
    if (adapter === null) return null;
    const { vendor, architecture, description } = adapter.info;
    const { isFallbackAdapter: fallback = false } = adapter.info;
    return { vendor, architecture, description, fallback, f16: adapter.features.has("shader-f16") };
  }
  var functions = {
    load,
    generate,
    selfTest,
    tune,
    usage,
    encodePrompt,
    countTokens,
    loadTextualInversion,
    unloadTextualInversion,
    loadLora,
    setAdapters,
    unloadLora,
    encodeText,
    predictNoise,
    decodeLatents,
    encodeImage,
    checkPicture,
    combineLatents,
    runBenchmark,
    describeAdapter,
    isNode,
    measureOnnxRuntime
  };
  async function call(name, args) {
    const called = functions[name];
    try {
      return { value: encode(await called(...decode(args))) ?? null };
    } catch (thrown) {
      const { name: kind, message, hint } = thrown;
      return { error: { name: kind ?? "Error", message: message ?? String(thrown), hint } };
    }
  }
  function reportProgress({ stage, loaded, total }) {
    globalThis.wsdProgress?.({ stage, loaded, total });
  }
  Object.assign(globalThis, { wsdAutomation: { call } });
})();
