/** Several pieces of work at once. */

/** Do work on items, so many at a time, and yield the results in the items' order. */
export async function* inOrder<Item, Result>(
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
