import { describe, expect, test } from "vitest";

import type { KernelTable, Variant } from "../../src/gpu/kernel_table";
import type { VariantChoice } from "../../src/api/tuning";
import type { KernelChoice } from "../../src/gpu/kernel_variants";
import { fitPreferences, parseKernelChoice, selectVariant } from "../../src/gpu/kernel_variants";
import type { DescribedGpu } from "../../src/gpu/selection_rules";
import { describeGpu, readRules } from "../../src/gpu/selection_rules";
import { countVariants } from "../../src/gpu/tvm/pipelines";
import { LEGACY_KERNEL_MODES, VARIANT_NAMES } from "../../src/util/constants.generated";
import { OptionError } from "../../src/util/errors";

const tiled: Variant = {
  name: "gemm_tiled_f32",
  problem: "gemm",
  features: [],
  threads: 128,
  shared_bytes: 18432,
  subgroup_matrix: null,
  subgroup_size: null,
  scratch_bytes: [],
  operations: 1,
  launches: [],
};
const small = { ...tiled, shared_bytes: 10240 };
const f16 = { ...tiled, name: "gemm_tiled_f16", features: ["shader-f16"] };
const matrix: Variant = {
  ...f16,
  name: "gemm_subgroup_matrix",
  subgroup_matrix: [16, 16, 16],
  subgroup_size: [32, 32],
};
const shuffled: Variant = {
  ...tiled,
  name: "norm_sums_subgroups",
  features: ["subgroups"],
  subgroup_size: [1, 64],
};
const shared = { ...tiled, name: "norm_sums_workgroup" };
const flash: Variant = { ...small, name: "attention_flash", problem: "attention" };
const onePass: Variant = { ...matrix, name: "attention_one_pass", problem: "attention" };
const twoPasses: Variant = { ...onePass, name: "attention_subgroup_matrix" };
const tuned: Variant = {
  ...{ ...tiled, name: "tuned", problem: "generated", shared_bytes: 0 },
  adapter_classes: ["google swiftshader"],
};
const tunedForGpu = { ...tuned, adapter_classes: ["nvidia hopper"] };
const table: KernelTable = {
  heads: [],
  bodies: [],
  kernels: {
    gemm: [matrix, f16, tiled, small],
    sums: [shuffled, shared],
    attention: [onePass, twoPasses, flash],
    both: [tiled, tuned],
    several: [tunedForGpu, tuned],
  },
  bytes: {},
};
const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

const { kernels: rules } = readRules({});

/** Select by this version's own rules. */
function select(
  found: KernelTable | undefined,
  kernel: string,
  described: DescribedGpu,
  choice: KernelChoice = "auto",
): Variant | undefined {
  return selectVariant(found, kernel, { gpu: describeGpu(described), rules, choice });
}

function gpu(
  changes: Partial<DescribedGpu["info"]> = {},
  sharedBytes = 32768,
  hasF16 = true,
): DescribedGpu {
  return {
    features: new Set(hasF16 ? ["shader-f16", "subgroups"] : ["subgroups"]),
    limits: {
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupStorageSize: sharedBytes,
    },
    info: { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [config], ...changes },
  };
}

const only = (...names: string[]): KernelChoice => new Set(names);

