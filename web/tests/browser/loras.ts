/**
 * What tests/e2e/test_loras.py does with LoRAs of a pipeline in a page. Arguments and results are JSON;
 * bytes are base64.
 */

import type { Remote } from "comlink";

import { importModule } from "../../src/driver/import_module";
import type { StageWorker } from "../../src/driver/worker";
import type { TransferSizes } from "../../src/gpu/residency";
import type { GenerateOptions, LoadedLora, LoadOptions, LoraOptions, Usage } from "../../src/index";
import type * as Client from "../../src/index";

let pipe: Client.StableDiffusionPipeline;
let client: typeof Client;

/** Load a model with the driver's worker, which can read parameters back. */
async function load(manifest: string, options: LoadOptions = {}): Promise<void> {
  client = (await importModule("/driver/client.js")) as typeof Client;
  pipe = await client.StableDiffusionPipeline.fromPretrained(manifest, options);
}

function fileOf(base64: string, name: string): File {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new File([bytes], name);
}

async function loadLora(base64: string, name: string, options: LoraOptions): Promise<LoadedLora> {
  return pipe.loadLora(fileOf(base64, name), options);
}

/** Load a LoRA from an address, and say what became of that. */
async function loadFrom(address: string, options: LoraOptions): Promise<LoadedLora> {
  return pipe.loadLora(address, options);
}

/** What a call that must fail throws. */
interface Refusal {
  name: string;
  message: string;
  hint: string | undefined;
}

async function refusalOf(call: Promise<unknown>): Promise<Refusal | null> {
  try {
    await call;
    return null;
  } catch (error) {
    const { name, message, hint } = error as Client.WsdError;
    return { name, message, hint };
  }
}

async function refused(
  base64: string,
  name: string,
  options: LoraOptions,
): Promise<Refusal | null> {
  return refusalOf(pipe.loadLora(fileOf(base64, name), options));
}

/** Load a LoRA, and cancel that at once. */
async function cancelled(base64: string): Promise<Refusal | null> {
  const controller = new AbortController();
  const onProgress = ({ stage }: Client.ProgressEvent): void => {
    if (stage === "parameters") controller.abort();
  };
  const { signal } = controller;
  return refusalOf(pipe.loadLora(fileOf(base64, "late"), { signal, onProgress }));
}

async function setAdapters(scales: Record<string, number>): Promise<void> {
  await pipe.setAdapters(scales);
}

async function unloadLora(name?: string): Promise<void> {
  await pipe.unloadLora(name);
}

function loras(): readonly LoadedLora[] {
  return pipe.loras;
}

interface Drawn {
  latents: number[];
  text: string;
}

async function draw(): Promise<Drawn> {
  const { latents, settings } = await pipe.generate("a large red circle", {
    numInferenceSteps: 2,
    seed: 3,
  });
  return { latents: Array.from(latents), text: client.formatSettings(settings) };
}

interface Picture {
  latents: number[];
  /** Red, green, blue and alpha of each pixel. */
  pixels: number[];
}

/** Draw one picture of a prompt. */
async function drawPicture(
  prompt: string,
  numInferenceSteps: number,
  seed: number,
  options: GenerateOptions = {},
): Promise<Picture> {
  const given = { ...options, numInferenceSteps, seed };
  const { latents, images } = await pipe.generate(prompt, given);
  return { latents: Array.from(latents), pixels: Array.from(images[0]!.data) };
}

/** Draw while a LoRA is loaded: the calls wait for each other. */
async function drawAround(base64: string): Promise<Drawn[]> {
  const [before, , after] = await Promise.all([
    draw(),
    pipe.loadLora(fileOf(base64, "amid.safetensors")),
    draw(),
  ]);
  return [before, after];
}

/** A component's parameters, by the names of their records. */
async function readParameters(component: string): Promise<Record<string, string>> {
  const worker = pipe.remote as unknown as Remote<StageWorker>;
  const read = await worker.readParameters(component);
  const texts = Object.entries(read).map(([name, bytes]) => {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return [name, btoa(text)];
  });
  return Object.fromEntries(texts) as Record<string, string>;
}

/** Have weights go to the GPU and back in portions of these sizes. */
async function setTransfer(sizes: TransferSizes): Promise<void> {
  await (pipe.remote as unknown as Remote<StageWorker>).setTransfer(sizes);
}

async function usage(): Promise<Usage> {
  return pipe.usage();
}

async function unload(): Promise<void> {
  await pipe.unload();
}

const functions = {
  load,
  loadLora,
  loadFrom,
  refused,
  cancelled,
  setAdapters,
  unloadLora,
  loras,
  draw,
  drawPicture,
  drawAround,
  readParameters,
  setTransfer,
  usage,
  unload,
};

Object.assign(globalThis, { wsdLoras: functions });
