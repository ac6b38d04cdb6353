import { expect, test } from "vitest";

import { readText, writeText } from "../../src/settings/png";
import type { Settings } from "../../src/settings/infotext";
import { formatSettings, parseInfotext, parseSettings } from "../../src/settings/infotext";

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

test("each picture of a request says which one it is", () => {
  const several = { ...settings, numImages: 4 };
  expect(formatSettings(several, 2)).toMatch(/, Eta DDIM: 0\.5, Picture: 3 of 4$/);
  expect(parseSettings(formatSettings(several, 2))).toEqual(several);
  expect(parseInfotext(formatSettings(several, 2)).picture).toEqual({ number: 3, of: 4 });
  expect(formatSettings(settings)).not.toContain("Picture");
  // Only a number of a picture that there can be.
  for (const text of ["0 of 4", "5 of 4", "of", "1"]) {
    const found = parseInfotext(`x\nSteps: 1, Picture: ${text}`);
    expect([found.picture, found.others]).toEqual([undefined, [["Picture", text]]]);
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
