/** docs/client.md has every option of the package's calls, and everything that it exports. */

import { readFileSync } from "node:fs";
import path from "node:path";

import { expect, test } from "vitest";

import * as api from "../src/index";
import type { FoundSettings } from "../src/index";
import {
  ENCODE_CHECKS,
  ENCODE_IMAGE_CHECKS,
  GENERATE_CHECKS,
  LOAD_CHECKS,
  TUNE_CHECKS,
} from "../src/util/option_checks";

const TEXT = readFileSync(path.join(import.meta.dirname, "../../docs/client.md"), "utf8");

/** Return the names in the first cells of a section's tables whose head is "option". */
function documentedOptions(title: string): string[] {
  const section = TEXT.split(/^## /m).find((each) => each.startsWith(title))!;
  return section.split("\n\n").flatMap((block) => {
    const [head, , ...rows] = block.split("\n");
    if (!head!.startsWith("| option |")) return [];
    return rows.flatMap((row) => namesIn(row.split(" | ")[0]!));
  });
}

/** Return the identifiers that stand alone in code. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
}

const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

test("fromPretrained's table has its options, and no others", () => {
  const found = documentedOptions("`StableDiffusionPipeline.fromPretrained(");
  expect(sorted(found)).toEqual(sorted(Object.keys(LOAD_CHECKS)));
});

test("generate's tables have its options, and no others but the prompt", () => {
  const found = documentedOptions("`pipe.generate(");
  expect(sorted(found)).toEqual(sorted(["prompt", ...Object.keys(GENERATE_CHECKS)]));
});

/** All that stands in code in the sentences and tables. */
const CODE = [...TEXT.replaceAll(/^```.*?^```/gms, "").matchAll(/`([^`\n]+)`/g)].map(
  ([, code]) => code!,
);

test.each([
  ["encodePrompt", ENCODE_CHECKS],
  ["encodeImage", ENCODE_IMAGE_CHECKS],
  ["tune", TUNE_CHECKS],
])("%s is shown with its options", (name, checks) => {
  const call = CODE.find((code) => code.startsWith(`await pipe.${name}(`))!;
  const [, shown] = /\{ ([^}]+) \}/.exec(call)!;
  expect(sorted(shown!.split(", "))).toEqual(sorted(Object.keys(checks)));
});

test.each(Object.keys(api))("the export %s is described", (name) => {
  expect(CODE.flatMap((code) => code.split(/\W+/)).includes(name)).toBe(true);
});

/** The compiler says when a field is missing here. */
const FOUND: Record<keyof FoundSettings, true> = {
  ...{ program: true, prompt: true, negativePrompt: true, steps: true, guidanceScale: true },
  ...{ seed: true, width: true, height: true, sampler: true, schedule: true, model: true },
  ...{ eta: true, picture: true, strength: true, fit: true, maskBlur: true, others: true },
  ...{ maskedContent: true, onlyMasked: true, onlyMaskedPadding: true, keepUnmasked: true },
  ...{ outpaint: true, variationSeed: true, variationStrength: true, secondScale: true },
  ...{ secondWidth: true, secondHeight: true, secondSteps: true, secondStrength: true },
  ...{ upscale: true, loras: true, promptSyntax: true, prompt2: true, negativePrompt2: true },
  ...{ guidanceRescale: true, conditions: true, clipSkip: true, isOurs: true },
  ...{ clipStop: true, inversions: true, skipGuidanceLayers: true, skipLayerGuidanceScale: true },
  ...{ skipLayerGuidanceStart: true, skipLayerGuidanceStop: true, prompt3: true },
  ...{ negativePrompt3: true, guidanceStart: true, guidanceStop: true },
  ...{ cacheInterval: true },
};

test("the row of readSettings has what it can find", () => {
  const row = TEXT.split("\n").find((line) => line.startsWith("| `await readSettings(png)` |"))!;
  expect(namesIn(row)).toEqual(expect.arrayContaining(Object.keys(FOUND)));
});
