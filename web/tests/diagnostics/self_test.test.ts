import { describe, expect, test } from "vitest";

import { stageCells, stageHeadings, verdict, writeReport } from "../../src/app/self_test_report";
import { english } from "../../src/app/strings/english";
import { german } from "../../src/app/strings/german";
import { createWriter } from "../../src/app/strings/writer";
import type { StageReport } from "../../src/index";
import { FetchError, IntegrityError, UnsupportedError } from "../../src/util/errors";
import { deviation } from "../../src/diagnostics/self_test";

const VALUES = Float32Array.from({ length: 1000 }, (_, index) => Math.sin(index));

function expected(values: Float32Array): Parameters<typeof deviation>[1] {
  const rms = Array.from({ length: 10 }, (_, block) => {
    const part = values.slice(100 * block, 100 * block + 100);
    return Math.sqrt(part.reduce((sum, value) => sum + value ** 2, 0) / 100);
  });
  const samples = Array.from({ length: 100 }, (_, index) => values[10 * index]!);
  return { stride: 10, samples, block: 100, rms };
}

function changed(index: number, value: number): Float32Array {
  const copy = VALUES.slice();
  copy[index] = value;
  return copy;
}

describe("deviation", () => {
  test("none", () => expect(deviation(VALUES, expected(VALUES))).toBeLessThan(1e-6));
  test("of everything", () => {
    const off = VALUES.map((value) => 1.01 * value);
    expect(deviation(off, expected(VALUES))).toBeCloseTo(0.01, 3);
  });
  test("between two samples", () => {
    expect(deviation(changed(555, 9), expected(VALUES))).toBeGreaterThan(0.1);
  });
  test("NaN, anywhere", () => {
    expect(deviation(changed(550, NaN), expected(VALUES))).toBe(Infinity);
    expect(deviation(changed(551, NaN), expected(VALUES))).toBe(Infinity);
  });
  test("a result that is too short", () => {
    expect(deviation(VALUES.subarray(0, 900), expected(VALUES))).toBe(Infinity);
  });
});

const STAGE: StageReport = {
  stage: "denoiser_128x128",
  error: 2e-6,
  limit: 1e-3,
  repeats: true,
  milliseconds: 600,
  good: true,
  variants: { gemm_tiled_f32: 12, generated: 80 },
};

describe("verdict", () => {
  test.each([
    [undefined, [STAGE], "All is well"],
    [undefined, [STAGE, { ...STAGE, stage: "vae", good: false }], "computes wrongly: vae"],
    [new IntegrityError("m", "h"), [], "a file is damaged"],
    [new FetchError("m", "h"), [], "a file could not be fetched"],
    [new UnsupportedError("m", "h"), [], "lacks"],
    [new Error("m"), [], "could not be finished"],
  ])("%s", (error, stages, said) => {
    const found = error === undefined ? { notices: [], stages } : { notices: [], stages, error };
    expect(verdict(found, english(createWriter("en")))).toContain(said);
  });
});

test("the report is Markdown with what an issue needs", () => {
  const stages = [STAGE, { ...STAGE, stage: "vae", error: Infinity, repeats: false, good: false }];
  const report = writeReport(
    { notices: ["unet-0.bin arrived damaged and is fetched again."], stages },
    { Browser: "B 1", Features: "" },
  );
  expect(report).toContain("- Browser: B 1");
  expect(report).not.toContain("Features");
  expect(report).toContain("- Notice: unet-0.bin arrived damaged");
  expect(report).toContain("| denoiser_128x128 | good | 2.0e-6 | 1e-3 | yes | 600 ms |");
  expect(report).toContain("| vae | BAD | Infinity | 1e-3 | NO | 600 ms |");
  for (const text of [english(createWriter("en")), german(createWriter("de"))]) {
    expect(stageHeadings(text)).toHaveLength(7);
    expect(stageCells(STAGE, text)).toHaveLength(7);
    expect(stageCells(STAGE, text).at(-1)).toBe("80 generated, 12 gemm_tiled_f32");
  }
  // The page's table is in the language of the page, unlike the report.
  expect(stageCells(STAGE, german(createWriter("de")))[1]).toBe("gut");
});
