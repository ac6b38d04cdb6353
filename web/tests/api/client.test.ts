/**
 * Calls of pipelines whose workers run in this thread: all that is between a caller and the
 * drawing itself is the package's own.
 */

import { inspect } from "node:util";

import * as Comlink from "comlink";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";

import "../image_data";
import { StableDiffusionPipeline } from "../../src/api/client";
import {
  AbortError,
  BusyError,
  DeviceLostError,
  OptionError,
  UnloadedError,
} from "../../src/util/errors";
import { PAUSE_MS, QUIET_MS } from "../../src/api/idle_tuning";
import { ANSWER_MS } from "../../src/api/pipeline_worker";
import type { OnStage, ProgressEvent } from "../../src/api/progress";
import type { TuneReport } from "../../src/api/tuning";
import type { GenerationResult, LoadOptions, OnNotice } from "../../src/api/types";
import { purgeFile } from "../../src/api/kept_models";
import type { Manifest } from "../../src/bundle/manifest";
import { sha256 } from "../../src/bundle/sha256";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { registerPipeline } from "../../src/pipeline/registry";
import { registerErrors } from "../../src/worker/error_transfer";
import { WorkerPipeline } from "../../src/worker/worker_pipeline";
import { writeSafetensors } from "../safetensors_file";
import type { Answer } from "../server";
import { status, whole, withServer } from "../server";
import { withToyBundle } from "../toy_bundle";
import { TOY_TIMES, ToyPipeline } from "../toy_pipeline";

/** What happens to a picture when its turn comes; a test ends it. */
interface Picture {
  finish: () => void;
  lose: () => void;
}

/** Prompts whose drawing has begun, in their order, and what a test can do to them. */
let begun: string[] = [];
/** What the pipelines were asked for. */
let requests: GenerationRequest[] = [];
const pictures = new Map<string, Picture>();
let pipelines: SlowPipeline[] = [];
/** Steps that were computed after the picture was cancelled. */
let stepsTooMany = 0;

/** Draws until a test says that it is done, and stops when it is cancelled. */
class SlowPipeline extends ToyPipeline {
  override async generate(
    request: GenerationRequest,
    onStage: OnStage,
    signal: AbortSignal,
  ): Promise<GenerationResult<ImageData>> {
    const prompt = String(request.prompts);
    begun.push(prompt);
    requests.push(request);
    const total = 4;
    const ofImage = { image: 0, images: 1 } as const;
    onStage({ stage: "text", images: 1, loaded: 1, total: 1 });
    await new Promise<void>((resolve, reject) => {
      pictures.set(prompt, {
        finish: resolve,
        lose: () => {
          this.failure = new DeviceLostError("the GPU was lost", "draw again");
          reject(this.failure);
        },
      });
      signal.addEventListener("abort", () => {
        stepsTooMany += 1;
        onStage({ stage: "denoise", loaded: 3, total, ...ofImage });
        setTimeout(() => reject(new AbortError()), 5);
      });
    });
    for (let loaded = 1; loaded <= total; loaded++) {
      onStage({ stage: "denoise", loaded, total, ...ofImage });
    }
    return super.generate(request, onStage, signal);
  }
}

/** Slices of tuning that run, by their calls, and what a test makes of each. */
const slices = new Map<number, { finish: (report: object) => void; cancel: () => void }>();
let [slicesBegun, slicesCancelled] = [0, 0];

/** A worker whose slices a test ends; the toy has no kernels. */
class SlicedWorker extends WorkerPipeline {
  override tuneSlice(call: number): Promise<TuneReport> {
    slicesBegun += 1;
    return new Promise<TuneReport>((resolve, reject) => {
      slices.set(call, {
        finish: (report) => resolve(report as TuneReport),
        cancel: () => reject(new AbortError()),
      });
    }).finally(() => slices.delete(call));
  }

  override abort(call: number): void {
    if (slices.has(call)) slicesCancelled += 1;
    super.abort(call);
  }
}

/** A worker in this thread: its messages are copied, as between threads. */
class LocalWorker {
  readonly channel = new MessageChannel();
  hangs = false;
  terminated = false;

  constructor() {
    const inner = new MessageChannel();
    Comlink.expose(new SlicedWorker(), inner.port1);
    this.channel.port2.onmessage = ({ data, ports }) => {
      if (!this.hangs) inner.port2.postMessage(data, [...ports]);
    };
    inner.port2.onmessage = ({ data, ports }) => this.channel.port2.postMessage(data, [...ports]);
    workers.push(this);
  }
  postMessage(message: unknown, transfer: Transferable[]): void {
    this.channel.port1.postMessage(message, transfer);
  }
  addEventListener(type: string, listener: EventListener): void {
    this.channel.port1.addEventListener(type, listener);
    this.channel.port1.start();
  }
  removeEventListener(type: string, listener: EventListener): void {
    this.channel.port1.removeEventListener(type, listener);
  }
  terminate(): void {
    this.terminated = true;
    this.channel.port1.close();
  }
}
let workers: LocalWorker[] = [];

type Pipe = StableDiffusionPipeline;

const worker = (): Worker => new LocalWorker() as unknown as Worker;
let manifestUrl: string;
let closeServer: () => void;

