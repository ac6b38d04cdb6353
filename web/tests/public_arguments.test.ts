/** Whatever callers in JavaScript give to a public function, they get an answer or a WsdError. */

import { expect, test } from "vitest";

import "./image_data";
import * as api from "../src/index";

const ODD: unknown[] = [
  ...[undefined, null, 0, -1, Number.NaN, 5n, "", "x", "toString", true, Symbol("x")],
  ...[{}, [], [1], { toString: 5 }, () => undefined, new Date(Number.NaN), new Uint16Array(3)],
];

/** Names of the functions that the package exports, and their functions. */
const functions = Object.entries(api).filter(
  ([name, value]) => typeof value === "function" && /^[a-z]/.test(name),
) as [string, (...args: unknown[]) => unknown][];

test("the functions are those of the package", () => {
  expect(functions.length).toBeGreaterThan(15);
});

test.each(functions)("%s", async (_, call) => {
  for (const [index, first] of ODD.entries()) {
    for (const [place, second] of ODD.entries()) {
      try {
        await call(first, second, second);
      } catch (error) {
        expect(error, `values ${index} and ${place} of the list`).toBeInstanceOf(api.WsdError);
        expect((error as api.WsdError).hint).not.toBe("");
      }
    }
  }
});

test("fromPretrained refuses what it cannot take", async () => {
  for (const first of ODD) {
    for (const second of ODD) {
      const call = api.StableDiffusionPipeline.fromPretrained(first as string, second as object);
      await expect(call).rejects.toThrow(api.WsdError);
    }
  }
});
