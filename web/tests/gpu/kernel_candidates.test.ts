import { describe, expect, test } from "vitest";

import type { VariantChoice } from "../../src/api/tuning";
import { findChoices, standardChoice, variantOf } from "../../src/gpu/kernel_candidates";
import type { KernelTable, Variant } from "../../src/gpu/kernel_table";
import type { KernelChoice, Selection } from "../../src/gpu/kernel_variants";
import { GENERATED_CHOICE } from "../../src/gpu/kernel_variants";
import { describeGpu, readRules } from "../../src/gpu/selection_rules";

const f32: Variant = {
  ...{ name: "gemm_tiled_f32", problem: "gemm", features: [], threads: 128, shared_bytes: 15360 },
  ...{ subgroup_matrix: null, subgroup_size: null, scratch_bytes: [], operations: 1, launches: [] },
  tile: "128x64x16, 8x8 a thread",
};
const f16: Variant = {
  ...{ ...f32, name: "gemm_tiled_f16", features: ["shader-f16"], shared_bytes: 17408 },
  tile: "64x64x64, 8x4 a thread",
};
const sums: Variant = { ...f32, name: "norm_sums_workgroup", shared_bytes: 1024 };
delete sums.tile;
const [furtherF16, furtherF32] = [f16, f32].map((each) => ({
  ...{ ...each, shared_bytes: 5120, tile: "32x32x16, 4x4 a thread", tuning_only: true },
})) as [Variant, Variant];
const TABLE: KernelTable = {
  ...{ heads: [], bodies: [], bytes: {} },
  kernels: { gemm: [f16, f32, furtherF16, furtherF32], sums: [sums] },
};

interface Selected {
  table: KernelTable;
  selection: Selection;
}

/** How variants are selected on a GPU with or without f16, and with some shared memory. */
function select(hasF16: boolean, sharedBytes: number, choice: KernelChoice = "auto"): Selected {
  const gpu = describeGpu({
    features: hasF16 ? ["shader-f16"] : [],
    limits: {
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupStorageSize: sharedBytes,
    },
    info: {},
  });
  return { table: TABLE, selection: { gpu, rules: readRules({}).kernels, choice } };
}

/** Each choice's variant, and which of its name it is. */
function choices(of: Selected): (Variant | number | undefined)[][] {
  return findChoices(of, "gemm").map((choice) => [variantOf(of, "gemm", choice), choice.index]);
}

describe("what may run in a kernel", () => {
  test("are further tiles of the kind that runs, but not of kinds behind it", () => {
    expect(choices(select(true, 32768))).toStrictEqual([
      [f16, 0],
      [f32, 0],
      [furtherF16, 1],
    ]);
    expect(choices(select(false, 32768))).toStrictEqual([
      [f32, 0],
      [furtherF32, 1],
    ]);
  });

  test("are those of faster kinds too, of which the GPU lacks what the default one needs", () => {
    expect(choices(select(true, 16384))).toStrictEqual([
      [f32, 0],
      [furtherF16, 1],
      [furtherF32, 1],
    ]);
  });

  test("is told with its tile, if it has one", () => {
    const [first] = findChoices(select(true, 32768), "gemm");
    const expected: VariantChoice = { variant: "gemm_tiled_f16", index: 0, tile: f16.tile };
    expect(first).toStrictEqual(expected);
    expect(findChoices(select(true, 32768), "sums")).toStrictEqual([
      { variant: "norm_sums_workgroup", index: 0 },
    ]);
  });
});

describe("what runs without tuning", () => {
  test("is no further tile", () => {
    expect(standardChoice(select(true, 32768), "gemm").variant).toBe("gemm_tiled_f16");
    expect(standardChoice(select(true, 16384), "gemm").variant).toBe("gemm_tiled_f32");
  });

  test("is the generated kernel where only further tiles fit", () => {
    const poor = select(true, 8192);
    expect(choices(poor)).toStrictEqual([
      [furtherF16, 1],
      [furtherF32, 1],
    ]);
    expect(standardChoice(poor, "gemm")).toBe(GENERATED_CHOICE);
    expect(standardChoice(poor, "other")).toBe(GENERATED_CHOICE);
  });
});