beforeAll(async () => {
  registerErrors();
  // A page's address: without one, this is no browser.
  vi.stubGlobal("location", new URL("http://localhost/"));
  await new Promise<void>((served) => {
    void withToyBundle({ pipeline: "slow", colour: [1, 2, 3] }, async (url) => {
      manifestUrl = url;
      served();
      await new Promise<void>((done) => (closeServer = done));
    });
  });
});
afterAll(() => {
  closeServer();
  vi.unstubAllGlobals();
});
beforeEach(() => {
  [begun, requests, pipelines, workers, stepsTooMany] = [[], [], [], [], 0];
  pictures.clear();
  slices.clear();
  [slicesBegun, slicesCancelled] = [0, 0];
  registerPipeline("slow", async ({ manifest, files, options }) => {
    const colour = await files.get(manifest.library, () => undefined, options.signal);
    const pipeline = new SlowPipeline(manifest, options, new Uint8Array(colour));
    pipelines.push(pipeline);
    return pipeline;
  });
});
afterEach(() => vi.useRealTimers());

async function load(options: LoadOptions = {}): Promise<StableDiffusionPipeline> {
  return StableDiffusionPipeline.fromPretrained(manifestUrl, { worker, ...options });
}

/** Wait until the drawing of a prompt has begun. */
async function untilBegun(prompt: string): Promise<Picture> {
  // The model may be loaded again before, on a machine that is busy.
  await vi.waitFor(() => expect(begun).toContain(prompt), { timeout: 10_000 });
  return pictures.get(prompt)!;
}

/** Let all messages arrive that are on their way. */
async function settle(): Promise<void> {
  await new Promise((done) => setTimeout(done, 30));
}

/** What became of promises. */
async function outcomes(promises: Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) =>
    each.status === "fulfilled" ? "drawn" : (each.reason as Error).name,
  );
}

test("calls of all kinds wait for each other, in their order", async () => {
  const pipe = await load();
  const order: string[] = [];
  const one = pipe.generate("one").then(() => order.push("one"));
  const usage = pipe.usage().then(() => order.push("usage"));
  const encoded = pipe.encodePrompt("text").then(() => order.push("encoded"));
  const test = pipe.selfTest().catch((error: unknown) => order.push((error as Error).name));
  const two = pipe.generate("two").then(() => order.push("two"));
  (await untilBegun("one")).finish();
  (await untilBegun("two")).finish();
  await Promise.all([one, usage, encoded, test, two]);
  // The toy has no stages to test.
  expect(order).toEqual(["one", "usage", "encoded", "UnsupportedError", "two"]);
  await pipe.unload();
});

/** Two pixels, the size of the toy's pictures. */
function twoPixels(...colours: number[]): ImageData {
  return new ImageData(Uint8ClampedArray.from(colours), 2, 1);
}

test("a picture is sent as it was when the call was made, and its turn is kept", async () => {
  const pipe = await load();
  const image = twoPixels(10, 20, 30, 255, 40, 50, 60, 255);
  const one = pipe.generate("one", { image, strength: 0.5 });
  image.data.fill(0);
  const two = pipe.generate("two");
  (await untilBegun("one")).finish();
  (await untilBegun("two")).finish();
  const [drawn, plain] = await Promise.all([one, two]);
  expect(begun).toEqual(["one", "two"]);
  const { picture } = requests[0]!;
  expect([...picture!.pixels![0]!]).toEqual([10, 20, 30, 255, 40, 50, 60, 255]);
  expect(picture!.strength).toBe(0.5);
  expect(drawn.picture).toMatchObject({ fit: "none", size: [2, 1], startStep: 2, runSteps: 2 });
  expect([...drawn.picture!.before.data.subarray(0, 4)]).toEqual([10, 20, 30, 255]);
  expect([requests[1]!.picture, plain.picture]).toEqual([undefined, undefined]);
  await pipe.unload();
});

test("a picture that cannot be drawn from ends its call at once, and no other", async () => {
  const pipe = await load();
  const one = pipe.generate("one");
  const broken = pipe.generate("two", { image: new Blob([]) });
  const three = pipe.generate("three");
  await expect(broken).rejects.toThrow("image is an empty file");
  await expect(broken).rejects.toThrow(OptionError);
  (await untilBegun("one")).finish();
  (await untilBegun("three")).finish();
  expect(await outcomes([one, three])).toEqual(["drawn", "drawn"]);
  expect(begun).toEqual(["one", "three"]);
  await pipe.unload();
});

test("a call with a picture is cancelled by its own signal", async () => {
  const pipe = await load();
  const image = twoPixels(1, 2, 3, 255, 4, 5, 6, 255);
  const controller = new AbortController();
  const one = pipe.generate("one", { image, signal: controller.signal });
  await untilBegun("one");
  controller.abort(new RangeError("enough"));
  await expect(one).rejects.toThrow("enough");
  await pipe.unload();
});

test("what a mask keeps is put back in the worker, and a picture is encoded", async () => {
  const pipe = await load();
  const image = twoPixels(10, 20, 30, 255, 40, 50, 60, 255);
  const mask = twoPixels(0, 0, 0, 255, 255, 255, 255, 255);
  const drawing = pipe.generate("one", { image, mask, keepUnmasked: true });
  (await untilBegun("one")).finish();
  // The toy draws its colour, 1 2 3.
  expect([...(await drawing).image.data]).toEqual([10, 20, 30, 255, 1, 2, 3, 255]);
  const { latents, size } = await pipe.encodeImage(image, { posterior: "sample", seed: 1 });
  expect([[...latents], size]).toEqual([
    [10, 20, 30, 255],
    [2, 1],
  ]);
  const sample = pipe.encodeImage(image, { posterior: "sample" });
  await expect(sample).rejects.toThrow("posterior is sample, and there is no seed");
  const seed = pipe.encodeImage(image, { seed: 1 });
  await expect(seed).rejects.toThrow("seed is given without a sample");
  await expect(pipe.encodeImage(image, { width: 3 })).rejects.toThrow("3x1 was not compiled");
  await expect(pipe.encodeImage("x" as unknown as Blob)).rejects.toThrow(OptionError);
  await pipe.unload();
});

