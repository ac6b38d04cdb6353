// @vitest-environment happy-dom
/** What the page says of the tuning that goes on while nothing is drawn, and how it is turned off. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { StableDiffusionPipeline, TuneReport } from "../../src/index";
import { openPage } from "./page_document";

const FUNCTION = { name: "denoiser", calls: 20, before: 3, after: 2, kernels: 9, changed: 4 };

function report(gain: number, complete: boolean, functions: object[] = []): TuneReport {
  return { gain, complete, functions } as unknown as TuneReport;
}

beforeEach(() => {
  openPage("index.html");
  localStorage.clear();
  vi.resetModules();
});
afterEach(() => {
  // The next test's page begins in the first language.
  vi.resetModules();
});

const byId = (id: string): HTMLElement => document.getElementById(id)!;
const box = (): HTMLInputElement => byId("tune") as HTMLInputElement;

/** Open the page's choice as a visit does; returns it, and what the loaded model was told. */
async function visit() {
  const choice = await import("../../src/app/tuning_choice");
  const told: string[] = [];
  const pipeline = { setTuning: (when: string) => told.push(when) };
  choice.mountTuning(() => pipeline as unknown as StableDiffusionPipeline);
  return { ...choice, told };
}

test("one line says how far it is, and nothing where there is nothing to choose", async () => {
  const { tuningOptions } = await visit();
  const { tune, onTuned } = tuningOptions();
  expect([tune, byId("tuning").hidden, box().checked]).toEqual(["idle", true, true]);
  // On an adapter that computes on the processor.
  onTuned!(report(1, true));
  expect(byId("tuning").hidden).toBe(true);
  onTuned!(report(1, false));
  expect(byId("tuning").hidden).toBe(false);
  expect(byId("tuning-state").textContent).toBe("On this GPU: 1 times as fast so far.");
  onTuned!(report(1.234, true, [FUNCTION]));
  expect(byId("tuning-state").textContent).toBe("On this GPU: 1.23 times as fast.");
  // Another model is loaded, of which nothing is known.
  tuningOptions();
  expect(byId("tuning").hidden).toBe(true);
});

test("it is turned off at once, stays off at the next visit, and can be turned on there", async () => {
  const first = await visit();
  first.tuningOptions().onTuned!(report(1, false));
  box().click();
  expect(first.told).toEqual(["off"]);
  vi.resetModules();
  openPage("index.html");
  const { tuningOptions, told } = await visit();
  expect([tuningOptions().tune, byId("tuning").hidden, box().checked]).toEqual([
    "off",
    false,
    false,
  ]);
  expect(byId("tuning-state").textContent).toBe("");
  box().click();
  expect(told).toEqual(["idle"]);
  expect(tuningOptions().tune).toBe("idle");
});