test.each<[string, DescribedGpu, KernelChoice, Variant | undefined]>([
  ["everything", gpu(), "auto", matrix],
  ["no subgroup matrices", gpu({ subgroupMatrixConfigs: [] }), "auto", f16],
  ["other subgroup matrices", gpu({ subgroupMatrixConfigs: [{ ...config, M: 8 }] }), "auto", f16],
  ["subgroups of several sizes", gpu({ subgroupMinSize: 16 }), "auto", f16],
  ["no f16", gpu({}, 32768, false), "auto", tiled],
  ["the least shared memory", gpu({}, 16384), "auto", small],
  ["two names", gpu(), only("gemm_tiled_f32", "gemm_tiled_f16"), f16],
  ["one name", gpu(), only("gemm_tiled_f32"), tiled],
  ["a name that the GPU cannot run", gpu({}, 32768, false), only("gemm_tiled_f16"), undefined],
  ["only another problem's variant", gpu(), only("attention_flash"), undefined],
  ["generated kernels", gpu(), only(), undefined],
  ["a software adapter", gpu({ isFallbackAdapter: true }), "auto", undefined],
  ["a software adapter by name", gpu({ description: "SwiftShader driver" }), "auto", undefined],
  [
    "a software adapter and a name",
    gpu({ isFallbackAdapter: true }),
    only("gemm_tiled_f32"),
    tiled,
  ],
])("a GEMM with %s", (_, described, choice, expected) => {
  expect(select(table, "gemm", described, choice)).toBe(expected);
});

test.each<[string, DescribedGpu, KernelChoice, Variant]>([
  ["subgroups", gpu(), "auto", shuffled],
  ["too large subgroups", gpu({ subgroupMaxSize: 128 }), "auto", shared],
  ["no subgroups", { ...gpu(), features: new Set() }, "auto", shared],
])("norm sums with %s", (_, described, choice, expected) => {
  expect(select(table, "sums", described, choice)).toBe(expected);
});

test.each<[string, DescribedGpu, KernelChoice, Variant | undefined]>([
  ["subgroup matrices", gpu(), "auto", onePass],
  ["its name", gpu(), only("attention_one_pass"), onePass],
  ["an earlier mode", gpu(), parseKernelChoice("matrix"), onePass],
  ["an earlier mode without matrices", gpu(), parseKernelChoice("halves"), flash],
  ["another name", gpu(), only("attention_subgroup_matrix"), twoPasses],
  ["no subgroup matrices", gpu({ subgroupMatrixConfigs: [] }), "auto", flash],
  ["a software adapter", gpu({ isFallbackAdapter: true }), "auto", undefined],
])("an attention with %s", (_, described, choice, expected) => {
  expect(select(table, "attention", described, choice)).toBe(expected);
});

const SWIFTSHADER = {
  ...{ vendor: "google", architecture: "swiftshader", isFallbackAdapter: true },
  description: "SwiftShader driver-5.0.0",
};
const LLVMPIPE = { vendor: "mesa", architecture: "llvmpipe", description: "llvmpipe (LLVM 19)" };
const HOPPER = { vendor: "nvidia", architecture: "hopper" };

test.each<[string, string, DescribedGpu, KernelChoice, Variant | undefined]>([
  ["on the adapter it was tuned on", "both", gpu(SWIFTSHADER), "auto", tuned],
  ["on another software adapter", "both", gpu(LLVMPIPE), "auto", undefined],
  ["after a written one", "both", gpu(HOPPER), "auto", tiled],
  ["of several adapters, on one", "several", gpu(SWIFTSHADER), "auto", tuned],
  ["of several adapters, on the other", "several", gpu(HOPPER), "auto", tunedForGpu],
  ["of the vendor alone", "several", gpu({ vendor: "nvidia" }), "auto", undefined],
  ["on an adapter without a name", "several", gpu(), "auto", undefined],
  ["that is named, elsewhere", "both", gpu(HOPPER), only("tuned"), undefined],
  ["that is named", "both", gpu(SWIFTSHADER), only("tuned"), tuned],
  ["beside a name", "both", gpu(SWIFTSHADER), only("gemm_tiled_f32"), tiled],
  ["where generated kernels are asked for", "both", gpu(SWIFTSHADER), only(), undefined],
])("a tuned kernel %s", (_, kernel, described, choice, expected) => {
  expect(select(table, kernel, described, choice)).toBe(expected);
});

test("a tuned kernel runs anywhere if the rule is ignored and it is named", () => {
  const { kernels: others } = readRules({}, "adapter-class");
  const selection = { gpu: describeGpu(gpu(HOPPER)), rules: others, choice: only("tuned") };
  expect(selectVariant(table, "both", selection)).toBe(tuned);
});

