import { expect, test } from "vitest";

import { readChoices } from "../../src/bundle/kernel_choices";

const CHOICES = { gemm: { variant: "gemm_tiled_f32", index: 1 } };
const FILE = {
  version: 1,
  tables: [
    { adapter_class: "apple common-3", choices: {} },
    { adapter_class: "nvidia hopper", choices: CHOICES },
  ],
};

test("the table of the adapter's class is found", () => {
  const read = (...classes: string[]) => readChoices(JSON.stringify(FILE), classes);
  expect(read("nvidia hopper")).toEqual(CHOICES);
  expect(read("apple common-3")).toEqual({});
  expect(read("intel xe")).toBeUndefined();
  // A browser may hide which GPU it is.
  expect(read()).toBeUndefined();
});

test("a file of a newer version is passed over", () => {
  expect(readChoices(JSON.stringify({ ...FILE, version: 2 }), ["nvidia hopper"])).toBeUndefined();
});
