/** What tests/e2e/test_tuning.py does with a pipeline that is tuned. Arguments and results are JSON. */

import { importModule } from "../../src/driver/import_module";
import type * as Client from "../../src/index";

let pipe: Client.StableDiffusionPipeline;
let client: typeof Client;

/** What was told of the tuning that goes on while nothing is drawn. */
let reports: Client.TuneReport[] = [];

/** Load a model with the developers' worker. */
async function load(
  manifest: string,
  options: Client.LoadOptions = {},
  from = "/driver/client.js",
): Promise<void> {
  client = (await importModule(from)) as typeof Client;
  pipe = await client.StableDiffusionPipeline.fromPretrained(manifest, options);
}

interface Drawn {
  /** RGBA bytes. */
  pixels: number[];
  latents: number[];
  /** How many kernels run each variant. */
  variants: Record<string, number>;
}

async function draw(prompt: string, options: Client.GenerateOptions): Promise<Drawn> {
  const { image, latents } = await pipe.generate(prompt, options);
  const { variants } = await pipe.usage();
  return { pixels: [...image.data], latents: [...latents], variants };
}

/** Tune, and say which stages were reported, and that none of them fell. */
async function tune(
  options: Client.TuneOptions,
): Promise<{ report: Client.TuneReport; stages: string[]; rises: boolean }> {
  const events: Client.ProgressEvent[] = [];
  const onProgress = (event: Client.ProgressEvent): void => void events.push(event);
  const report = await pipe.tune({ ...options, onProgress });
  const amounts = events.map(({ loaded }) => loaded);
  const rises = amounts.every((amount, index) => index === 0 || amount >= amounts[index - 1]!);
  return { report, stages: [...new Set(events.map(({ stage }) => stage))], rises };
}

/** Load a model that is tuned while nothing is drawn, with the worker of pages. */
async function loadIdle(manifest: string, options: Client.LoadOptions): Promise<void> {
  reports = [];
  const onTuned = (report: Client.TuneReport): void => void reports.push(report);
  await load(manifest, { ...options, tune: "idle", onTuned }, "/client.js");
}

/** Wait until so many slices have been told of, or until one found that nothing is left to do. */
async function slices(count: number): Promise<Client.TuneReport[]> {
  while (reports.length < count && reports.at(-1)?.complete !== true) {
    await new Promise((done) => setTimeout(done, 20));
  }
  return reports;
}

/**
 * Draw while a slice runs.
 *
 * @returns milliseconds from the call to its first event, and the picture.
 */
async function drawBetween(
  prompt: string,
  options: Client.GenerateOptions,
): Promise<Drawn & { waited: number }> {
  const called = performance.now();
  let waited = Infinity;
  const onProgress = (): void => void (waited = Math.min(waited, performance.now() - called));
  const { image, latents } = await pipe.generate(prompt, { ...options, onProgress });
  const { variants } = await pipe.usage();
  return { pixels: [...image.data], latents: [...latents], variants, waited };
}

/** Lose the GPU (faults/device_loss.ts) while a slice runs. */
async function loseAmidSlice(): Promise<void> {
  await slices(reports.length + 1);
  await new Promise((done) => setTimeout(done, 600)); // the pause between slices is shorter
  new BroadcastChannel("lose-device").postMessage(0);
}

/** What a call that must fail throws. */
async function refusal(options: object): Promise<{ name: string; hint: string | undefined }> {
  try {
    await pipe.tune(options);
    return { name: "none", hint: undefined };
  } catch (error) {
    const { name, hint } = error as Client.WsdError;
    return { name, hint };
  }
}

/** Tune, and cancel it as soon as it has begun; return the error's name. */
async function tuneAborted(): Promise<string> {
  const controller = new AbortController();
  const onProgress = (): void => controller.abort();
  try {
    await pipe.tune({ again: true, signal: controller.signal, onProgress });
    return "none";
  } catch (error) {
    return (error as Error).name;
  }
}

async function variants(): Promise<Record<string, number>> {
  return (await pipe.usage()).variants;
}

/** For how many GPUs it is kept what was found of each model. */
async function tunings(): Promise<number[]> {
  return (await client.listKept()).map(({ tunings: kept }) => kept);
}

async function purge(manifest: string): Promise<void> {
  await client.purge(manifest);
}

async function unload(): Promise<void> {
  await pipe.unload();
}

Object.assign(globalThis, {
  wsdTuning: {
    ...{ load, draw, tune, refusal, tuneAborted, variants, tunings, purge, unload },
    ...{ loadIdle, slices, drawBetween, loseAmidSlice },
  },
});
