import { expect, test } from "vitest";

import {
  forEachConcurrently,
  mapInOrder,
  runTogether,
  untilAborted,
} from "../../src/util/concurrency";

const after = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

test("results come in order, so many at a time", async () => {
  let [running, most] = [0, 0];
  const work = async (item: number): Promise<number> => {
    most = Math.max(most, ++running);
    await after(20 - 2 * item);
    running--;
    return item * item;
  };
  const found: number[] = [];
  for await (const result of mapInOrder([1, 2, 3, 4, 5, 6, 7], 3, work)) found.push(result);
  expect(found).toEqual([1, 4, 9, 16, 25, 36, 49]);
  expect(most).toBe(3);
});

test("items are made one by one, as they are worked on", async () => {
  let made = 0;
  function* make(): Generator<number> {
    while (made < 9) yield made++;
  }
  const seen: [number, number][] = [];
  const results = mapInOrder(make(), 2, (item) => Promise.resolve(item));
  for await (const result of results) seen.push([result, made]);
  expect(seen.slice(0, 3)).toEqual([
    [0, 3],
    [1, 4],
    [2, 5],
  ]);
  expect(seen).toHaveLength(9);
});

test("the first failure is the one that is told", async () => {
  const work = (item: number): Promise<number> =>
    item < 2 ? Promise.resolve(item) : Promise.reject(new Error(`failed at ${item}`));
  const found: number[] = [];
  await expect(async () => {
    for await (const result of mapInOrder([0, 1, 2, 3], 4, work)) found.push(result);
  }).rejects.toThrow("failed at 2");
  expect(found).toEqual([0, 1]);
});

test("who reads no further ends the others", async () => {
  const signals: AbortSignal[] = [];
  const work = (item: number, ended: AbortSignal): Promise<number> => {
    signals.push(ended);
    return Promise.resolve(item);
  };
  for await (const found of mapInOrder([0, 1, 2, 3], 3, work)) {
    expect([found, ...signals.map(({ aborted }) => aborted)]).toEqual([0, false, false, false]);
    break;
  }
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]);
});

test("one slow item holds no other up", async () => {
  let [running, most] = [0, 0];
  const done: number[] = [];
  await forEachConcurrently([60, 1, 2, 3, 4], 2, async (milliseconds) => {
    most = Math.max(most, ++running);
    await after(milliseconds);
    running--;
    done.push(milliseconds);
  });
  expect(done).toEqual([1, 2, 3, 4, 60]);
  expect(most).toBe(2);
});

test("a failure stops what is done beside it, and is told at once", async () => {
  let stopped = false;
  const waits = async (signal: AbortSignal): Promise<void> => {
    signal.addEventListener("abort", () => (stopped = true));
    await new Promise(() => undefined);
  };
  const fails = async (): Promise<void> => {
    await after(5);
    throw new Error("no such file");
  };
  await expect(runTogether([waits, fails])).rejects.toThrow("no such file");
  expect(stopped).toBe(true);
});

test("whoever cancels cancels all of it", async () => {
  const controller = new AbortController();
  const seen: string[] = [];
  const work = (name: string) => (signal: AbortSignal) =>
    new Promise<void>((_, reject) =>
      signal.addEventListener("abort", () => {
        seen.push(name);
        reject(new Error(`stopped: ${name}`));
      }),
    );
  const all = runTogether([work("one"), work("two")], controller.signal);
  controller.abort();
  await expect(all).rejects.toThrow("stopped: one");
  expect(seen).toEqual(["one", "two"]);
});

test("waiting ends with the work or with the signal, and the work goes on", async () => {
  const never = new Promise<number>(() => undefined);
  const controller = new AbortController();
  expect(await untilAborted(Promise.resolve(1), undefined)).toBe(1);
  expect(await untilAborted(Promise.resolve(2), controller.signal)).toBe(2);
  await expect(untilAborted(Promise.reject(new Error("x")), controller.signal)).rejects.toThrow(
    "x",
  );
  const waiting = untilAborted(never, controller.signal);
  controller.abort(new RangeError("mine"));
  await expect(waiting).rejects.toThrow("mine");
  await expect(untilAborted(never, controller.signal)).rejects.toThrow("mine");
  // A failure that comes after the caller has gone is not an unhandled one.
  const late = after(5).then(() => Promise.reject(new Error("late")));
  await expect(untilAborted(late, controller.signal)).rejects.toThrow("mine");
  await after(10);
});