test("a signal that was aborted before sends nothing to the worker", async () => {
  const pipe = await load();
  const sent = vi.spyOn(workers[0]!, "postMessage");
  const signal = AbortSignal.abort();
  const calls = [
    pipe.generate("a", { signal }),
    pipe.encodePrompt("a", { signal }),
    pipe.selfTest({ signal }),
    pipe.tune({ signal }),
    pipe.usage({ signal }),
  ];
  expect(await outcomes(calls)).toEqual(Array(5).fill("AbortError"));
  await settle();
  expect(sent).not.toHaveBeenCalled();
  const loading = load({ signal });
  await expect(loading).rejects.toThrow(AbortError);
  expect(workers.length).toBe(1);
  await pipe.unload();
});

test("a cancelled call rejects at once with its signal's reason, and the next one draws", async () => {
  const pipe = await load();
  for (const [abort, expected] of [
    [(controller: AbortController) => controller.abort(), AbortError],
    [(controller: AbortController) => controller.abort(new RangeError("mine")), RangeError],
  ] as const) {
    const prompt = expected.name;
    const [controller, events] = [new AbortController(), [] as ProgressEvent[]];
    const { signal } = controller;
    const drawing = pipe.generate(prompt, { signal, onProgress: (event) => events.push(event) });
    await untilBegun(prompt);
    abort(controller);
    const next = pipe.generate(`after ${prompt}`);
    await expect(drawing).rejects.toThrow(expected);
    const seen = events.length;
    (await untilBegun(`after ${prompt}`)).finish();
    expect((await next).settings.prompt).toBe(`after ${prompt}`);
    // The worker reported a step when it was cancelled; the caller does not hear of it.
    expect(events.length).toBe(seen);
  }
  expect(stepsTooMany).toBe(2);
  const late = pipe.generate("late", { signal: AbortSignal.timeout(20) });
  await expect(late).rejects.toMatchObject({ name: "TimeoutError" });
  await pipe.unload();
});

test("a waiting call that is cancelled does not disturb the others", async () => {
  const pipe = await load();
  const controller = new AbortController();
  const one = pipe.generate("one");
  const two = pipe.generate("two", { signal: controller.signal });
  const three = pipe.generate("three");
  await untilBegun("one");
  controller.abort();
  await expect(two).rejects.toThrow(AbortError);
  pictures.get("one")!.finish();
  (await untilBegun("three")).finish();
  expect(await outcomes([one, two, three])).toEqual(["drawn", "AbortError", "drawn"]);
  expect(begun).toEqual(["one", "three"]);
  await pipe.unload();
});

test("with concurrency: refuse, a second call is refused and the first can still be cancelled", async () => {
  const pipe = await load({ concurrency: "refuse" });
  const controller = new AbortController();
  const one = pipe.generate("one", { signal: controller.signal });
  await untilBegun("one");
  for (const call of [pipe.generate("two"), pipe.usage(), pipe.selfTest()]) {
    await expect(call).rejects.toThrow(BusyError);
  }
  controller.abort();
  await expect(one).rejects.toThrow(AbortError);
  const three = pipe.generate("three");
  (await untilBegun("three")).finish();
  await three;
  expect(begun).toEqual(["one", "three"]);
  await pipe.unload();
  for (const odd of ["wait", 1, {}]) {
    await expect(load({ concurrency: odd as "queue" })).rejects.toThrow(OptionError);
  }
});

test("unloading rejects what runs and what waits, and is done once", async () => {
  const pipe = await load();
  const controller = new AbortController();
  const calls = [
    pipe.generate("one"),
    pipe.generate("two"),
    pipe.generate("three", { signal: controller.signal }),
    pipe.usage(),
  ];
  await untilBegun("one");
  controller.abort();
  const [first, second] = [pipe.unload(), pipe.unload()];
  const settled = outcomes(calls);
  await Promise.all([first, second, pipe[Symbol.asyncDispose]()]);
  expect(await settled).toEqual(Array(4).fill("AbortError"));
  const error = (await calls[0]!.catch((error: unknown) => error)) as AbortError;
  expect(error.message).toContain("unloaded");
  expect(error.hint).toContain("load the model again");
  expect(begun).toEqual(["one"]);
  expect([pipelines[0]!.disposed, workers[0]!.terminated]).toEqual([true, true]);
  await pipe.unload();
  for (const call of [
    pipe.generate("four"),
    pipe.encodePrompt("a"),
    pipe.selfTest(),
    pipe.usage(),
  ]) {
    const late = await (call as Promise<unknown>).catch((error: unknown) => error);
    expect(late).toBeInstanceOf(UnloadedError);
    expect((late as UnloadedError).hint).toContain("fromPretrained");
  }
});

