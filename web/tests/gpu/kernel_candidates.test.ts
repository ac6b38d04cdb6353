/** What may run in a kernel, what runs unless tuning finds something else, and what has room. */

import { beforeEach, describe, expect, test, vi } from "vitest";

import type { VariantChoice } from "../../src/api/tuning";
import {
  allowsWritten,
  findChoices,
  hasScratchFor,
  standardChoice,
  variantOf,
} from "../../src/gpu/kernel_candidates";
import type { KernelTable, Variant } from "../../src/gpu/kernel_table";
import type { KernelChoice, Preferences, Selection } from "../../src/gpu/kernel_variants";
import { GENERATED_CHOICE } from "../../src/gpu/kernel_variants";
import { describeGpu, readRules } from "../../src/gpu/selection_rules";

interface Selected {
  table: KernelTable;
  selection: Selection;
}

/** A GPU with so many bytes left; it says what it was asked for. */
function gpuWith(room: number): { device: GPUDevice; sizes: number[]; held: () => number } {
  const [scopes, sizes]: [boolean[], number[]] = [[], []];
  let held = 0;
  const device = {
    pushErrorScope: () => scopes.push(false),
    popErrorScope: () => Promise.resolve(scopes.pop() === true ? { message: "no room" } : null),
    createBuffer: ({ size }: GPUBufferDescriptor) => {
      sizes.push(size);
      const fits = held + size <= room;
      if (fits) held += size;
      else scopes[scopes.length - 1] = true;
      return { size, destroy: () => (held -= fits ? size : 0) };
    },
  };
  return { device: device as unknown as GPUDevice, sizes, held: () => held };
}

function variantWith(...scratch_bytes: number[]): Variant {
  return { scratch_bytes } as Partial<Variant> as Variant;
}

beforeEach(() => {
  vi.stubGlobal("GPUBufferUsage", { STORAGE: 128 });
});

test.each([
  // what is held already, what the variant needs, what is tried, whether there is room
  [[], [], [], true],
  [[], [60, 40], [60, 40], true],
  [[], [60, 41], [60, 41], false],
  [[60], [60, 100], [100], true],
  [[60, 100], [50, 100], [], true],
  [[60], [101], [101], false],
])("scratch %j has room for %j", async (before, needed, tried, fits) => {
  const { device, sizes, held } = gpuWith(100);
  const scratch = before.map((size) => ({ size }) as GPUBuffer);
  expect(await hasScratchFor({ context: { device }, scratch }, variantWith(...needed))).toBe(fits);
  expect([sizes, held()]).toEqual([tried, 0]);
});

function variant(name: string, problem: string, classes: string[] = []): Variant {
  return {
    ...{ name, problem, features: [], threads: 64, shared_bytes: 0, scratch_bytes: [] },
    ...{ subgroup_matrix: null, subgroup_size: null, operations: 1, launches: [] },
    adapter_classes: classes,
  };
}

const tiled = variant("gemm_tiled_f32", "gemm");
const tuned = variant("tuned", "generated", ["google swiftshader"]);
const LIMITS = {
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
};

/** How variants are selected on an adapter of a vendor. */
function selectOf(
  vendor: "google" | "nvidia",
  standard?: Preferences,
  choice: KernelChoice = "auto",
): Selected {
  const architecture = vendor === "google" ? "swiftshader" : "hopper";
  const description = vendor === "google" ? "SwiftShader driver" : "NVIDIA H200";
  const gpu = describeGpu({
    features: [],
    limits: LIMITS,
    info: { vendor, architecture, description },
  });
  const { kernels: rules } = readRules({});
  const table = { heads: [], bodies: [], bytes: {}, kernels: { gemm: [tiled, tiled, tuned] } };
  return { table, selection: { gpu, rules, choice, standard } };
}

test("on an adapter that computes on the processor no written variant may run", () => {
  expect(allowsWritten(selectOf("google"))).toBe(false);
  expect(findChoices(selectOf("google"), "gemm")).toEqual([{ variant: "tuned", index: 0 }]);
  expect(allowsWritten(selectOf("nvidia"))).toBe(true);
});

test("what the bundle says runs unless something else is found, but where kernels were named", () => {
  const second = { variant: "gemm_tiled_f32", index: 1 };
  const known = new Map([["gemm", second]]);
  const first = { variant: "gemm_tiled_f32", index: 0 };
  expect(standardChoice(selectOf("nvidia"), "gemm")).toEqual(first);
  expect(standardChoice(selectOf("nvidia", known), "gemm")).toEqual(second);
  expect(standardChoice(selectOf("nvidia", known, new Set([tiled.name])), "gemm")).toEqual(first);
  expect(standardChoice(selectOf("nvidia", known), "other").variant).toBe("generated");
});

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
