/** Mixed noise where the web UI's formula has no answer; test_given_pictures.py has the rest. */

import { expect, test } from "vitest";

import { mixNoise } from "../../src/pipeline/variation";

test("noise that points the same way, or the other, is mixed along the line", () => {
  // One row, so that each column is a number: two of the same sign, and two of different signs.
  const [noise, other] = [Float32Array.of(1, -2, 3, -1), Float32Array.of(3, -1, -1, 0.5)];
  const mixed = mixNoise(noise, other, [1, 1, 4], 0.25);
  expect([...mixed]).toEqual([1.5, -1.75, 2, -0.625]);
});