test("await using unloads at the end of the block", async () => {
  let drawing: Promise<unknown>;
  {
    await using pipe = await load();
    drawing = pipe.generate("one");
    drawing.catch(() => undefined);
    await untilBegun("one");
  }
  await expect(drawing).rejects.toThrow(AbortError);
  expect(workers[0]!.terminated).toBe(true);
});

test("a worker that hangs is ended after the grace time; a waiting call loads the model again", async () => {
  const notices: string[] = [];
  const pipe = await load({ onNotice: (notice) => notices.push(notice) });
  const [controller, events] = [new AbortController(), [] as ProgressEvent[]];
  const one = pipe.generate("one", { signal: controller.signal });
  const two = pipe.generate("two", { onProgress: (event) => events.push(event) });
  await untilBegun("one");
  workers[0]!.hangs = true;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  controller.abort();
  await expect(one).rejects.toThrow(AbortError);
  await vi.advanceTimersByTimeAsync(ANSWER_MS - 1);
  expect(workers[0]!.terminated).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(workers[0]!.terminated).toBe(true);
  vi.useRealTimers();
  (await untilBegun("two")).finish();
  expect((await two).settings.prompt).toBe("two");
  expect(workers.length).toBe(2);
  expect(notices).toEqual([expect.stringContaining("the model is loaded again")]);
  const shares = events.map(({ overall }) => overall);
  expect(shares).toEqual([...shares].sort((one, other) => one - other));
  expect(shares.at(-1)).toBe(1);
  await pipe.unload();
});

test("a call that is cancelled while the model is loaded again leaves the reload to the next one", async () => {
  const pipe = await load();
  const [hanging, waiting] = [new AbortController(), new AbortController()];
  const one = pipe.generate("one", { signal: hanging.signal });
  const two = pipe.generate("two", { signal: waiting.signal });
  const three = pipe.generate("three");
  await untilBegun("one");
  workers[0]!.hangs = true;
  let loads = 0;
  let finish: () => void = () => undefined;
  registerPipeline("slow", async ({ manifest, options }) => {
    loads += 1;
    await new Promise<void>((resolve) => (finish = resolve));
    return new SlowPipeline(manifest, options, new Uint8Array(3));
  });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  hanging.abort();
  await expect(one).rejects.toThrow(AbortError);
  await vi.advanceTimersByTimeAsync(ANSWER_MS);
  vi.useRealTimers();
  await vi.waitFor(() => expect(loads).toBe(1));
  waiting.abort();
  await expect(two).rejects.toThrow(AbortError);
  await settle();
  finish();
  (await untilBegun("three")).finish();
  expect((await three).settings.prompt).toBe("three");
  expect([loads, workers.length, begun]).toEqual([1, 2, ["one", "three"]]);
  await pipe.unload();
});

/** Make pipelines whose model has one layer, of two rows and two columns. */
function withLayer(): void {
  registerPipeline("slow", ({ manifest, options }) => {
    const component = {
      folder: "unet",
      role: "denoiser",
      bytes: 0,
      records: [{ name: "layer.weight", shape: [2, 2], dtype: "float32", offset: 0, bytes: 16 }],
      shards: [],
    } as const;
    const changed = { ...manifest, components: { unet: component } } as unknown as Manifest;
    const pipeline = new SlowPipeline(changed, options, new Uint8Array(3));
    pipelines.push(pipeline);
    return Promise.resolve(pipeline);
  });
}

const LORA = new Blob([
  writeSafetensors({
    "unet.layer.lora_A.weight": { shape: [1, 2], values: [1, 2] },
    "unet.layer.lora_B.weight": { shape: [2, 1], values: [3, 4] },
  }),
]);

test("another worker loads the LoRAs again, with their scales", async () => {
  withLayer();
  const pipe = await load();
  const loaded = await pipe.loadLora(LORA, { name: "one" });
  expect(loaded).toMatchObject({ name: "one", scale: 1, layers: 1, bytes: LORA.size });
  await pipe.loadLora(LORA, { name: "two", scale: 0.5 });
  await pipe.setAdapters({ two: -1 });
  expect(pipe.loras.map(({ name, scale }) => [name, scale])).toEqual([
    ["one", 0],
    ["two", -1],
  ]);
  const controller = new AbortController();
  const first = pipe.generate("first", { signal: controller.signal });
  await untilBegun("first");
  workers[0]!.hangs = true;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  controller.abort();
  const second = pipe.generate("second");
  await expect(first).rejects.toThrow(AbortError);
  await vi.advanceTimersByTimeAsync(ANSWER_MS);
  vi.useRealTimers();
  (await untilBegun("second")).finish();
  expect((await second).settings.prompt).toBe("second");
  expect(requests.at(-1)!.loras).toEqual([{ name: "two", scale: -1, hash: loaded.hash }]);
  await pipe.unloadLora("one");
  expect(pipe.loras.map(({ name }) => name)).toEqual(["two"]);
  await pipe.unload();
});

/** Have the first worker hang and be ended; what draws next loads the model again. */
async function endWorker(pipe: Pipe): Promise<void> {
  const controller = new AbortController();
  const first = pipe.generate("first", { signal: controller.signal });
  await untilBegun("first");
  workers.at(-1)!.hangs = true;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  controller.abort();
  await expect(first).rejects.toThrow(AbortError);
  await vi.advanceTimersByTimeAsync(ANSWER_MS);
  vi.useRealTimers();
}

