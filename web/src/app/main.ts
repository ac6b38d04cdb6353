/** The page: a form, a progress bar and a canvas around the pipeline. */

import type { ProgressEvent } from "../client";
import { AbortError, StableDiffusionPipeline, WsdError } from "../client";

interface ListedModel {
  name: string;
  title: string;
  manifest: string;
}

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const form = element<HTMLFormElement>("form");
const drawButton = element<HTMLButtonElement>("draw");
const stopButton = element<HTMLButtonElement>("stop");
const progress = element<HTMLProgressElement>("progress");
const status = element("status");
const error = element("error");
const canvas = element<HTMLCanvasElement>("canvas");

const STAGES: Record<ProgressEvent["stage"], string> = {
  library: "Downloading the compiled model",
  pipelines: "Compiling GPU pipelines",
  parameters: "Downloading the weights",
  text: "Reading the prompt",
  denoise: "Drawing",
  decode: "Decoding",
};

function showProgress({ stage, loaded, total }: ProgressEvent): void {
  progress.max = total;
  progress.value = loaded;
  const detail = stage === "denoise" ? ` (step ${loaded} of ${total})` : "";
  status.textContent = `${STAGES[stage]}${detail} …`;
}

function showError(thrown: unknown): void {
  if (thrown instanceof AbortError) {
    status.textContent = "Stopped.";
    return;
  }
  const hint = thrown instanceof WsdError ? thrown.hint : "reload the page";
  error.textContent = `${thrown instanceof Error ? thrown.message : String(thrown)}\n${hint}`;
  error.hidden = false;
  status.textContent = "";
}

/** The first model of the bundle, or the one that `?model=` names. */
async function chooseModel(): Promise<string> {
  const response = await fetch("models/index.json");
  const models = (await response.json()) as ListedModel[];
  const wanted = new URLSearchParams(location.search).get("model");
  const model = models.find(({ name }) => name === wanted) ?? models[0]!;
  document.title = `${model.name}: Web Stable Diffusion`;
  return `models/${model.manifest}manifest.json`;
}

function number(id: string): number {
  return element<HTMLInputElement>(id).valueAsNumber;
}

async function draw(pipeline: StableDiffusionPipeline): Promise<void> {
  const controller = new AbortController();
  stopButton.onclick = () => controller.abort();
  [drawButton.disabled, stopButton.disabled, error.hidden] = [true, false, true];
  try {
    const { image, timings } = await pipeline.generate(element<HTMLTextAreaElement>("prompt").value, {
      negativePrompt: element<HTMLInputElement>("negative").value,
      seed: number("seed"),
      numInferenceSteps: number("steps"),
      guidanceScale: number("guidance"),
      scheduler: element<HTMLSelectElement>("scheduler").value,
      onProgress: showProgress,
      signal: controller.signal,
    });
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d")!.putImageData(image, 0, 0);
    status.textContent = `Done in ${(timings.total / 1000).toFixed(1)} s.`;
  } catch (thrown) {
    showError(thrown);
  } finally {
    [drawButton.disabled, stopButton.disabled] = [false, true];
  }
}

async function start(): Promise<void> {
  try {
    const manifestUrl = await chooseModel();
    const pipeline = await StableDiffusionPipeline.fromPretrained(manifestUrl, {
      onProgress: showProgress,
    });
    const { defaults } = pipeline.manifest;
    element<HTMLInputElement>("steps").valueAsNumber = defaults.steps;
    element<HTMLInputElement>("guidance").valueAsNumber = defaults.guidance_scale;
    const { schedulers, default: own } = pipeline.manifest.scheduler;
    const options = Object.entries(schedulers).map(
      ([name, { title }]) => new Option(title, name, name === own, name === own),
    );
    element<HTMLSelectElement>("scheduler").append(...options);
    [canvas.width, canvas.height] = defaults.size;
    form.onsubmit = (event) => {
      event.preventDefault();
      void draw(pipeline);
    };
    drawButton.disabled = false;
    status.textContent = "Ready.";
  } catch (thrown) {
    showError(thrown);
  }
}

void start();
