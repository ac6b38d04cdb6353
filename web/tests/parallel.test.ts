import { expect, test } from "vitest";

import { inOrder } from "../src/parallel";

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
  for await (const result of inOrder([1, 2, 3, 4, 5, 6, 7], 3, work)) found.push(result);
  expect(found).toEqual([1, 4, 9, 16, 25, 36, 49]);
  expect(most).toBe(3);
});

test("the first failure is the one that is told", async () => {
  const work = (item: number): Promise<number> =>
    item < 2 ? Promise.resolve(item) : Promise.reject(new Error(`failed at ${item}`));
  const found: number[] = [];
  await expect(async () => {
    for await (const result of inOrder([0, 1, 2, 3], 4, work)) found.push(result);
  }).rejects.toThrow("failed at 2");
  expect(found).toEqual([0, 1]);
});
