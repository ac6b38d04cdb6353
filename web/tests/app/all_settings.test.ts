// @vitest-environment happy-dom
/** The panel of all settings, with a pipeline that merges nothing. */

import { beforeEach, expect, test, vi } from "vitest";

import type { GenerateOptions, Preflight, StableDiffusionPipeline } from "../../src/index";
import { openPage } from "./page_document";

const decoder = (role: string, size: number[] | null, edge: number) => {
  return { role, size, outputs: [{ shape: [1, 3, edge, edge] }] };
};
const MODEL = {
  manifest: {
    entry_points: [
      decoder("vae_decoder", [128, 128], 128),
      decoder("vae_decoder", [64, 64], 64),
      decoder("vae_decoder_tile", null, 96),
    ],
    components: {
      a: { role: "text_encoder" },
      b: { role: "denoiser" },
      c: { role: "vae_decoder" },
    },
  },
  sizes: [
    [128, 128],
    [64, 64],
  ],
} as unknown as Preflight;

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as the page has it
const byId = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const asked: GenerateOptions[] = [];
const pipeline = {
  settings: (options: GenerateOptions) => {
    asked.push(options);
    if (options.numInferenceSteps === 0) throw new Error("steps is 0");
    return {
      diffusion: { scheduler: { numSteps: 7 }, swapper: { evict: ["denoiser"] } },
      sources: { "scheduler.numSteps": "call", "swapper.evict": "manifest" },
      peakBytes: 3e9,
    };
  },
} as unknown as StableDiffusionPipeline;
const options: GenerateOptions = { numInferenceSteps: 7 };

async function mount() {
  const { mountAllSettings } = await import("../../src/app/all_settings");
  const panel = mountAllSettings({ pipeline: () => pipeline, options: () => options });
  panel.offerModel(MODEL);
  return panel;
}

function change(id: string, set: (input: HTMLInputElement) => void): void {
  set(byId(id));
  byId(id).dispatchEvent(new Event("input", { bubbles: true }));
}

beforeEach(() => {
  vi.resetModules();
  asked.length = 0;
  options.numInferenceSteps = 7;
  openPage("index.html");
});

test("until something is chosen, the model decides", async () => {
  const panel = await mount();
  expect(panel.read()).toBeUndefined();
  expect(byId("all-settings").hidden).toBe(false);
  expect(byId("overlap-row").hidden).toBe(true);
  const offered = [...byId<HTMLSelectElement>("tile").options].map(({ value }) => value);
  // Those that are smaller than the largest picture.
  expect(offered).toEqual(["", "64", "96"]);
  expect([...byId("kept-stages").querySelectorAll("input")].map(({ id }) => id)).toEqual([
    "keep-text_encoder",
    "keep-denoiser",
    "keep-vae_decoder",
  ]);
});

test("tiles, their overlap, and what does not stay are settings of the next picture", async () => {
  const panel = await mount();
  change("tile", (input) => (input.value = "64"));
  expect(byId("overlap-row").hidden).toBe(false);
  change("overlap", (input) => (input.value = "40"));
  change("keep-denoiser", (input) => (input.checked = false));
  expect(panel.read()).toEqual({
    decode: { tiling: { enabled: true, tileSize: 64, overlap: 0.4 } },
    swapper: { enabled: true, evict: ["denoiser"] },
  });
});

test("what comes out is shown while the panel is open, with its layer and its memory", async () => {
  const panel = await mount();
  panel.describe();
  expect(asked).toEqual([]);
  byId<HTMLDetailsElement>("all-settings").open = true;
  panel.describe();
  const rows = [...byId("all-settings-body").querySelectorAll("tr")].map((line) =>
    [...line.children].map(({ textContent }) => textContent),
  );
  expect(rows).toEqual([
    ["scheduler.numSteps", "7", "chosen here"],
    ["swapper.evict", '["denoiser"]', "the model's"],
  ]);
  expect(byId("all-settings-memory").textContent).toContain("3");
  expect(asked.at(-1)).toMatchObject({ numInferenceSteps: 7, settings: undefined });
  options.numInferenceSteps = 0;
  panel.describe();
  expect(byId("all-settings-memory").textContent).toBe("steps is 0");
  expect(byId("all-settings-body").children).toHaveLength(0);
});
