/**
 * Asynchronous work on several items at once, and waiting for it. It is written by hand: the page
 * needs four short functions, of which a library (p-map) has two.
 */

import { abortReason } from "./errors";

/**
 * Work on items, at most `width` at a time, and yield the results in the items' order.
 *
 * @param work gets a signal that is aborted once nobody waits for results any more: after a failure,
 *   or when who reads them stops.
 */
export async function* mapInOrder<Item, Result>(
  items: Iterable<Item>,
  width: number,
  work: (item: Item, ended: AbortSignal) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  const end = new AbortController();
  try {
    for (const item of items) {
      if (running.length >= width) yield await running.shift()!;
      const started = work(item, end.signal);
      // Its failure is thrown where it is awaited, unless an earlier one failed before.
      started.catch(() => undefined);
      running.push(started);
    }
    while (running.length > 0) yield await running.shift()!;
  } finally {
    end.abort();
  }
}

/** Work on items, at most `width` at a time; the first failure is thrown. */
export async function forEachConcurrently<Item>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const takeItems = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: width }, takeItems));
}

/** Do several kinds of work at once; the first that fails aborts the signal of the others. */
export async function runTogether(
  works: ((signal: AbortSignal) => Promise<void>)[],
  signal?: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  try {
    await Promise.all(works.map((work) => work(either)));
  } catch (error) {
    failed.abort();
    throw error;
  }
}

/**
 * Wait for work, but no longer than until a signal is aborted. The work itself goes on then.
 *
 * @throws AbortError or the signal's reason if it is aborted first, and what the work throws.
 */
export async function untilAborted<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return work;
  let abort = ignore;
  const aborted = new Promise<void>((resolve) => (abort = resolve)).then((): never => {
    throw abortReason(signal);
  });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function ignore(): void {
  // Only the time at which it is called matters.
}
