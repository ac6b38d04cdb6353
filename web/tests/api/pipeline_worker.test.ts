/** How a worker is stopped: one that listens, one that does not, and one that listens in vain. */

import { inspect } from "node:util";

import * as Comlink from "comlink";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { RemotePipeline } from "../../src/api/pipeline_worker";
import { ANSWER_MS, PipelineWorker, STOP_MS } from "../../src/api/pipeline_worker";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import type { LoadOptions } from "../../src/api/types";
import { fetchOverPage } from "../../src/worker/page_fetch";
import { BUILD } from "../../src/util/version";
import { AbortError, OptionError, UnloadedError, WsdError } from "../../src/util/errors";
import { toyRequest } from "../toy_pipeline";

/** What the worker of a test does with a picture; it gets what `abort` calls. */
type Draw = (onAbort: (stop: (error: Error) => void) => void) => Promise<string>;

let draw: Draw;
/** What the worker says that it is. */
let version: () => string;
/** Whether the worker reads its messages. */
let listens = true;
let terminated = 0;
/** Numbers of the calls that were cancelled. */
let aborted: number[] = [];
let workers: LocalWorker[] = [];
/** The page's fetch, as the last worker got it. */
let pageFetch: Parameters<typeof fetchOverPage>[0];

/** A worker in this thread, which need not read its messages. */
class LocalWorker {
  private readonly channel = new MessageChannel();
  private readonly errors = new EventTarget();

  constructor() {
    let stop: (error: Error) => void = () => undefined;
    const inner = new MessageChannel();
    Comlink.expose(
      {
        hello: () => version(),
        load: (...given: unknown[]) => {
          pageFetch = given[5] as typeof pageFetch;
          return { manifest: {}, adapter: {} };
        },
        generate: () => draw((given) => (stop = given)),
        abort: (call: number) => {
          aborted.push(call);
          stop(new AbortError());
        },
        unload: () => undefined,
      },
      inner.port1,
    );
    // Messages to the worker go over two channels, so that they can be held up between them.
    this.channel.port2.onmessage = ({ data, ports }) => {
      if (listens) inner.port2.postMessage(data, [...ports]);
    };
    inner.port2.onmessage = ({ data, ports }) => this.channel.port2.postMessage(data, [...ports]);
    workers.push(this);
  }

  /** Fail as a worker does in which an error is not caught. */
  fail(message: string): void {
    this.errors.dispatchEvent(Object.assign(new Event("error"), { message }));
  }

  postMessage(message: unknown, transfer: Transferable[]): void {
    this.channel.port1.postMessage(message, transfer);
  }

  addEventListener(type: string, listener: EventListener): void {
    if (type === "error") this.errors.addEventListener(type, listener);
    this.channel.port1.addEventListener(type, listener);
    this.channel.port1.start();
  }

  removeEventListener(type: string, listener: EventListener): void {
    this.channel.port1.removeEventListener(type, listener);
  }

  terminate(): void {
    terminated += 1;
    this.channel.port1.close();
  }
}

