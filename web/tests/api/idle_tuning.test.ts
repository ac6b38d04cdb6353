/** When slices of tuning run, with a clock that the test moves. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { IdleTuning, PAUSE_MS, QUIET_MS } from "../../src/api/idle_tuning";
import { AbortError } from "../../src/util/errors";

/** A slice that runs, and what ends it. */
interface Slice {
  signal: AbortSignal;
  finish: (complete: boolean) => void;
  fail: (error: Error) => void;
}

let slices: Slice[] = [];

beforeEach(() => {
  slices = [];
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** One that a call cancels ends when the test ends it, as a kernel does that runs. */
function tuning(enabled = true): IdleTuning {
  const slice = (signal: AbortSignal): Promise<boolean> =>
    new Promise((finish, fail) => slices.push({ signal, finish, fail }));
  const made = new IdleTuning(slice, enabled);
  made.armed = true;
  return made;
}

/** A call that begins and ends at once, as counting what the pipeline holds. */
function call(idle: IdleTuning): void {
  void idle.begin();
  idle.end();
}

const wait = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);

/** One whose first slice runs. */
async function firstSlice(): Promise<IdleTuning> {
  const idle = tuning();
  call(idle);
  await wait(QUIET_MS);
  return idle;
}

test("slices run one after another with pauses, until nothing is left to do", async () => {
  const idle = tuning();
  call(idle);
  await wait(QUIET_MS - 1);
  expect(slices).toHaveLength(0);
  await wait(1);
  expect(slices).toHaveLength(1);
  // A long one is not joined by another.
  await wait(100_000);
  expect(slices).toHaveLength(1);
  slices[0]!.finish(false);
  await wait(PAUSE_MS - 1);
  expect(slices).toHaveLength(1);
  await wait(1);
  slices[1]!.finish(true);
  await wait(100_000);
  expect(slices).toHaveLength(2);
  // A later call may have compiled more.
  call(idle);
  await wait(QUIET_MS);
  expect(slices).toHaveLength(3);
});

test("nothing runs before the first picture, and nothing where it is off", async () => {
  const early = tuning();
  early.armed = false;
  call(early);
  const off = tuning(false);
  call(off);
  await wait(100_000);
  expect(slices).toHaveLength(0);
  early.armed = true;
  call(early);
  await wait(QUIET_MS);
  expect(slices).toHaveLength(1);
});

test("a call cancels the slice at once, waits for its end, and tuning goes on after the call", async () => {
  const idle = await firstSlice();
  const [slice] = slices;
  let drawn = false;
  const stopped = idle.begin().then(() => (drawn = true));
  expect(slice!.signal.aborted).toBe(true);
  await wait(50);
  expect(drawn).toBe(false);
  slice!.fail(new AbortError());
  await stopped;
  expect(drawn).toBe(true);
  // While a picture is drawn nothing begins, and neither while another call waits.
  void idle.begin();
  idle.end();
  await wait(100_000);
  expect(slices).toHaveLength(1);
  idle.end();
  await wait(QUIET_MS);
  expect(slices).toHaveLength(2);
  expect(slices[1]!.signal.aborted).toBe(false);
});

test("a call in a pause, or in the quiet time, begins the quiet time anew", async () => {
  const idle = await firstSlice();
  slices[0]!.finish(false);
  await wait(PAUSE_MS - 1);
  call(idle);
  await wait(QUIET_MS - 1);
  call(idle);
  await wait(QUIET_MS - 1);
  expect(slices).toHaveLength(1);
  await wait(1);
  expect(slices).toHaveLength(2);
});

test("a slice waits until the page is idle, and until somebody sees it", async () => {
  const waiting: (() => void)[] = [];
  vi.stubGlobal("requestIdleCallback", (callback: () => void) => waiting.push(callback));
  const page = { hidden: true };
  vi.stubGlobal("document", page);
  const idle = tuning();
  call(idle);
  await wait(100_000);
  expect(slices).toHaveLength(0);
  waiting.shift()!();
  expect(slices).toHaveLength(0);
  page.hidden = false;
  await wait(QUIET_MS);
  // A call that came before the page was idle.
  call(idle);
  waiting.shift()!();
  expect(slices).toHaveLength(0);
  await wait(QUIET_MS);
  waiting.shift()!();
  await wait(0);
  expect(slices).toHaveLength(1);
  expect(waiting).toHaveLength(0);
});

test("what fails is not tried again, unless somebody asks for it", async () => {
  const idle = await firstSlice();
  slices[0]!.fail(new Error("the GPU has no room"));
  await wait(100_000);
  call(idle);
  await wait(100_000);
  expect(slices).toHaveLength(1);
  idle.enabled = true;
  await wait(PAUSE_MS);
  expect(slices).toHaveLength(2);
});

test("it can be turned off while a slice runs, and on again", async () => {
  const idle = await firstSlice();
  idle.enabled = false;
  expect(slices[0]!.signal.aborted).toBe(true);
  slices[0]!.fail(new AbortError());
  call(idle);
  await wait(100_000);
  expect(slices).toHaveLength(1);
  idle.enabled = true;
  await wait(PAUSE_MS);
  expect(slices).toHaveLength(2);
});

test("turned off and on again while a slice ends, the next one waits for that", async () => {
  const idle = await firstSlice();
  idle.enabled = false;
  idle.enabled = true;
  await wait(100_000);
  expect(slices).toHaveLength(1);
  slices[0]!.fail(new AbortError());
  await wait(PAUSE_MS);
  expect(slices).toHaveLength(2);
});
