import { expect, test } from "vitest";

import { readText, writeText } from "../../src/api/png";
import type { Settings } from "../../src/api/settings";
import { formatSettings, parseSettings } from "../../src/api/settings";

const settings: Settings = {
  prompt: "a red circle, très grand 🔴\nsecond line: with, commas",
  negativePrompt: "blue: square",
  steps: 20,
  scheduler: "dpmpp_2m_karras",
  guidanceScale: 7.5,
  seed: 4294967295,
  width: 128,
  height: 192,
  model: "tiny-sd15",
  eta: 0.5,
};

// The smallest PNG there is: one grey pixel.
const png = Uint8Array.from(
  atob(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCBd81ytgAAAABJRU5ErkJggg==",
  ),
  (char) => char.charCodeAt(0),
);

test("settings survive their text", () => {
  expect(parseSettings(formatSettings(settings))).toEqual(settings);
  const plain = { ...settings, scheduler: "euler_a" };
  // SDXL draws something else for an empty negative prompt than for none.
  for (const negativePrompt of [undefined, ""]) {
    const negated = { ...plain, negativePrompt };
    expect(parseSettings(formatSettings(negated))).toStrictEqual(negated);
  }
});

test("another program's text gives what there is", () => {
  const text =
    "a cat\nNegative prompt: dog\nSteps: 30, Sampler: Euler a, CFG scale: 4, Clip skip: 2";
  expect(parseSettings(text)).toEqual({
    prompt: "a cat",
    negativePrompt: "dog",
    steps: 30,
    scheduler: "euler_a",
    guidanceScale: 4,
  });
  expect(parseSettings("just words")).toEqual({ prompt: "just words" });
  expect(parseSettings("x\nSteps: 1, Sampler: Unheard of, Seed: many")).toEqual({
    prompt: "x",
    steps: 1,
  });
});

test("a text survives its PNG", () => {
  const text = formatSettings(settings);
  const written = writeText(png, text);
  expect(readText(written)).toBe(text);
  expect(readText(png)).toBeUndefined();
  expect(readText(written.subarray(0, 60))).toBeUndefined();
  expect(readText(new Uint8Array([1, 2, 3]))).toBeUndefined();
});