beforeEach(() => {
  [listens, terminated, aborted, workers] = [true, 0, [], []];
  version = () => BUILD;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Let messages arrive, and so much time pass. */
async function pass(milliseconds = 0): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
  await vi.advanceTimersByTimeAsync(milliseconds);
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
}

/** Start a worker and load a model in it. */
async function loadedWorker(options: LoadOptions = {}): Promise<PipelineWorker> {
  const worker = PipelineWorker.start({ worker: () => new LocalWorker() as unknown as Worker });
  await worker.load("http://a/manifest.json", options);
  return worker;
}

function generate(remote: RemotePipeline, call: number): Promise<unknown> {
  return remote.generate(
    call,
    toyRequest("a cat"),
    Comlink.proxy(() => undefined),
  );
}

/** Begin a picture, and stop it when the worker has begun. */
async function stopAmidPicture(
  reason?: unknown,
): Promise<{ worker: PipelineWorker; said: () => string }> {
  const worker = await loadedWorker();
  const controller = new AbortController();
  let said = "";
  worker.run(controller.signal, generate).then(
    () => (said = "drawn"),
    (error: unknown) => (said = (error as Error).name),
  );
  await pass();
  controller.abort(reason);
  return { worker, said: () => said };
}

test("a worker that stops by itself goes on", async () => {
  draw = (onAbort) => new Promise((_, reject) => onAbort(reject));
  const { worker, said } = await stopAmidPicture();
  await pass();
  expect([said(), worker.ended]).toEqual(["AbortError", false]);
  await pass(2 * STOP_MS);
  expect(worker.ended).toBe(false);
  draw = () => Promise.resolve("a picture");
  const again = worker.run(undefined, generate);
  await pass();
  expect(await again).toBe("a picture");
});

test("the worker is told which call to cancel", async () => {
  const worker = await loadedWorker();
  const numbers: number[] = [];
  draw = () => Promise.resolve("a picture");
  const remember = (remote: RemotePipeline, call: number): Promise<unknown> => {
    numbers.push(call);
    return generate(remote, call);
  };
  await worker.run(undefined, remember);
  draw = (onAbort) => new Promise((_, reject) => onAbort(reject));
  const controller = new AbortController();
  const stopped = worker.run(controller.signal, remember);
  await pass();
  controller.abort();
  await expect(stopped).rejects.toThrow(AbortError);
  expect(new Set(numbers).size).toBe(2);
  expect(aborted).toEqual(numbers.slice(1));
});

test("the reason of a signal is kept, whether the worker stops or has to be ended", async () => {
  for (const stops of [true, false]) {
    draw = stops
      ? (onAbort) => new Promise((_, reject) => onAbort(reject))
      : () => new Promise(() => undefined);
    const { said } = await stopAmidPicture(new DOMException("late", "TimeoutError"));
    await pass(STOP_MS);
    await pass(STOP_MS);
    expect(said()).toBe("TimeoutError");
  }
});

test("one that does not read its messages is ended in seconds", async () => {
  draw = () => new Promise(() => undefined);
  const { worker, said } = await stopAmidPicture();
  listens = false;
  await pass(ANSWER_MS - 1);
  expect([said(), worker.ended]).toEqual(["", false]);
  await pass(1);
  expect([said(), worker.ended, terminated]).toEqual(["AbortError", true, 1]);
});

test("one that answers has the time that a step takes, and no more", async () => {
  draw = () => new Promise(() => undefined);
  const { worker, said } = await stopAmidPicture();
  await pass(STOP_MS - 1);
  expect([said(), worker.ended]).toEqual(["", false]);
  await pass(1);
  expect([said(), worker.ended, terminated]).toEqual(["AbortError", true, 1]);
});

test("work that is cancelled before it begins does not begin", async () => {
  const worker = await loadedWorker();
  const work = vi.fn(() => Promise.resolve(1));
  await expect(worker.run(AbortSignal.abort(), work)).rejects.toThrow(AbortError);
  expect(work).not.toHaveBeenCalled();
});

test("unloading ends a worker that does not answer, and one that has ended already", async () => {
  for (const answers of [true, false]) {
    listens = true;
    const worker = await loadedWorker();
    listens = answers;
    const unloaded = worker.unload();
    await pass(ANSWER_MS);
    await unloaded;
    expect(worker.ended).toBe(true);
    await worker.unload();
  }
  expect(terminated).toBe(2);
});

test("work of a worker that is unloaded or fails ends, and so does work that comes after", async () => {
  draw = () => new Promise(() => undefined);
  const ways = [
    [(worker: PipelineWorker) => void worker.unload(), UnloadedError],
    [() => workers.at(-1)!.fail("out of luck"), WsdError],
  ] as const;
  for (const [end, ErrorClass] of ways) {
    const worker = await loadedWorker();
    const drawing = worker.run(undefined, generate).catch((error: unknown) => error);
    await pass();
    end(worker);
    await pass();
    expect(await drawing).toBeInstanceOf(ErrorClass);
    await expect(worker.run(undefined, generate)).rejects.toThrow(ErrorClass);
    expect(worker.ended).toBe(true);
  }
});

test("when a worker ends, however it does, so do the requests of the page's fetch", async () => {
  draw = () => new Promise(() => undefined);
  const ways = [
    (worker: PipelineWorker): void => void worker.unload(),
    (worker: PipelineWorker): void => {
      worker.end(new UnloadedError());
    },
    (): void => {
      workers.at(-1)!.fail("out of luck");
    },
  ];
  for (const end of ways) {
    let cancelled = false;
    const body = new ReadableStream({ cancel: () => void (cancelled = true) });
    const worker = await loadedWorker({ fetch: () => Promise.resolve(new Response(body)) });
    await fetchOverPage(pageFetch)("http://a/shard.bin", {});
    end(worker);
    await pass();
    expect(cancelled).toBe(true);
  }
});

test("what cannot be sent to a worker is an OptionError", async () => {
  const worker = await loadedWorker();
  const call = worker.run(undefined, (remote, call) =>
    remote.generate(
      call,
      { ...toyRequest("a cat"), onStep: () => "SECRET" } as GenerationRequest,
      Comlink.proxy(() => undefined),
    ),
  );
  const error = await call.catch((error: unknown) => error);
  expect(error).toBeInstanceOf(OptionError);
  // The browser quotes the text of the function.
  expect(inspect(error, { depth: 9 })).not.toContain("SECRET");
  expect((error as OptionError).hint).not.toBe("");
});

test.each<[string, () => string, string]>([
  ["of another version", () => "0.0.9", "the worker runs version 0.0.9"],
  ["of other sources", () => `${BUILD}+0`, `the worker runs version ${BUILD}+0`],
  [
    "that does not say its version",
    () => {
      throw new TypeError("no function");
    },
    "unknown",
  ],
])("a worker %s is refused", async (_, says, said) => {
  // prettier-ignore
  version = says;
  const failure = loadedWorker();
  await expect(failure).rejects.toThrow(said);
  await expect(failure).rejects.toMatchObject({
    name: "UnsupportedError",
    hint: expect.stringContaining("copy dist/worker.js") as string,
  });
  expect(terminated).toBe(1);
});
