import { expect, test } from "vitest";

import type { Abilities, KernelChoice, Variant } from "../../src/gpu/kernel_variants";
import { chooseVariant } from "../../src/gpu/kernel_variants";

const tiled: Variant = {
  features: [],
  threads: 128,
  shared_bytes: 18432,
  matrix: null,
  lanes: null,
  scratch_bytes: 0,
  operations: 1,
  launches: [],
};
const small = { ...tiled, shared_bytes: 10240 };
const matrix: Variant = {
  ...tiled,
  features: ["shader-f16"],
  matrix: [16, 16, 16],
  lanes: [32, 32],
};
const halves = { ...tiled, features: ["shader-f16"] };
const shuffled: Variant = { ...tiled, features: ["subgroups"], lanes: [1, 64] };
const table = { bodies: [], kernels: { k: [matrix, halves, tiled, small] }, bytes: {} };
const unit = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

function gpu(changes: Partial<Abilities["info"]> = {}, shared = 32768, f16 = true): Abilities {
  return {
    features: new Set(f16 ? ["shader-f16", "subgroups"] : ["subgroups"]),
    limits: {
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupStorageSize: shared,
    },
    info: { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [unit], ...changes },
  };
}

test.each<[string, Abilities, KernelChoice, Variant | undefined]>([
  ["everything", gpu(), "auto", matrix],
  ["no matrix units", gpu({ subgroupMatrixConfigs: [] }), "auto", halves],
  ["units of another kind", gpu({ subgroupMatrixConfigs: [{ ...unit, M: 8 }] }), "auto", halves],
  ["subgroups of several sizes", gpu({ subgroupMinSize: 16 }), "auto", halves],
  ["no halves", gpu({}, 32768, false), "auto", tiled],
  ["the least shared memory", gpu({}, 16384), "auto", small],
  ["no matrix units wanted", gpu(), "halves", halves],
  ["no halves wanted", gpu(), "tiled", tiled],
  ["subgroups and no halves wanted", gpu(), "subgroups", tiled],
  ["halves wanted where there are none", gpu({}, 32768, false), "halves", tiled],
  ["generated kernels wanted", gpu(), "generated", undefined],
  ["no GPU", gpu({ isFallbackAdapter: true }), "auto", undefined],
  ["a processor by name", gpu({ description: "SwiftShader driver" }), "auto", undefined],
  ["a processor, insisted", gpu({ isFallbackAdapter: true }), "tiled", tiled],
])("with %s", (_, abilities, choice, expected) => {
  expect(chooseVariant(table, "k", abilities, choice)).toBe(expected);
});

test.each<[string, Abilities, KernelChoice, Variant]>([
  ["subgroups", gpu(), "auto", shuffled],
  ["subgroups wanted", gpu(), "subgroups", shuffled],
  ["subgroups that are too large", gpu({ subgroupMaxSize: 128 }), "auto", tiled],
  ["no features wanted", gpu(), "tiled", tiled],
  ["no subgroups", { ...gpu(), features: new Set() }, "auto", tiled],
])("sums with %s", (_, abilities, choice, expected) => {
  const sums = { bodies: [], kernels: { k: [shuffled, tiled] }, bytes: {} };
  expect(chooseVariant(sums, "k", abilities, choice)).toBe(expected);
});

test("kernels without variants, and bundles without any", () => {
  expect(chooseVariant(table, "other", gpu())).toBeUndefined();
  expect(chooseVariant(undefined, "k", gpu())).toBeUndefined();
});