test("a LoRA whose address is gone can be unloaded after its worker had to be ended", async () => {
  withLayer();
  const file = new Uint8Array(await LORA.arrayBuffer());
  await withServer([whole(file), status(404)], async (address, asked) => {
    const pipe = await load();
    await pipe.loadLora(address, { name: "gone" });
    await pipe.loadLora(LORA, { name: "here", scale: 0.5 });
    await endWorker(pipe);
    // Without it, it would draw something else.
    await expect(pipe.generate("refused")).rejects.toThrow(/404/);
    await expect(pipe.unloadLora("other")).rejects.toMatchObject({
      hint: "those that are loaded: gone, here",
    });
    await pipe.unloadLora("gone");
    expect(pipe.loras.map(({ name }) => name)).toEqual(["here"]);
    const second = pipe.generate("second");
    (await untilBegun("second")).finish();
    await second;
    expect(requests.at(-1)!.loras).toMatchObject([{ name: "here", scale: 0.5 }]);
    expect(asked).toHaveLength(2);
    await pipe.unload();
  });
});

test("a LoRA of an address is kept, so that another worker needs no network", async () => {
  withLayer();
  const kept = new Map<string, Response>();
  vi.stubGlobal("caches", {
    open: () => ({
      match: (key: string) => Promise.resolve(kept.get(key)?.clone()),
      put: (key: string, response: Response) => Promise.resolve(void kept.set(key, response)),
      delete: (key: string) => Promise.resolve(kept.delete(key)),
      keys: () => Promise.resolve([...kept.keys()].map((url) => ({ url }))),
    }),
  });
  try {
    const file = new Uint8Array(await LORA.arrayBuffer());
    const bundle = JSON.stringify({
      ...{ version: 1, name: "bundled", file: "a.safetensors", bytes: file.length },
      ...{ sha256: await sha256(file.buffer), trigger_words: ["wow"] },
    });
    const json = whole(new TextEncoder().encode(bundle), "application/json");
    const broken = whole(file.subarray(1));
    await withServer([whole(file), json, broken, status(404)], async (address, asked) => {
      const pipe = await load();
      const { sha256: digest } = await pipe.loadLora(`${address}a.safetensors`, { scale: 2 });
      expect([...kept.keys()].filter((key) => key.endsWith(digest))).toHaveLength(1);
      await pipe.loadLora(`${address}adapter.json`);
      // What cannot be read is not kept.
      const before = kept.size;
      await expect(pipe.loadLora(`${address}b.safetensors`)).rejects.toThrow(/header/);
      expect(kept.size).toBe(before);
      await endWorker(pipe);
      const second = pipe.generate("second");
      (await untilBegun("second")).finish();
      await second;
      const names = ["a", "bundled"];
      expect(requests.at(-1)!.loras!.map(({ name }) => name)).toEqual(names);
      expect(asked).toHaveLength(3);
      await pipe.setAdapters({ a: 1 });
      expect(pipe.loras.map(({ triggerWords }) => triggerWords)).toEqual([[], ["wow"]]);
      await purgeFile(digest);
      expect([...kept.keys()].filter((key) => key.endsWith(digest))).toEqual([]);
      await pipe.unload();
    });
  } finally {
    vi.stubGlobal("caches", undefined);
  }
});

test("a change that is cancelled when the worker has just made it is undone", async () => {
  withLayer();
  const pipe = await load();
  await pipe.loadLora(LORA, { name: "one" });
  const states: unknown[] = [];
  for (const change of [
    (signal: AbortSignal) => pipe.loadLora(LORA, { name: "two", signal }),
    (signal: AbortSignal) => pipe.setAdapters({ one: 5 }, { signal }),
    (signal: AbortSignal) => pipe.unloadLora("one", { signal }),
  ]) {
    const controller = new AbortController();
    let made = (): void => undefined;
    const isMade = new Promise<void>((resolve) => (made = resolve));
    const [pipeline] = pipelines as [SlowPipeline];
    const patch = pipeline.patchWeights.bind(pipeline);
    pipeline.patchWeights = async (patches) => {
      await patch(patches);
      pipeline.patchWeights = patch;
      made();
    };
    const changed = change(controller.signal);
    await isMade;
    controller.abort();
    await expect(changed).rejects.toThrow(AbortError);
    const prompt = `after ${states.length}`;
    const drawn = pipe.generate(prompt);
    (await untilBegun(prompt)).finish();
    await drawn;
    states.push(requests.at(-1)!.loras);
    expect(pipeline.patches.get("unet")!.get("layer.weight")).toMatchObject([{ scale: 1 }]);
    expect(pipe.loras).toMatchObject([{ name: "one", scale: 1 }]);
  }
  const { hash } = pipe.loras[0]!;
  expect(states).toEqual(Array(3).fill([{ name: "one", scale: 1, hash }]));
  await pipe.unload();
});

test("the bytes of a LoRA are reported while they arrive", async () => {
  withLayer();
  const values = Array<number>(2 * 40_000).fill(0);
  const file = new Uint8Array(
    writeSafetensors({
      "unet.layer.lora_A.weight": { shape: [40_000, 2], values },
      "unet.layer.lora_B.weight": { shape: [2, 40_000], values },
    }),
  );
  const inPieces: Answer = (_request, response) => {
    response.writeHead(200, { "Content-Length": file.length });
    response.write(file.subarray(0, 1000), () =>
      setTimeout(() => response.end(file.subarray(1000)), 50),
    );
  };
  await withServer([inPieces], async (address) => {
    const pipe = await load();
    const events: ProgressEvent[] = [];
    await pipe.loadLora(address, { onProgress: (event) => events.push(event) });
    const read = events.filter(({ stage }) => stage === "lora");
    expect(read.length).toBeGreaterThan(1);
    expect(read[0]).toMatchObject({ total: file.length });
    expect(read[0]!.loaded).toBeLessThan(file.length);
    expect(read.at(-1)).toMatchObject({ loaded: file.length, total: file.length });
    await pipe.unload();
  });
});

