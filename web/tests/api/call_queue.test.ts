/** Calls of one pipeline in their order, each cancelled by its own signal and by nothing else. */

import { expect, test } from "vitest";

import { CallQueue } from "../../src/api/call_queue";
import { AbortError, BusyError, UnloadedError } from "../../src/util/errors";

/** Work that a test ends, as a worker that draws. */
class Work {
  begun = false;
  signal: AbortSignal | undefined;
  end: (value: string) => void = () => undefined;
  fail: (error: Error) => void = () => undefined;

  readonly run = (signal: AbortSignal): Promise<string> => {
    this.begun = true;
    this.signal = signal;
    return new Promise((resolve, reject) => ([this.end, this.fail] = [resolve, reject]));
  };
}

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

/** Begin calls at the same time; each has a signal of its own. */
function begin(queue: CallQueue, count: number) {
  return Array.from({ length: count }, () => {
    const [work, controller] = [new Work(), new AbortController()];
    const call = {
      work,
      abort: (reason?: unknown) => controller.abort(reason),
      result: queue.run(controller.signal, work.run),
      said: "waiting",
    };
    call.result.then(
      (value) => (call.said = value),
      (error: unknown) => (call.said = error instanceof Error ? error.name : String(error)),
    );
    return call;
  });
}
const sayings = (calls: { said: string }[]): string[] => calls.map(({ said }) => said);
const begun = (calls: { work: Work }[]): boolean[] => calls.map(({ work }) => work.begun);

test("calls run one after another in their order, whether they succeed or fail", async () => {
  const calls = begin(new CallQueue("queue"), 3);
  const [one, two, three] = calls as [(typeof calls)[0], (typeof calls)[0], (typeof calls)[0]];
  await turn();
  expect(begun(calls)).toEqual([true, false, false]);
  one.work.end("first");
  await turn();
  expect(begun(calls)).toEqual([true, true, false]);
  two.work.fail(new RangeError("no"));
  await turn();
  three.work.end("third");
  await turn();
  expect(sayings(calls)).toEqual(["first", "RangeError", "third"]);
});

test("a signal that is aborted before the call lets no work begin, and keeps others waiting for nobody", async () => {
  const queue = new CallQueue("queue");
  const work = new Work();
  await expect(queue.run(AbortSignal.abort(), work.run)).rejects.toThrow(AbortError);
  expect(work.begun).toBe(false);
  const [after] = begin(queue, 1);
  await turn();
  expect(after!.work.begun).toBe(true);
});

test("a waiting call that is cancelled rejects at once, and the others go on", async () => {
  const calls = begin(new CallQueue("queue"), 3);
  await turn();
  calls[1]!.abort();
  await turn();
  expect(sayings(calls)).toEqual(["waiting", "AbortError", "waiting"]);
  expect(calls[0]!.work.signal!.aborted).toBe(false);
  calls[0]!.work.end("first");
  await turn();
  calls[2]!.work.end("third");
  await turn();
  expect(begun(calls)).toEqual([true, false, true]);
  expect(sayings(calls)).toEqual(["first", "AbortError", "third"]);
});

test("a running call that is cancelled rejects at once; the next one begins when it has stopped", async () => {
  const calls = begin(new CallQueue("queue"), 2);
  await turn();
  calls[0]!.abort();
  await turn();
  expect(sayings(calls)).toEqual(["AbortError", "waiting"]);
  expect(calls[0]!.work.signal!.aborted).toBe(true);
  expect(begun(calls)).toEqual([true, false]);
  calls[0]!.work.fail(new AbortError());
  await turn();
  expect(begun(calls)).toEqual([true, true]);
  expect(calls[1]!.work.signal!.aborted).toBe(false);
});

test("one signal of several calls cancels them all, and those alone", async () => {
  const queue = new CallQueue("queue");
  const shared = new AbortController();
  const works = [new Work(), new Work()];
  const both = works.map((work) => queue.run(shared.signal, work.run));
  const [third] = begin(queue, 1);
  await turn();
  shared.abort();
  for (const result of both) await expect(result).rejects.toThrow(AbortError);
  works[0]!.fail(new AbortError());
  await turn();
  expect([works[1]!.begun, third!.work.begun]).toEqual([false, true]);
});

test("the reason of a signal is kept, whatever it is", async () => {
  const reasons = [
    new RangeError("mine"),
    "a text",
    null,
    new DOMException("late", "TimeoutError"),
  ];
  for (const reason of reasons) {
    const [call] = begin(new CallQueue("queue"), 1);
    call!.abort(reason);
    expect(await call!.result.catch((error: unknown) => error)).toBe(reason);
    const before = new CallQueue("queue").run(AbortSignal.abort(reason), new Work().run);
    expect(await before.catch((error: unknown) => error)).toBe(reason);
  }
  const late = new CallQueue("queue").run(AbortSignal.timeout(1), new Work().run);
  await expect(late).rejects.toMatchObject({ name: "TimeoutError" });
});

test("where calls are refused, the one under way is not disturbed and can be cancelled", async () => {
  const queue = new CallQueue("refuse");
  const [first] = begin(queue, 1);
  const [refused] = begin(queue, 1);
  await expect(refused!.result).rejects.toThrow(BusyError);
  expect(refused!.work.begun).toBe(false);
  first!.abort();
  await expect(first!.result).rejects.toThrow(AbortError);
  expect(first!.work.signal!.aborted).toBe(true);
  // The next one is not refused for a call that has been cancelled; it waits until that stops.
  const [next] = begin(queue, 1);
  await turn();
  expect([next!.said, next!.work.begun]).toEqual(["waiting", false]);
  first!.work.fail(new AbortError());
  await turn();
  next!.work.end("drawn");
  expect(await next!.result).toBe("drawn");
  const [last] = begin(queue, 1);
  await turn();
  expect(last!.work.begun).toBe(true);
});

test("closing rejects what runs and what waits, whatever was cancelled before", async () => {
  const queue = new CallQueue("queue");
  const calls = begin(queue, 4);
  await turn();
  calls[0]!.abort(new RangeError("mine"));
  calls[2]!.abort();
  const reason = new AbortError("closed", "open it");
  queue.close(reason);
  queue.close(new AbortError("again", "no"));
  await turn();
  expect(sayings(calls)).toEqual(["RangeError", "AbortError", "AbortError", "AbortError"]);
  for (const index of [1, 3]) {
    expect(await calls[index]!.result.catch((error: unknown) => error)).toBe(reason);
  }
  calls[0]!.work.end("too late");
  await turn();
  expect(begun(calls)).toEqual([true, false, false, false]);
  const work = new Work();
  await expect(queue.run(undefined, work.run)).rejects.toThrow(UnloadedError);
  await expect(queue.run(AbortSignal.abort(), work.run)).rejects.toThrow(UnloadedError);
  expect(work.begun).toBe(false);
});
