/** How a worker is stopped: one that listens, one that does not, and one that listens in vain. */

import * as Comlink from "comlink";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { AbortError } from "../../src/api/errors";
import { PipelineWorker } from "../../src/api/pipeline_worker";
import type { WorkerPipeline } from "../../src/worker/worker_pipeline";

/** What the worker of a test does with a picture; it gets what `abort` calls. */
type Draw = (onAbort: (stop: (error: Error) => void) => void) => Promise<string>;

const MINUTE = 60_000;
let draw: Draw;
/** Whether the worker reads its messages. */
let listens = true;
let terminated = 0;

/** A worker in this thread, which need not read its messages. */
class LocalWorker {
  private readonly channel = new MessageChannel();
  constructor() {
    let stop: (error: Error) => void = () => undefined;
    const inner = new MessageChannel();
    Comlink.expose(
      {
        load: () => undefined,
        generate: () => draw((given) => (stop = given)),
        abort: () => stop(new AbortError()),
        unload: () => undefined,
      },
      inner.port1,
    );
    // Messages to the worker go over two channels, so that they can be held up between them.
    this.channel.port2.onmessage = ({ data, ports }) => {
      if (listens) inner.port2.postMessage(data, [...ports]);
    };
    inner.port2.onmessage = ({ data, ports }) => this.channel.port2.postMessage(data, [...ports]);
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
    terminated += 1;
    this.channel.port1.close();
  }
}

beforeEach(() => {
  [listens, terminated] = [true, 0];
  vi.stubGlobal("Worker", LocalWorker);
  vi.stubGlobal("WORKER_URL", "./worker.js");
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

/** Begin a picture, and stop it when the worker has begun. */
async function stopAmidPicture(): Promise<{ worker: PipelineWorker; said: () => string }> {
  const worker = await PipelineWorker.load("http://a/manifest.json", {});
  const controller = new AbortController();
  let said = "";
  const generate = (remote: Comlink.Remote<WorkerPipeline>): Promise<unknown> =>
    remote.generate(
      "a cat",
      {},
      Comlink.proxy(() => undefined),
    );
  worker.run(controller.signal, generate).then(
    () => (said = "drawn"),
    (error: unknown) => (said = (error as Error).name),
  );
  await pass();
  controller.abort();
  return { worker, said: () => said };
}

test("a worker that stops by itself goes on", async () => {
  draw = (onAbort) => new Promise((_, reject) => onAbort(reject));
  const { worker, said } = await stopAmidPicture();
  await pass();
  expect([said(), worker.ended]).toEqual(["AbortError", false]);
  await pass(10 * MINUTE);
  expect(worker.ended).toBe(false);
  draw = () => Promise.resolve("a picture");
  const again = worker.run(undefined, (remote) =>
    remote.generate(
      "a cat",
      {},
      Comlink.proxy(() => undefined),
    ),
  );
  await pass();
  expect(await again).toBe("a picture");
});

test("one that does not read its messages is ended in seconds", async () => {
  draw = () => new Promise(() => undefined);
  const { worker, said } = await stopAmidPicture();
  listens = false;
  await pass(4_000);
  expect([said(), worker.ended]).toEqual(["", false]);
  await pass(2_000);
  expect([said(), worker.ended, terminated]).toEqual(["AbortError", true, 1]);
});

test("one that answers has the time that a step takes, and no more", async () => {
  draw = () => new Promise(() => undefined);
  const { worker, said } = await stopAmidPicture();
  await pass(MINUTE);
  expect([said(), worker.ended]).toEqual(["", false]);
  await pass(2 * MINUTE);
  expect([said(), worker.ended, terminated]).toEqual(["AbortError", true, 1]);
});

test("work that is cancelled before it begins does not begin", async () => {
  const worker = await PipelineWorker.load("http://a/manifest.json", {});
  const work = vi.fn(() => Promise.resolve(1));
  await expect(worker.run(AbortSignal.abort(), work)).rejects.toThrow(AbortError);
  expect(work).not.toHaveBeenCalled();
});

test("unloading ends a worker that does not answer, and one that has ended already", async () => {
  for (const answers of [true, false]) {
    listens = true;
    const worker = await PipelineWorker.load("http://a/manifest.json", {});
    listens = answers;
    const unloaded = worker.unload();
    await pass(6_000);
    await unloaded;
    expect(worker.ended).toBe(true);
    await worker.unload();
  }
  expect(terminated).toBe(2);
});
