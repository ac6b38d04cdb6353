// @vitest-environment happy-dom
/** What a visitor is told of a model before downloading it, on a document of happy-dom. */

import { expect, test } from "vitest";

import { describeModel, describeOffer } from "../../src/app/model_panel";
import type { Manifest, Preflight } from "../../src/index";
import { openPage } from "./page_document";

const GB = 1e9;
type Peaks = Manifest["peak_bytes"];

/** Peaks with all weights on the GPU, and with one stage at a time. */
const peaks = (whole: number, least: number): Peaks =>
  [whole, least].map((gigabytes, index) => {
    return { size: [512, 512], offload: index === 1, tiling: false, bytes: gigabytes * GB };
  });

/** Return the memory that the offer names, and the two that the facts of the model name. */
async function memoryOf(manifest: object, safetyChecker = false): Promise<string[]> {
  openPage("index.html");
  const model = {
    ...{ safetyChecker, bytes: { total: 3 * GB, kept: 0 } },
    manifest: {
      ...{ model: { name: "m", title: "A model" }, peak_bytes: peaks(3, 2) },
      components: { safety_checker: { role: "safety_checker", bytes: GB } },
      entry_points: [{ role: "safety_checker", workspace_bytes: 0.5 * GB }],
      ...manifest,
    },
  } as unknown as Preflight;
  describeModel(model);
  await describeOffer(model);
  const [offer, facts] = ["offer-facts", "model-facts"].map(
    (id) => document.getElementById(id)!.textContent,
  );
  const memory = /([\d.]+) GB of graphics memory/.exec(offer!)!;
  const both = /GPU memory: ([\d.]+) GB, or ([\d.]+) GB/.exec(facts!)!;
  return [memory[1]!, both[1]!, both[2]!].map((text) => Number(text).toString());
}

const pictures = { image_peak_bytes: peaks(5, 4) };

test.each<[string, object, string[]]>([
  ["draws from text", { pipeline: "text-to-image" }, ["3", "3", "2"]],
  ["can draw from pictures", { pipeline: "text-to-image", ...pictures }, ["3", "3", "2"]],
  ["draws parts of pictures alone", { pipeline: "inpainting", ...pictures }, ["5", "5", "4"]],
])("the memory of a model that %s", async (_, manifest, memory) => {
  expect(await memoryOf(manifest)).toEqual(memory);
});

test("a safety checker is added to the memory of a model that needs pictures", async () => {
  const manifest = { pipeline: "inpainting", ...pictures };
  expect(await memoryOf(manifest, true)).toEqual(["6", "6", "4"]);
});
