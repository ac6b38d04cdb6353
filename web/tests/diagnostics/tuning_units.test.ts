import { describe, expect, test } from "vitest";

import type { VariantChoice } from "../../src/api/tuning";
import { planUnits } from "../../src/diagnostics/tuning_units";
import type { KernelCall, TuningUnit } from "../../src/diagnostics/tuning_units";
import type { KernelTable, Launch, Variant } from "../../src/gpu/kernel_table";

const GENERATED: VariantChoice = { variant: "generated", index: 0 };

function launch(body: number): Launch {
  return { head: 0, body, grid: [1, 1, 1], arguments: [0, 1] };
}

/** A variant of a name; `body` is the place of its text, and without one it launches nothing. */
function variant(name: string, problem: string, body?: number): Variant {
  return {
    ...{ name, problem, features: [], threads: 64, shared_bytes: 0, scratch_bytes: [] },
    ...{ subgroup_matrix: null, subgroup_size: null, operations: 1 },
    launches: body === undefined ? [] : [launch(body)],
  };
}

const gemm = [
  variant("gemm_tiled_f32", "gemm", 0),
  variant("gemm_tiled_f32", "gemm", 1),
  variant("gemv_subgroups", "gemm", 2),
];
const attention = [
  variant("attention_flash", "attention", 3),
  variant("attention_flash", "attention", 4),
];
const statistics = attention.map((each) => ({ ...each, launches: [] }));

function table(kernels: Record<string, Variant[]>): KernelTable {
  return { heads: [], bodies: [], kernels, bytes: {} };
}

const TABLE = table({ gemm, statistics, attention, alone: [gemm[0]!, gemm[0]!] });

/** All of a kernel's variants, in the table's order. */
function all(from: KernelTable, except: readonly string[] = []) {
  return (kernel: string): VariantChoice[] => {
    const variants = from.kernels[kernel] ?? [];
    return variants.flatMap(({ name }, place) => {
      const index = variants.slice(0, place).filter((each) => each.name === name).length;
      return except.includes(name) ? [] : [{ variant: name, index }];
    });
  };
}

function call(kernel: string, ...args: number[]): KernelCall {
  return { kernel, args };
}

function plan(
  calls: readonly KernelCall[],
  from = TABLE,
  except: readonly string[] = [],
  decided: readonly string[] = [],
  known: Readonly<Record<string, VariantChoice>> = {},
): TuningUnit[] {
  const found = all(from, except);
  const standard = (kernel: string): VariantChoice =>
    known[kernel] ?? found(kernel)[0] ?? GENERATED;
  return planUnits(calls, from, { all: found, standard }, new Set(decided));
}

describe("a kernel", () => {
  test("has its variants and the generated kernel, the default first", () => {
    const [unit] = plan([call("gemm", 1, 2), call("gemm", 3, 4), call("other", 5)]);
    expect(unit).toStrictEqual({
      calls: [call("gemm", 1, 2)],
      candidates: [
        [{ variant: "gemm_tiled_f32", index: 0 }],
        [{ variant: "gemm_tiled_f32", index: 1 }],
        [{ variant: "gemv_subgroups", index: 0 }],
        [GENERATED],
      ],
      count: 2,
    });
  });

  test("begins with what the bundle says of adapters like this", () => {
    const second = { variant: "gemm_tiled_f32", index: 1 };
    const [unit] = plan([call("gemm", 1)], TABLE, [], [], { gemm: second });
    expect(unit!.candidates).toStrictEqual([
      [second],
      [{ variant: "gemm_tiled_f32", index: 0 }],
      [{ variant: "gemv_subgroups", index: 0 }],
      [GENERATED],
    ]);
    const [other] = plan([call("gemm", 1)], TABLE, [], [], { gemm: GENERATED });
    expect(other!.candidates.map(([choice]) => choice!)[0]).toBe(GENERATED);
    expect(other!.candidates).toHaveLength(4);
  });

  test("has none that a rule refuses, and without variants it is not timed", () => {
    const [unit] = plan([call("gemm", 1)], TABLE, ["gemm_tiled_f32"]);
    expect(unit!.candidates.map(([choice]) => choice!.variant)).toStrictEqual([
      "gemv_subgroups",
      "generated",
    ]);
    expect(plan([call("gemm", 1)], TABLE, ["gemm_tiled_f32", "gemv_subgroups"])).toStrictEqual([]);
  });

  test("has each only once", () => {
    const [unit] = plan([call("alone", 1)]);
    expect(unit!.candidates).toHaveLength(2);
  });

  test("has tiles for tuning alone, and one of them is never the default", () => {
    const further = { ...variant("gemm_tiled_f32", "gemm", 5), tuning_only: true };
    const from = table({ gemm: [...gemm, further] });
    const choice: VariantChoice = { variant: "gemm_tiled_f32", index: 2 };
    const [unit] = plan([call("gemm", 1)], from);
    expect(unit!.candidates.slice(-2)).toStrictEqual([[choice], [GENERATED]]);
    expect(unit!.candidates[0]).toStrictEqual([{ variant: "gemm_tiled_f32", index: 0 }]);
    const find = { all: () => [choice], standard: () => GENERATED };
    const [alone] = planUnits([call("gemm", 1)], from, find, new Set());
    expect(alone!.candidates).toStrictEqual([[GENERATED], [choice]]);
  });

  test("that is decided is left out", () => {
    expect(plan([call("gemm", 1)], TABLE, [], ["gemm"])).toStrictEqual([]);
  });
});