test("kernels without variants and bundles without any run what was generated", () => {
  expect(select(table, "other", gpu())).toBeUndefined();
  expect(select(undefined, "gemm", gpu())).toBeUndefined();
});

test("the option kernels takes auto, generated and names", () => {
  expect(parseKernelChoice()).toBe("auto");
  expect(parseKernelChoice("auto")).toBe("auto");
  expect(parseKernelChoice("generated")).toEqual(new Set());
  expect(parseKernelChoice("gemm_tiled_f32, attention_flash")).toEqual(
    new Set(["gemm_tiled_f32", "attention_flash"]),
  );
});

test.each(["gemm_tiled_f64", "gemm_tiled_f32,", "", "toString"])(
  "the option kernels refuses %j and says what it takes",
  (option) => {
    const parse = (): unknown => parseKernelChoice(option);
    expect(parse).toThrow(OptionError);
    expect(parse).toThrow(
      expect.objectContaining({
        hint: expect.stringContaining(VARIANT_NAMES.join(", ")) as string,
      }),
    );
  },
);

test.each(Object.entries(LEGACY_KERNEL_MODES))(
  "the deprecated mode %s allows what it did, with a notice",
  (mode, names) => {
    const notices: string[] = [];
    const choice = parseKernelChoice(mode, (notice) => notices.push(notice));
    expect(choice).toEqual(new Set(names));
    expect(notices).toEqual([
      `kernels: "${mode}" is deprecated; name the variants: "${names.join(",")}".`,
    ]);
  },
);

test("deprecated modes allow ever more features", () => {
  const { tiled: none, subgroups, halves, matrix: all } = LEGACY_KERNEL_MODES;
  expect(none).not.toContain("gemv_subgroups");
  expect(subgroups).toEqual(expect.arrayContaining([...none, "gemv_subgroups"]));
  expect(halves).toEqual(expect.arrayContaining([...subgroups, "gemm_tiled_f16"]));
  expect(all).toEqual(VARIANT_NAMES.filter((name) => name !== "tuned"));
});

test("kernels are counted by what runs in them", () => {
  expect(countVariants(["generated", "gemm_tiled_f32", "generated"])).toEqual({
    generated: 2,
    gemm_tiled_f32: 1,
  });
});

/** Select with a preference for the kernel `gemm`, which has two variants of one name. */
function prefer(
  preferred: VariantChoice,
  described: DescribedGpu = gpu(),
  choice: KernelChoice = "auto",
): Variant | undefined {
  const preferences = new Map([["gemm", preferred]]);
  return selectVariant(table, "gemm", { gpu: describeGpu(described), rules, choice, preferences });
}

test("a preferred variant runs, or the generated kernel", () => {
  expect(prefer({ variant: "gemm_tiled_f32", index: 0 })).toBe(tiled);
  expect(prefer({ variant: "gemm_tiled_f32", index: 1 })).toBe(small);
  expect(prefer({ variant: "generated", index: 0 })).toBeUndefined();
});

test("a preferred variant that is refused, or that is not there, is passed over", () => {
  const weak = gpu({}, 16384, false);
  expect(prefer({ variant: "gemm_tiled_f16", index: 0 }, weak)).toBe(small);
  expect(prefer({ variant: "gemm_tiled_f32", index: 0 }, weak)).toBe(small);
  expect(prefer({ variant: "gemm_tiled_f32", index: 2 })).toBe(matrix);
  expect(prefer({ variant: "unknown", index: 0 })).toBe(matrix);
});

test("names that the caller gives overrule what is preferred", () => {
  const named = new Set(["gemm_tiled_f16"]);
  expect(prefer({ variant: "gemm_tiled_f32", index: 0 }, gpu(), named)).toBe(f16);
  expect(prefer({ variant: "generated", index: 0 }, gpu(), named)).toBe(f16);
  expect(prefer({ variant: "gemm_tiled_f16", index: 0 }, gpu(), new Set())).toBeUndefined();
});

