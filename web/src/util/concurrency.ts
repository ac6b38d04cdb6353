/** Several pieces of work at once. */

/** Do work on items, so many at a time, and yield the results in the items' order. */
export async function* mapInOrder<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  let next = 0;
  while (next < items.length || running.length > 0) {
    while (running.length < width && next < items.length) {
      const started = work(items[next++]!);
      // Whoever waits for it hears of its failure; nobody may, if an earlier one fails.
      started.catch(() => undefined);
      running.push(started);
    }
    yield await running.shift()!;
  }
}

/** Do work on items, so many at a time, each as soon as there is room for it. */
export async function forEachConcurrently<Item>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const workOff = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: width }, workOff));
}

/** Do several kinds of work beside one another; the first that fails stops the others. */
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
