import { expect, test } from "vitest";

import { nearestName } from "../../src/util/nearest";

const NAMES = ["numInferenceSteps", "guidanceScale", "seed", "scheduler", "eta", "width"];

test.each([
  ["num_inference_steps", "numInferenceSteps"],
  ["numInferenceStep", "numInferenceSteps"],
  ["guidance-scale", "guidanceScale"],
  ["SEED", "seed"],
  ["sceduler", "scheduler"],
  ["with", "width"],
  ["eta", "eta"],
])("%s means %s", (name, meant) => {
  expect(nearestName(name, NAMES)).toBe(meant);
});

test.each(["", "foo", "x", "strength", "toString", "s".repeat(1_000_000)])(
  "%.20s means none of them",
  (name) => {
    expect(nearestName(name, NAMES)).toBeUndefined();
  },
);

test("of no names, none is near", () => {
  expect(nearestName("seed", [])).toBeUndefined();
});