test("what a bundle says of a class of adapters runs where nothing was found on this GPU", () => {
  const standard = new Map([["gemm", { variant: "gemm_tiled_f32", index: 1 }]]);
  const known = { gpu: describeGpu(gpu()), rules, choice: "auto" as KernelChoice, standard };
  const preferences = new Map([["gemm", { variant: "gemm_tiled_f32", index: 0 }]]);
  expect(selectVariant(table, "gemm", known)).toBe(small);
  expect(selectVariant(table, "gemm", { ...known, preferences })).toBe(tiled);
  expect(selectVariant(table, "gemm", { ...known, preferences: new Map() })).toBe(small);
  expect(selectVariant(table, "gemm", { ...known, choice: new Set(["gemm_tiled_f16"]) })).toBe(f16);
});

/** A tile for tuning alone, which takes less shared memory than the others. */
const further = { ...tiled, shared_bytes: 5120, tile: "32x32x16, 4x4 a thread", tuning_only: true };

test("a variant for tuning alone runs where it is preferred, and nowhere else", () => {
  const tunable = { ...table, kernels: { gemm: [f16, tiled, small, further] } };
  const choose = (
    described: DescribedGpu,
    choice: KernelChoice = "auto",
    index?: number,
  ): unknown => {
    const preferences = new Map(
      index === undefined ? [] : [["gemm", { variant: "gemm_tiled_f32", index }]],
    );
    const selection = { gpu: describeGpu(described), rules, choice, preferences };
    return selectVariant(tunable, "gemm", selection);
  };
  expect(choose(gpu(), "auto", 2)).toBe(further);
  expect(choose(gpu())).toBe(f16);
  // Not even if the adapter lacks what all the others need, or if its kind is named.
  const poor = gpu({}, 8192);
  expect(choose(poor)).toBeUndefined();
  expect(choose(poor, "auto", 2)).toBe(further);
  expect(choose(poor, only("gemm_tiled_f32"))).toBeUndefined();
  expect(choose(gpu({ isFallbackAdapter: true }), "auto", 2)).toBeUndefined();
});

describe("preferences that no rule refuses stay", () => {
  const weak = describeGpu(gpu({}, 16384, false));
  const [good, refused, generated] = [
    { variant: "gemm_tiled_f32", index: 1 },
    { variant: "gemm_tiled_f16", index: 0 },
    { variant: "generated", index: 0 },
  ];

  function fit(preferred: Readonly<Record<string, VariantChoice>>, from = table): unknown {
    const preferences = new Map(Object.entries(preferred));
    const found = fitPreferences(from, preferences, { gpu: weak, rules, choice: "auto" });
    return Object.fromEntries(found!);
  }

  test("of each kernel for itself", () => {
    expect(fit({ gemm: good, other: generated })).toEqual({ gemm: good, other: generated });
    expect(fit({ gemm: refused, other: generated })).toEqual({ other: generated });
    expect(fit({ gemm: good, other: good })).toEqual({ gemm: good });
    expect(fitPreferences(table, undefined, { gpu: weak, rules, choice: "auto" })).toBeUndefined();
  });

  test("of the kernels of attentions together", () => {
    const half = { ...f16, name: "attention_half", problem: "attention" };
    const kernels = { ...table.kernels, statistics: [half, flash], attention: [half, flash] };
    const [one, other] = [
      { variant: "attention_flash", index: 0 },
      { variant: "attention_half", index: 0 },
    ];
    const from = { ...table, kernels };
    const whole = { gemm: good, statistics: one, attention: one };
    expect(fit(whole, from)).toEqual(whole);
    expect(fit({ ...whole, attention: other }, from)).toEqual({ gemm: good });
    expect(fit({ ...whole, statistics: generated }, from)).toEqual({
      ...whole,
      statistics: generated,
    });
  });
});
