/** Every rule that decides what runs, the function that evaluates them, and their override. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Condition, Manifest, Rule, SelectionRules } from "../../src/bundle/manifest";
import { drawableSizes } from "../../src/gpu/buffer_limits";
import { findShortcomings } from "../../src/gpu/device";
import type { Variant } from "../../src/gpu/kernel_table";
import { selectVariant } from "../../src/gpu/kernel_variants";
import { findPrecisionRefusal } from "../../src/gpu/precision_choice";
import type { DescribedGpu, Facts } from "../../src/gpu/selection_rules";
import { describeGpu, findRefusal, readRules } from "../../src/gpu/selection_rules";
import { SELECTION_RULES } from "../../src/util/constants.generated";
import { OptionError, UnsupportedError } from "../../src/util/errors";

const CONFIG = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

/** A GPU on which everything runs. */
const GPU: DescribedGpu = {
  features: new Set(["shader-f16", "subgroups"]),
  limits: {
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupStorageSize: 32768,
    maxBufferSize: 1000,
    maxStorageBufferBindingSize: 1000,
  },
  info: { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [CONFIG] },
};
/** The same of a class for which kernels were tuned. */
const HOPPER: DescribedGpu = {
  ...GPU,
  info: { ...GPU.info, vendor: "nvidia", architecture: "hopper" },
};

/** A variant that needs something of each kind, all of which the GPU has. */
const VARIANT: Variant = {
  ...{ name: "gemm_subgroup_matrix", problem: "gemm", features: ["shader-f16"] },
  ...{ threads: 256, shared_bytes: 32768, subgroup_matrix: [16, 16, 16], subgroup_size: [32, 32] },
  ...{ scratch_bytes: [], operations: 10, launches: [] },
};

/** The same with a schedule that was tuned on one class of adapters. */
const TUNED_VARIANT: Variant = { ...VARIANT, adapter_classes: ["nvidia hopper"] };

const TILE = { role: "vae_decoder_tile", size: null, outputs: [{ shape: [1, 3, 8, 8] }] };
const MANIFEST = {
  model: { name: "m", family: "", dtype: "f16" },
  pipeline: "text-to-image",
  requires: { features: ["shader-f16"], limits: { maxBufferSize: 900 } },
  entry_points: [
    { role: "denoiser", size: [16, 8], largest_buffer_bytes: 950 },
    { role: "vae_decoder", size: [16, 8], largest_buffer_bytes: 2000 },
    { ...TILE, largest_buffer_bytes: 500 },
  ],
} as unknown as Manifest;

/** The name of the rule that refuses the variant on a GPU. */
function refusedVariant(gpu: DescribedGpu, named = false, variant = VARIANT): string | undefined {
  const table = { heads: [], bodies: [], kernels: { k: [variant] }, bytes: { k: 5 } };
  const choice = named ? new Set([variant.name]) : "auto";
  const decide = (rules: readonly Rule[]): boolean =>
    selectVariant(table, "k", { gpu: describeGpu(gpu), rules, choice }) === undefined;
  const { kernels } = readRules({});
  // All rules decide as the only one that refuses does.
  const refusing = kernels.filter((rule) => decide([rule])).map(({ name }) => name);
  expect(decide(kernels)).toBe(refusing.length > 0);
  expect(refusing.length).toBeLessThan(2);
  return refusing[0];
}

function refusedPrecision(gpu: DescribedGpu, manifest = MANIFEST): string | undefined {
  return findPrecisionRefusal(manifest, gpu, undefined)?.name;
}

const withInfo = (changes: Partial<DescribedGpu["info"]>): DescribedGpu => {
  return { ...GPU, info: { ...GPU.info, ...changes } };
};
const withLimits = (changes: Record<string, number>): DescribedGpu => {
  return { ...GPU, limits: { ...GPU.limits, ...changes } };
};
const without = (feature: string): DescribedGpu => {
  return { ...GPU, features: [...GPU.features].filter((each) => each !== feature) };
};

