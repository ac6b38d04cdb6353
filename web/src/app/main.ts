/** The page: a form, a progress bar and a canvas around the pipeline. */

import type { ProgressEvent } from "../client";
import { AbortError, StableDiffusionPipeline, WsdError } from "../client";
import { pictureFile, settingsFrom } from "./pictures";

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
const pictures = element<HTMLUListElement>("pictures");
const PREVIEW_EVERY = 2;

const STAGES: Record<ProgressEvent["stage"], string> = {
  library: "Downloading the compiled model",
  pipelines: "Compiling GPU pipelines",
  parameters: "Downloading the weights",
  text: "Reading the prompt",
  denoise: "Drawing",
  decode: "Decoding",
};

function show(image: ImageData): void {
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

function showProgress({ stage, loaded, total, preview }: ProgressEvent): void {
  if (preview !== undefined) show(preview);
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
    const prompt = element<HTMLTextAreaElement>("prompt").value;
    const negativePrompt = element<HTMLInputElement>("negative").value;
    const { images, timings, settings } = await pipeline.generate(prompt, {
      ...(negativePrompt === "" ? {} : { negativePrompt }),
      seed: number("seed"),
      numInferenceSteps: number("steps"),
      guidanceScale: number("guidance"),
      scheduler: element<HTMLSelectElement>("scheduler").value,
      numImages: number("images"),
      previewEvery: PREVIEW_EVERY,
      onProgress: showProgress,
      signal: controller.signal,
    });
    for (const [index, image] of images.entries()) {
      show(image);
      const file = await pictureFile(canvas, settings, index);
      pictures.prepend(listItem(file));
    }
    status.textContent = `Done in ${(timings.total / 1000).toFixed(1)} s.`;
  } catch (thrown) {
    showError(thrown);
  } finally {
    [drawButton.disabled, stopButton.disabled] = [false, true];
  }
}

/** A finished picture with a link that saves it. */
function listItem(file: File): HTMLLIElement {
  const [item, link, image] = [
    document.createElement("li"), document.createElement("a"), new Image(128),
  ];
  link.href = image.src = URL.createObjectURL(file);
  link.download = image.alt = file.name;
  link.append(image, "Save");
  item.append(link);
  return item;
}

/** Take the settings of a PNG that is dropped on the page. */
async function drop(event: DragEvent): Promise<void> {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file === undefined) return;
  const settings = await settingsFrom(file);
  if (settings === undefined) {
    status.textContent = `${file.name} holds no settings.`;
    return;
  }
  const fields: Record<string, string | number | undefined> = {
    prompt: settings.prompt,
    negative: settings.negativePrompt ?? "",
    seed: settings.seed,
    steps: settings.steps,
    guidance: settings.guidanceScale,
    scheduler: settings.scheduler,
  };
  for (const [id, value] of Object.entries(fields)) {
    if (value !== undefined) element<HTMLInputElement>(id).value = String(value);
  }
  status.textContent = `Settings taken from ${file.name}.`;
}

/** Offer the model's example prompts; the first one stands in the empty prompt field. */
function offerExamples(examples: string[]): void {
  const prompt = element<HTMLTextAreaElement>("prompt");
  const choice = element<HTMLSelectElement>("examples");
  choice.append(...examples.map((text) => new Option(text, text)));
  choice.onchange = () => (prompt.value = choice.value);
  element("examples-row").hidden = examples.length === 0;
  if (prompt.value === "") prompt.value = examples[0] ?? "";
}

async function start(): Promise<void> {
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => void drop(event));
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
    offerExamples(pipeline.manifest.examples);
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
