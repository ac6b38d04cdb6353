import { expect, test } from "vitest";

import { supportOptions } from "../../src/app/support_options";

test("the page's address overrides what is selected", () => {
  const search = "?model=m&kernels=generated&dtype=f32&ignoredRules=shared-memory%2Cmodel-limits";
  expect(supportOptions(search)).toEqual({
    kernels: "generated",
    dtype: "f32",
    ignoredRules: "shared-memory,model-limits",
  });
});

test("an address without overrides overrides nothing", () => {
  expect(supportOptions("?model=m")).toEqual({
    kernels: undefined,
    dtype: undefined,
    ignoredRules: undefined,
  });
});
