import { expect, test } from "vitest";

import { mostKeptBytes, UntouchedWeights } from "../../src/gpu/untouched_weights";

const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from(values);

test("what is kept is a copy, and the first one", () => {
  const weights = new UntouchedWeights(100);
  const shard = bytesOf(1, 2, 3, 4);
  weights.keep("unet", 7, shard.subarray(1, 3));
  shard.fill(9);
  weights.keep("unet", 7, bytesOf(5, 5));
  expect(weights.find("unet", 7)).toEqual(bytesOf(2, 3));
  expect(weights.find("unet", 6)).toBeUndefined();
  expect(weights.find("text_encoder", 7)).toBeUndefined();
});

test("no more is kept than the limit, and there is room again for what was forgotten", () => {
  const weights = new UntouchedWeights(4);
  weights.keep("unet", 0, bytesOf(1, 1, 1));
  weights.keep("unet", 1, bytesOf(2, 2));
  weights.keep("unet", 2, bytesOf(3));
  expect([0, 1, 2].map((index) => weights.find("unet", index)?.length)).toEqual([3, undefined, 1]);
  weights.retain("unet", new Set([2]));
  weights.keep("unet", 1, bytesOf(2, 2));
  expect([0, 1, 2].map((index) => weights.find("unet", index)?.length)).toEqual([undefined, 2, 1]);
});

test("a limit of 0 keeps nothing, and other components keep what they have", () => {
  const none = new UntouchedWeights(0);
  none.keep("unet", 0, bytesOf(1));
  expect(none.find("unet", 0)).toBeUndefined();
  const weights = new UntouchedWeights(100);
  weights.keep("unet", 0, bytesOf(1));
  weights.retain("text_encoder", new Set());
  weights.retain("unet", new Set([0]));
  expect(weights.find("unet", 0)).toEqual(bytesOf(1));
});

test("there is room for a record once, and for one that was forgotten", () => {
  const weights = new UntouchedWeights(3);
  weights.reserve("unet", 0, 2)!.fill(7);
  expect(weights.find("unet", 0)).toEqual(bytesOf(7, 7));
  expect(weights.reserve("unet", 0, 2)).toBeUndefined();
  expect(weights.reserve("unet", 1, 2)).toBeUndefined();
  weights.forget("unet", 0);
  weights.forget("unet", 5);
  expect(weights.find("unet", 0)).toBeUndefined();
  expect(weights.reserve("unet", 1, 3)).toHaveLength(3);
});

test("without memory nothing more is kept, and nothing fails", () => {
  const weights = new UntouchedWeights(Number.MAX_SAFE_INTEGER);
  weights.keep("unet", 0, bytesOf(1));
  expect(weights.reserve("unet", 1, Number.MAX_SAFE_INTEGER - 1)).toBeUndefined();
  weights.keep("unet", 2, bytesOf(3));
  expect([0, 1, 2].map((index) => weights.find("unet", index)?.length)).toEqual([
    1,
    undefined,
    undefined,
  ]);
});

test("half of the machine's memory is used, as far as the browser says, and 4 GiB at most", () => {
  const gibibytes = [0.25, 2, 8, 32, undefined].map((memory) => mostKeptBytes(memory) / 2 ** 30);
  expect(gibibytes).toEqual([0.125, 1, 4, 4, 4]);
});