describe("attention", () => {
  const calls = [call("statistics", 1, 2, 3), call("gemm", 8, 9), call("attention", 1, 2, 4, 3, 5)];

  test("is one unit of both kernels, whose choices go together", () => {
    const units = plan(calls);
    expect(units).toHaveLength(2);
    const unit = units.find(({ calls: [first] }) => first!.kernel === "statistics")!;
    expect(unit.calls).toStrictEqual([calls[0], calls[2]]);
    expect(unit.candidates).toStrictEqual([
      [
        { variant: "attention_flash", index: 0 },
        { variant: "attention_flash", index: 0 },
      ],
      [
        { variant: "attention_flash", index: 1 },
        { variant: "attention_flash", index: 1 },
      ],
      [GENERATED, GENERATED],
    ]);
  });

  test("has schedules that were tuned for either kernel as one candidate", () => {
    const tuned = variant("tuned", "generated", 7);
    const from = table({ statistics: [...statistics, tuned], attention });
    const [unit] = plan([calls[0]!, calls[2]!], from);
    expect(unit!.candidates.at(-2)).toStrictEqual([{ variant: "tuned", index: 0 }, GENERATED]);
    expect(unit!.candidates).toHaveLength(4);
    // Written variants leave the statistics out, and are never mixed with the generated attention.
    for (const [first, second] of unit!.candidates) {
      expect(first!.variant === "attention_flash").toBe(second!.variant === "attention_flash");
    }
  });

  test("of several kernels that share their statistics is one unit", () => {
    const from = table({ statistics, attention, second: attention });
    const [unit, ...others] = plan(
      [...calls, call("statistics", 1, 2, 6), call("second", 1, 2, 6, 7)],
      from,
    );
    expect(others).toStrictEqual([]);
    expect(unit!.calls.map(({ kernel }) => kernel)).toStrictEqual([
      "statistics",
      "attention",
      "second",
    ]);
    expect(unit!.count).toBe(2);
  });

  test("is told apart by buffers where statistics of several come first", () => {
    const from = table({ one: statistics, other: statistics, a: attention, b: attention });
    const units = plan(
      [call("one", 1, 2, 3), call("other", 4, 5, 6), call("b", 4, 5, 6, 7), call("a", 1, 2, 3, 8)],
      from,
    );
    const named = units.map((unit) => unit.calls.map(({ kernel }) => kernel));
    expect(named).toStrictEqual([
      ["one", "a"],
      ["other", "b"],
    ]);
  });

  test("without its second kernel is not timed: leaving statistics out takes no time at all", () => {
    expect(plan([calls[0]!])).toStrictEqual([]);
  });

  test("of which one kernel is decided is left out", () => {
    expect(plan([calls[0]!, calls[2]!], TABLE, [], ["attention"])).toStrictEqual([]);
  });
});
