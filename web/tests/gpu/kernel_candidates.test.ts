/** What may run in a kernel, what runs unless tuning finds something else, and what has room. */

import { beforeEach, expect, test, vi } from "vitest";

import {
  allowsWritten,
  findChoices,
  hasScratchFor,
  standardChoice,
} from "../../src/gpu/kernel_candidates";
import type { KernelLauncher } from "../../src/gpu/kernel_launcher";
import type { Variant } from "../../src/gpu/kernel_table";
import type { Preferences, Selection } from "../../src/gpu/kernel_variants";
import { describeGpu, readRules } from "../../src/gpu/selection_rules";

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

/** A launcher on an adapter of a vendor; nothing is launched. */
function launcher(
  vendor: "google" | "nvidia",
  standard?: Preferences,
  choice: Selection["choice"] = "auto",
): KernelLauncher {
  const architecture = vendor === "google" ? "swiftshader" : "hopper";
  const description = vendor === "google" ? "SwiftShader driver" : "NVIDIA H200";
  const gpu = describeGpu({
    features: [],
    limits: LIMITS,
    info: { vendor, architecture, description },
  });
  const { kernels: rules } = readRules({});
  const table = { heads: [], bodies: [], bytes: {}, kernels: { gemm: [tiled, tiled, tuned] } };
  return { table, selection: { gpu, rules, choice, standard } } as unknown as KernelLauncher;
}

test("on an adapter that computes on the processor no written variant may run", () => {
  expect(allowsWritten(launcher("google"))).toBe(false);
  expect(findChoices(launcher("google"), "gemm")).toEqual([{ variant: "tuned", index: 0 }]);
  expect(allowsWritten(launcher("nvidia"))).toBe(true);
});

test("what the bundle says runs unless something else is found, but where kernels were named", () => {
  const second = { variant: "gemm_tiled_f32", index: 1 };
  const known = new Map([["gemm", second]]);
  const first = { variant: "gemm_tiled_f32", index: 0 };
  expect(standardChoice(launcher("nvidia"), "gemm")).toEqual(first);
  expect(standardChoice(launcher("nvidia", known), "gemm")).toEqual(second);
  expect(standardChoice(launcher("nvidia", known, new Set([tiled.name])), "gemm")).toEqual(first);
  expect(standardChoice(launcher("nvidia", known), "other").variant).toBe("generated");
});
