import { expect, test } from "vitest";

import type { Manifest } from "../../src/bundle/manifest";
import { rescaleFactor } from "../../src/pipeline/guidance";
import { makeTimeIds, resolveConditions } from "../../src/pipeline/size_conditions";
import { OptionError } from "../../src/util/errors";

const xl = {
  model: { name: "xl" },
  entry_points: [{ inputs: [{ name: "latents" }, { name: "time_ids" }] }],
} as unknown as Manifest;
const plain = { model: { name: "sd" }, entry_points: [{ inputs: [] }] } as unknown as Manifest;

test("without conditions, the drawn size is told with the prompt and without it", () => {
  expect(resolveConditions(plain, {}, false)).toBeUndefined();
  const { positive, negative } = makeTimeIds({}, [768, 512], false);
  expect([...positive]).toEqual([512, 768, 0, 0, 512, 768]);
  expect(negative).toBeUndefined();
});

test("conditions are told heights first, and the negative ones together", () => {
  const given = {
    originalSize: [1, 2],
    cropTopLeft: [3, 4],
    negativeOriginalSize: [5, 6],
    negativeTargetSize: [7, 8],
  } as const;
  const conditions = resolveConditions(xl, given, false)!;
  expect(conditions).toEqual(given);
  expect(conditions.originalSize).not.toBe(given.originalSize);
  const ids = makeTimeIds(conditions, [768, 512], false);
  expect([...ids.positive]).toEqual([2, 1, 3, 4, 512, 768]);
  expect([...ids.negative!]).toEqual([6, 5, 0, 0, 8, 7]);
  // With a picture diffusers takes the prompt's crop, and each size by itself.
  const drawnFrom = makeTimeIds(
    { cropTopLeft: [3, 4], negativeOriginalSize: [5, 6] },
    [8, 8],
    true,
  );
  expect([...drawnFrom.negative!]).toEqual([6, 5, 3, 4, 8, 8]);
  expect(makeTimeIds({ cropTopLeft: [3, 4] }, [8, 8], true).negative).toBeUndefined();
});

test.each([
  [plain, { originalSize: [1, 1] }, false, "sd takes no originalSize"],
  [xl, { negativeOriginalSize: [1, 1] }, false, "without both"],
  [xl, { negativeCropTopLeft: [1, 1] }, false, "without both"],
  [xl, { negativeCropTopLeft: [1, 1] }, true, "and a picture to draw from"],
] as const)("what diffusers would ignore is refused: %#", (manifest, given, picture, message) => {
  expect(() => resolveConditions(manifest, given, picture)).toThrow(OptionError);
  expect(() => resolveConditions(manifest, given, picture)).toThrow(message);
});

test("a rescaled prediction has the deviation of the prompt's", () => {
  const prompted = Float32Array.of(1, -1, 1, -1);
  const guided = Float32Array.of(5, 1, 5, 1);
  expect(rescaleFactor(prompted, guided, 0)).toBe(1);
  expect(rescaleFactor(prompted, guided, 1)).toBeCloseTo(0.5, 12);
  expect(rescaleFactor(prompted, guided, 0.5)).toBeCloseTo(0.75, 12);
});