test("a scale that no layer takes is refused at once, and the LoRAs stay as they were", async () => {
  withLayer();
  const pipe = await load({ offload: true });
  await pipe.loadLora(LORA, { name: "one" });
  await expect(pipe.setAdapters({ one: 1e39 })).rejects.toThrow(/beyond float32/);
  await expect(pipe.loadLora(LORA, { name: "two", scale: -1e39 })).rejects.toThrow(
    /beyond float32/,
  );
  expect(pipe.loras).toMatchObject([{ name: "one", scale: 1 }]);
  await pipe.unload();
});

test.each([
  ["a name with a colon", (pipe: Pipe) => pipe.loadLora(LORA, { name: "a:b" }), "name is"],
  ["a scale that is no number", (pipe: Pipe) => pipe.loadLora(LORA, { scale: NaN }), "scale is"],
  ["a short digest", (pipe: Pipe) => pipe.loadLora(LORA, { sha256: "abc" }), "sha256 is"],
  [
    "an address with a password",
    (pipe: Pipe) => pipe.loadLora("https://user:SECRET@example.org/a.safetensors"),
    "source has a user or a password",
  ],
  [
    "a file of the computer",
    (pipe: Pipe) => pipe.loadTextualInversion("file:///a.safetensors"),
    "browsers give pages no files of this kind",
  ],
  ["no source", (pipe: Pipe) => pipe.loadLora("", {}), "source is empty"],
  ["no scales", (pipe: Pipe) => pipe.setAdapters(null as never), "scales is null"],
  ["no number as scale", (pipe: Pipe) => pipe.setAdapters({ a: "1" as never }), "the scale of"],
  ["an unknown LoRA", (pipe: Pipe) => pipe.setAdapters({ a: 1 }), "there is no LoRA of the name"],
  ["another unknown one", (pipe: Pipe) => pipe.unloadLora("a"), "there is no LoRA of the name"],
])("%s is refused", async (_, call, message) => {
  const pipe = await load();
  const error: unknown = await call(pipe).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OptionError);
  expect((error as OptionError).message).toContain(message);
  expect(String(error)).not.toContain("SECRET");
  await pipe.unload();
});

test("a reload that fails is tried again by the next call", async () => {
  const pipe = await load();
  const controller = new AbortController();
  const one = pipe.generate("one", { signal: controller.signal });
  await untilBegun("one");
  workers[0]!.hangs = true;
  let loads = 0;
  registerPipeline("slow", ({ manifest, options }) => {
    loads += 1;
    if (loads === 1) return Promise.reject(new RangeError("no luck"));
    return Promise.resolve(new SlowPipeline(manifest, options, new Uint8Array(3)));
  });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  controller.abort();
  const two = pipe.generate("two");
  await expect(one).rejects.toThrow(AbortError);
  await vi.advanceTimersByTimeAsync(ANSWER_MS);
  vi.useRealTimers();
  await expect(two).rejects.toThrow("no luck");
  const three = pipe.generate("three");
  (await untilBegun("three")).finish();
  expect((await three).settings.prompt).toBe("three");
  await pipe.unload();
});

test("unloading while the model is loaded again ends the new worker too", async () => {
  const pipe = await load();
  const controller = new AbortController();
  const one = pipe.generate("one", { signal: controller.signal });
  await untilBegun("one");
  workers[0]!.hangs = true;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  let isLoading: () => void;
  const loading = new Promise<void>((resolve) => (isLoading = resolve));
  registerPipeline("slow", () => {
    isLoading();
    return new Promise(() => undefined);
  });
  controller.abort();
  const two = pipe.generate("two");
  await expect(one).rejects.toThrow(AbortError);
  await vi.advanceTimersByTimeAsync(ANSWER_MS);
  await loading;
  const unloaded = pipe.unload();
  await expect(two).rejects.toThrow(AbortError);
  vi.useRealTimers();
  await unloaded;
  expect(workers.map(({ terminated }) => terminated)).toEqual([true, true]);
});

test("a GPU that is lost rejects the call that runs; waiting ones draw with a reloaded model", async () => {
  const notices: string[] = [];
  const pipe = await load({ onNotice: (notice) => notices.push(notice) });
  const controller = new AbortController();
  const calls = [
    pipe.generate("one"),
    pipe.generate("two", { signal: controller.signal }),
    pipe.generate("three"),
    pipe.generate("four"),
  ];
  const settled = outcomes(calls);
  const { lose } = await untilBegun("one");
  controller.abort();
  lose();
  (await untilBegun("three")).finish();
  (await untilBegun("four")).finish();
  expect(await settled).toEqual(["DeviceLostError", "AbortError", "drawn", "drawn"]);
  expect(pipelines.length).toBe(2);
  expect(pipelines[0]!.disposed).toBe(true);
  expect(notices).toEqual(["The GPU was lost; the model is loaded again."]);
  await pipe.unload();
});