/** For each rule a GPU on which it alone refuses a variant. */
const KERNEL_CASES: Record<string, DescribedGpu> = {
  "fallback-adapter": withInfo({ isFallbackAdapter: true }),
  "software-adapter": withInfo({ description: "SwiftShader Device (Subzero)" }),
  "adapter-class": withInfo({ vendor: "nvidia", architecture: "ampere" }),
  "kernel-features": without("shader-f16"),
  "workgroup-threads": withLimits({ maxComputeInvocationsPerWorkgroup: 255 }),
  "shared-memory": withLimits({ maxComputeWorkgroupStorageSize: 32767 }),
  "smallest-subgroup": withInfo({ subgroupMinSize: 31 }),
  "largest-subgroup": withInfo({ subgroupMaxSize: 33 }),
  "subgroup-matrix": withInfo({ subgroupMatrixConfigs: [{ ...CONFIG, K: 8 }] }),
};
const PRECISION_CASES: Record<string, DescribedGpu> = {
  "model-features": without("shader-f16"),
  "model-limits": withLimits({ maxBufferSize: 899, maxStorageBufferBindingSize: 1000 }),
  "buffer-size": withLimits({ maxBufferSize: 949 }),
  "binding-size": withLimits({ maxStorageBufferBindingSize: 949 }),
};

describe("each rule", () => {
  test("has a case", () => {
    const names = (rules: readonly { name: string }[]): string[] => rules.map(({ name }) => name);
    expect(Object.keys(KERNEL_CASES)).toEqual(names(SELECTION_RULES.kernels));
    expect(Object.keys(PRECISION_CASES)).toEqual(names(SELECTION_RULES.precisions));
  });

  test("refuses nothing on a GPU that has everything", () => {
    expect(refusedVariant(GPU)).toBeUndefined();
    expect(refusedVariant(HOPPER, false, TUNED_VARIANT)).toBeUndefined();
    expect(refusedPrecision(GPU)).toBeUndefined();
  });

  test.each(Object.entries(KERNEL_CASES))("of kernels: %s", (name, gpu) => {
    const variant = name === "adapter-class" ? TUNED_VARIANT : VARIANT;
    expect(refusedVariant(gpu, false, variant)).toBe(name);
    // Whoever names variants decides about software adapters too, and about nothing else.
    const ofSoftware = ["fallback-adapter", "software-adapter"].includes(name);
    expect(refusedVariant(gpu, true, variant)).toBe(ofSoftware ? undefined : name);
  });

  test("of software adapters does not refuse what was tuned on one", () => {
    const described = { description: "SwiftShader", vendor: "google", isFallbackAdapter: true };
    const adapter = withInfo({ ...described, architecture: "swiftshader" });
    const tuned = { ...VARIANT, adapter_classes: ["google swiftshader"] };
    expect(refusedVariant(adapter, false, tuned)).toBeUndefined();
    expect(refusedVariant(withInfo(described), false, tuned)).toBe("adapter-class");
  });

  test.each(Object.entries(PRECISION_CASES))("of precisions: %s", (name, gpu) => {
    expect(refusedPrecision(gpu)).toBe(name);
    // What the rule is ignored for is allowed, or refused by a rule behind it.
    const after = findPrecisionRefusal(MANIFEST, gpu, name)?.name;
    expect(after).toBe(name === "model-limits" ? "buffer-size" : undefined);
  });
});

