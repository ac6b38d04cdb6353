import { expect, test } from "vitest";

import { readChoices } from "../../src/bundle/kernel_choices";

const CHOICES = { gemm: { variant: "gemm_tiled_f32", index: 1 } };
const FILE = {
  version: 1,
  tables: [
    { adapter_class: "apple common-3", adapter: {}, choices: {} },
    {
      adapter_class: "nvidia hopper",
      adapter: { features: "shader-f16 subgroups" },
      choices: CHOICES,
    },
  ],
};

test("the table of the adapter's class is found", () => {
  const read = (...classes: string[]) => readChoices(JSON.stringify(FILE), classes, "");
  expect(read("nvidia hopper")).toEqual(CHOICES);
  expect(read("apple common-3")).toEqual({});
  expect(read("intel xe")).toBeUndefined();
  // A browser may hide which GPU it is.
  expect(read()).toBeUndefined();
});

test("a file of a newer version is passed over", () => {
  expect(
    readChoices(JSON.stringify({ ...FILE, version: 2 }), ["nvidia hopper"], ""),
  ).toBeUndefined();
});

test.each([
  ["nvidia hopper", "", true],
  ["nvidia hopper", "shader-f16", true],
  ["nvidia hopper", "shader-f16 subgroups", true],
  ["nvidia hopper", "shader-f16 subgroups chromium-experimental-subgroup-matrix", false],
  ["apple common-3", "shader-f16", false],
])("a table of %s on an adapter with the features '%s' is taken: %s", (name, features, taken) => {
  const found = readChoices(JSON.stringify(FILE), [name], features);
  expect(found !== undefined).toBe(taken);
});