test("two pipelines know nothing of each other", async () => {
  const [left, right] = [await load(), await load({ concurrency: "refuse" })];
  const controller = new AbortController();
  const one = left.generate("left", { signal: controller.signal });
  const two = right.generate("right");
  const [, picture] = [await untilBegun("left"), await untilBegun("right")];
  controller.abort();
  await expect(one).rejects.toThrow(AbortError);
  await left.unload();
  picture.finish();
  expect((await two).settings.prompt).toBe("right");
  expect(workers.map(({ terminated }) => terminated)).toEqual([true, false]);
  await right.unload();
});

test("what a callback throws is the page's error, and does not end the picture", async () => {
  const reported: unknown[] = [];
  vi.stubGlobal("reportError", (error: unknown) => reported.push(error));
  const fail = (): never => {
    throw new RangeError("of the page");
  };
  const pipe = await load({ onProgress: fail, onNotice: fail });
  const lost = pipe.generate("one");
  (await untilBegun("one")).lose();
  await expect(lost).rejects.toThrow(DeviceLostError);
  const drawing = pipe.generate("two", { onProgress: fail });
  (await untilBegun("two")).finish();
  expect((await drawing).settings.prompt).toBe("two");
  expect(reported.length).toBeGreaterThan(5);
  expect(new Set(reported.map(String))).toEqual(new Set(["RangeError: of the page"]));
  await pipe.unload();
});

test("a pipeline can be looked at, and says nothing of how it was loaded", async () => {
  const pipe = await load({ headers: { Authorization: "secret" } });
  const seen = JSON.stringify(pipe) + inspect(pipe, { depth: 9, showHidden: true });
  expect(seen).toContain("toy");
  expect(seen).not.toContain("secret");
  expect(Object.keys(pipe).sort()).toEqual(["adapter", "loadTimes", "manifest"]);
  expect(structuredClone(pipe)).toMatchObject({
    adapter: { vendor: "none" },
    loadTimes: TOY_TIMES,
  });
  await pipe.unload();
});

test("options that are not known are named, before anything is sent", async () => {
  const pipe = await load();
  const sent = vi.spyOn(workers[0]!, "postMessage");
  const onStep = (): void => undefined;
  const calls = [
    pipe.generate("a", { onStep } as object),
    pipe.generate("a", { seed: onStep as never }),
    pipe.generate(onStep as never),
    pipe.selfTest({ onStep } as object),
    pipe.tune({ onStep } as object),
    pipe.tune({ seconds: 0 }),
    pipe.tune({ seconds: "5" as never }),
    pipe.tune({ again: 1 as never }),
    pipe.usage({ onProgress: onStep } as object),
    pipe.encodePrompt("a", { onStep } as object),
    load({ onStep } as object),
  ];
  for (const call of calls) {
    const error = await (call as Promise<unknown>).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OptionError);
    expect((error as OptionError).hint).not.toBe("");
  }
  expect(sent).not.toHaveBeenCalled();
  await pipe.unload();
});

test("loading that is cancelled ends its worker, and keeps its signal's reason", async () => {
  let isLoading: () => void = () => undefined;
  registerPipeline("slow", ({ options }) => {
    isLoading();
    return new Promise((_, reject) => {
      options.signal!.addEventListener("abort", () => reject(new AbortError()));
    });
  });
  for (const [reason, name] of [
    [undefined, "AbortError"],
    [new DOMException("late", "TimeoutError"), "TimeoutError"],
  ] as const) {
    const begun = new Promise<void>((resolve) => (isLoading = resolve));
    const controller = new AbortController();
    const loading = load({ signal: controller.signal });
    await begun;
    controller.abort(reason);
    await expect(loading).rejects.toMatchObject({ name });
    await vi.waitFor(() => expect(workers.at(-1)!.terminated).toBe(true));
  }
});

test("loading that is cancelled rejects at once, also where the worker does not answer", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const controller = new AbortController();
  const silent = (): Worker => {
    const made = worker();
    workers.at(-1)!.hangs = true;
    return made;
  };
  const loading = load({ signal: controller.signal, worker: silent });
  controller.abort();
  // No time passes, because the timers do not advance.
  await expect(loading).rejects.toThrow(AbortError);
  expect(workers[0]!.terminated).toBe(false);
  await vi.advanceTimersByTimeAsync(ANSWER_MS);
  expect(workers[0]!.terminated).toBe(true);
});

test("a model that has loaded although its caller gave up is unloaded, and reports no more", async () => {
  let [report, finish]: [OnStage, () => void] = [() => undefined, () => undefined];
  let notify: OnNotice = () => undefined;
  const begun = new Promise<void>((isLoading) => {
    registerPipeline("slow", async ({ manifest, options }) => {
      [report, notify] = [options.onProgress!, options.onNotice!];
      await new Promise<void>((resolve) => {
        finish = resolve;
        isLoading();
      });
      return new SlowPipeline(manifest, options, new Uint8Array(3));
    });
  });
  const [controller, events] = [new AbortController(), [] as ProgressEvent[]];
  const onProgress = (event: ProgressEvent): number => events.push(event);
  const notices: string[] = [];
  const onNotice = (notice: string): number => notices.push(notice);
  const loading = load({ signal: controller.signal, onProgress, onNotice });
  await begun;
  notify("before");
  await vi.waitFor(() => expect(notices).toEqual(["before"]));
  controller.abort();
  await expect(loading).rejects.toThrow(AbortError);
  report({ stage: "pipelines", loaded: 1, total: 1 });
  notify("after");
  finish();
  await vi.waitFor(() => expect(workers[0]!.terminated).toBe(true));
  expect([events, notices]).toEqual([[], ["before"]]);
});