describe("decisions are those of the versions without rules", () => {
  const sizes = fc.constantFrom(0, 8, 16, 32, 64, 128);
  const features = fc.subarray([
    "shader-f16",
    "subgroups",
    "chromium-experimental-subgroup-matrix",
  ]);
  const described = fc.record({
    features,
    limits: fc.record({
      maxComputeInvocationsPerWorkgroup: fc.constantFrom(128, 256, 1024),
      maxComputeWorkgroupStorageSize: fc.constantFrom(16384, 32768),
    }),
    info: fc.record(
      {
        subgroupMinSize: sizes,
        subgroupMaxSize: sizes,
        isFallbackAdapter: fc.boolean(),
        description: fc.constantFrom("", "NVIDIA", "llvmpipe (LLVM 15)", "LavaPipe", "swiftshader"),
        subgroupMatrixConfigs: fc.subarray([CONFIG, { ...CONFIG, M: 8 }]),
      },
      { requiredKeys: [] },
    ),
  });
  const variant = fc.record({
    name: fc.constantFrom("gemm_tiled_f32", "gemm_tiled_f16"),
    features,
    threads: fc.constantFrom(64, 256, 512),
    shared_bytes: fc.constantFrom(0, 16385, 32768),
    subgroup_matrix: fc.constantFrom<Variant["subgroup_matrix"]>(null, [16, 16, 16], [8, 16, 16]),
    subgroup_size: fc.constantFrom<Variant["subgroup_size"]>(null, [32, 32], [4, 64]),
  });

  /** What decided before there were rules. */
  function couldRun(
    one: Omit<Variant, "problem">,
    { features, limits, info }: DescribedGpu,
  ): boolean {
    const [smallest, largest] = one.subgroup_size ?? [0, Infinity];
    const has = new Set(features);
    const least = limits as Record<string, number>;
    return (
      one.features.every((feature) => has.has(feature)) &&
      one.threads <= least.maxComputeInvocationsPerWorkgroup! &&
      one.shared_bytes <= least.maxComputeWorkgroupStorageSize! &&
      (info.subgroupMinSize ?? 0) >= smallest &&
      (info.subgroupMaxSize ?? 0) <= largest &&
      (one.subgroup_matrix === null ||
        [...(info.subgroupMatrixConfigs ?? [])].some(
          ({ M, N, K }) => String([M, N, K]) === String(one.subgroup_matrix),
        ))
    );
  }

  test("of kernel variants", () => {
    const { kernels: rules } = readRules({});
    fc.assert(
      fc.property(
        described,
        fc.array(variant, { maxLength: 4 }),
        fc.boolean(),
        (gpu, made, named) => {
          const variants = made.map((each) => ({ ...VARIANT, ...each }));
          const table = { heads: [], bodies: [], kernels: { k: variants }, bytes: {} };
          const choice = named ? new Set(["gemm_tiled_f32"]) : "auto";
          const software =
            gpu.info.isFallbackAdapter === true ||
            /swiftshader|llvmpipe|lavapipe/i.test(gpu.info.description ?? "");
          const expected =
            !named && software
              ? undefined
              : variants.find(
                  (each) => (!named || each.name === "gemm_tiled_f32") && couldRun(each, gpu),
                );
          const found = selectVariant(table, "k", { gpu: describeGpu(gpu), rules, choice });
          expect(found).toBe(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("of precisions", () => {
    const bytes = fc.constantFrom(1, 2, 3, 4, 5);
    const limits = fc.record({ maxBufferSize: bytes, maxStorageBufferBindingSize: bytes });
    const asked = fc.record({ features, limits: fc.record({ maxBufferSize: bytes }) });
    const buffers = fc.record({ denoiser: bytes, decoder: bytes, tile: bytes });
    const size = fc.constantFrom([8, 8], [16, 8], [8, 4]);
    fc.assert(
      fc.property(features, limits, asked, buffers, size, (has, granted, requires, each, side) => {
        const entry_points = [
          { role: "denoiser", size: side, largest_buffer_bytes: each.denoiser },
          { role: "vae_decoder", size: side, largest_buffer_bytes: each.decoder },
          { ...TILE, largest_buffer_bytes: each.tile },
        ];
        const manifest = { ...MANIFEST, requires, entry_points } as unknown as Manifest;
        const adapter = { features: new Set(has), limits: granted, info: {} };
        const problems = findShortcomings(adapter as unknown as GPUAdapter, requires);
        const drawable = drawableSizes(manifest, granted).length > 0;
        expect(refusedPrecision(adapter, manifest) === undefined).toBe(
          problems.length === 0 && drawable,
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe("conditions", () => {
  const facts: Facts = {
    features: ["a"],
    limits: { maxBufferSize: 10 },
    adapter: { vendor: "Some Vendor", fallback: false },
    problem: { kind: "gemm", operations: 10 },
    candidate: { limits: { maxBufferSize: 11 }, features: ["a", "b"] },
    asked: { named: false },
  };

  test.each<[Condition, boolean]>([
    [{ fact: "problem.kind", test: "is", value: "gemm" }, true],
    [{ fact: "problem.kind", test: "is", value: "attention" }, false],
    [{ fact: "problem.operations", test: "below", value: 11 }, true],
    [{ fact: "problem.operations", test: "below", value: 10 }, false],
    [{ fact: "problem.operations", test: "above", value: 9 }, true],
    [{ fact: "problem.operations", test: "above", value: 10 }, false],
    [{ fact: "limits.maxBufferSize", test: "below", value: 11 }, true],
    [{ fact: "limits", test: "below", other: "candidate.limits" }, true],
    [{ fact: "limits", test: "above", other: "candidate.limits" }, false],
    [{ fact: "features", test: "lacks", other: "candidate.features" }, true],
    [{ fact: "features", test: "lacks", value: ["a"] }, false],
    [{ fact: "adapter.vendor", test: "mentions", value: ["x", "VEND"] }, true],
    [{ fact: "adapter.vendor", test: "mentions", value: ["x"] }, false],
    // What is not known, or is of another type, makes no condition true.
    [{ fact: "adapter.unknown", test: "is", other: "adapter.unknown" }, false],
    [{ fact: "limits.toString", test: "is", other: "limits.toString" }, false],
    [{ fact: "problem.kind", test: "below", value: 1 }, false],
    [{ fact: "problem.kind", test: "lacks", value: ["a"] }, false],
    [{ fact: "problem.operations", test: "mentions", value: ["1"] }, false],
  ])("%j is %s", (condition, expected) => {
    const rule = { name: "r", reason: "why", when: [condition] };
    expect(findRefusal([rule], facts)).toBe(expected ? rule : undefined);
  });

  test("of a rule must all hold, and the first rule whose conditions hold refuses", () => {
    const yes: Condition = { fact: "asked.named", test: "is", value: false };
    const no: Condition = { fact: "asked.named", test: "is", value: true };
    const rules = [
      { name: "one", reason: "", when: [yes, no] },
      { name: "two", reason: "", when: [yes] },
      { name: "three", reason: "", when: [yes] },
    ];
    expect(findRefusal(rules, facts)?.name).toBe("two");
  });
});

describe("a bundle's rules", () => {
  const own: SelectionRules = {
    kernels: [
      {
        name: "no-gemm-here",
        reason: "a driver computes it wrongly",
        when: [
          { fact: "adapter.vendor", test: "is", value: "acme" },
          { fact: "problem.kind", test: "is", value: "gemm" },
        ],
      },
    ],
    precisions: [],
  };

  test("are taken in place of this version's", () => {
    const table = { heads: [], bodies: [], kernels: { k: [VARIANT] }, bytes: {} };
    const decide = (vendor: string, ignored?: string): Variant | undefined => {
      const { kernels: rules } = readRules({ selection: own }, ignored);
      const gpu = describeGpu(withInfo({ vendor, isFallbackAdapter: true }));
      return selectVariant(table, "k", { gpu, rules, choice: "auto" });
    };
    expect(decide("acme")).toBeUndefined();
    expect(decide("other")).toBe(VARIANT);
    expect(decide("acme", "no-gemm-here")).toBe(VARIANT);
  });

  test("can be ignored by their names, several at once", () => {
    const { kernels, precisions } = readRules({}, "shared-memory, model-limits");
    expect(kernels.length).toBe(SELECTION_RULES.kernels.length - 1);
    expect(precisions.length).toBe(SELECTION_RULES.precisions.length - 1);
    expect(readRules({}, " ")).toEqual(readRules({}));
  });

  test.each(["shared-memery", "shared-memory,", "toString", "no-gemm-here"])(
    "that no bundle has cannot be ignored: %j",
    (ignored) => {
      expect(() => readRules({}, ignored)).toThrow(OptionError);
      expect(() => readRules({}, ignored)).toThrow(
        expect.objectContaining({ hint: expect.stringContaining("shared-memory") as string }),
      );
    },
  );

  test.each<[string, unknown]>([
    ["no lists", {}],
    ["no object", 5],
    ["no rule", { kernels: [null], precisions: [] }],
    ["no conditions", { kernels: [{ name: "a", reason: "", when: [] }], precisions: [] }],
    ["another comparison", ruleWith({ fact: "features", test: "matches", value: ["a"] })],
    ["another fact", ruleWith({ fact: "weather.today", test: "is", value: "fine" })],
    ["a value and a fact", ruleWith({ fact: "features", test: "is", value: 1, other: "features" })],
    ["neither value nor fact", ruleWith({ fact: "features", test: "is" })],
  ])("of a kind that is not known are refused: %s", (_, selection) => {
    const read = (): unknown => readRules({ selection: selection as SelectionRules });
    expect(read).toThrow(UnsupportedError);
  });
});

function ruleWith(condition: unknown): unknown {
  return { kernels: [], precisions: [{ name: "a", reason: "", when: [condition] }] };
}