test("a loaded model gives notices also when the signal of its loading is aborted later", async () => {
  let notify: OnNotice = () => undefined;
  registerPipeline("slow", ({ manifest, options }) => {
    notify = options.onNotice!;
    return Promise.resolve(new SlowPipeline(manifest, options, new Uint8Array(3)));
  });
  const [controller, notices] = [new AbortController(), [] as string[]];
  const onNotice = (notice: string): number => notices.push(notice);
  const pipe = await load({ signal: controller.signal, onNotice });
  controller.abort();
  notify("later");
  await vi.waitFor(() => expect(notices).toEqual(["later"]));
  await pipe.unload();
});

test("progress is one share of the whole call, which ends at 1", async () => {
  const loading: ProgressEvent[] = [];
  const pipe = await load({ onProgress: (event) => loading.push(event) });
  const drawing: ProgressEvent[] = [];
  const generated = pipe.generate("one", { onProgress: (event) => drawing.push(event) });
  (await untilBegun("one")).finish();
  await generated;
  for (const events of [loading, drawing]) {
    const shares = events.map(({ overall }) => overall);
    expect(shares).toEqual([...shares].sort((one, other) => one - other));
  }
  expect(drawing.map(({ stage }) => stage)).toEqual([
    ...["text", "denoise", "denoise", "denoise", "denoise", "decode"],
  ]);
  expect(drawing.at(-1)).toMatchObject({ overall: 1, remainingMs: 0, image: 0, images: 1 });
  await pipe.unload();
});

/** Let messages arrive while timers stand still. */
async function deliver(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
}

/** Wait until something holds, while timers stand still. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100 && !holds(); turn++) await deliver();
  expect(holds()).toBe(true);
}

/** Draw a picture whose turn comes. */
async function drawn(pipe: Pipe, prompt: string): Promise<void> {
  const drawing = pipe.generate(prompt);
  await until(() => pictures.has(prompt));
  pictures.get(prompt)!.finish();
  await drawing;
}

test("a model is tuned while nobody calls it, and a picture waits for a slice to end", async () => {
  const reports: object[] = [];
  const onTuned = (report: object): number => reports.push(report);
  const pipe = await load({ tune: "idle", onTuned, concurrency: "refuse" });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const wait = async (milliseconds: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(milliseconds);
    await deliver();
  };
  await pipe.usage();
  await wait(QUIET_MS);
  // No picture was drawn yet.
  expect(slicesBegun).toBe(0);
  await drawn(pipe, "one");
  await wait(QUIET_MS);
  await until(() => slicesBegun === 1);
  [...slices.values()][0]!.finish({ complete: false, gain: 1.5 });
  await until(() => reports.length > 0);
  expect(reports).toEqual([{ complete: false, gain: 1.5 }]);
  await wait(PAUSE_MS);
  await until(() => slicesBegun === 2);
  // It refuses no call, and does not run beside one.
  const drawing = pipe.generate("two");
  await until(() => slicesCancelled === 1);
  expect(begun).toEqual(["one"]);
  [...slices.values()][0]!.cancel();
  await until(() => pictures.has("two"));
  await wait(100_000);
  expect(slicesBegun).toBe(2);
  pictures.get("two")!.finish();
  await drawing;
  await wait(QUIET_MS);
  await until(() => slicesBegun === 3);
  pipe.setTuning("off");
  await until(() => slicesCancelled === 2);
  [...slices.values()][0]!.cancel();
  await pipe.usage();
  await wait(100_000);
  expect(slicesBegun).toBe(3);
  expect(() => pipe.setTuning("on" as never)).toThrow(OptionError);
  const unloading = pipe.unload();
  await deliver();
  await unloading;
});

test("a picture that waits for a slice when the model is unloaded does not load it again", async () => {
  const pipe = await load({ tune: "idle" });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  await drawn(pipe, "one");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  await until(() => slicesBegun === 1);
  const drawing = pipe.generate("two");
  const refused = expect(drawing).rejects.toThrow(AbortError);
  await until(() => slicesCancelled === 1);
  const unloading = pipe.unload();
  await deliver();
  await vi.advanceTimersByTimeAsync(100_000);
  await Promise.all([unloading, refused]);
  await deliver();
  expect(workers.length).toBe(1);
});

test("a model is not tuned unless that is wished, and a call that was cancelled ends before", async () => {
  const [plain, pipe] = [await load(), await load({ tune: "idle" })];
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const wait = async (milliseconds: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(milliseconds);
    await deliver();
  };
  await drawn(plain, "plain");
  await wait(QUIET_MS);
  expect(slicesBegun).toBe(0);
  await drawn(pipe, "one");
  const controller = new AbortController();
  const drawing = pipe.generate("two", { signal: controller.signal });
  await until(() => pictures.has("two"));
  // The worker stops when the test's clock has moved, and the call has been given up before.
  controller.abort();
  await expect(drawing).rejects.toThrow(AbortError);
  expect(slicesBegun).toBe(0);
  await wait(QUIET_MS);
  await until(() => slicesBegun === 1);
  const unloading = [plain.unload(), pipe.unload()];
  await deliver();
  await Promise.all(unloading);
});
