/** The drawing page: a form around the pipeline. */

import type { ListedModel, Preflight } from "../index";
import {
  chooseVariant,
  compiledSizes,
  parseSeed,
  preflight,
  StableDiffusionPipeline,
} from "../index";
import { bytes, element, field, fill } from "./dom";
import type { Offer } from "./dropped_settings";
import { adopt } from "./dropped_settings";
import { addPictures, show, showFigures } from "./gallery";
import { offeredModels } from "./model_list";
import { scriptUrl } from "../worker/trusted_types";
import { settingsFrom } from "./png_files";
import { hideError, say, showError, showNotice, showProgress } from "./status";

const drawButton = element<HTMLButtonElement>("draw");
const stopButton = element<HTMLButtonElement>("stop");
const loadButton = element<HTMLButtonElement>("load");
const forgetButton = element<HTMLButtonElement>("forget");
const PREVIEW_EVERY = 2;
/** Models of at most so many bytes are downloaded without asking. */
const UNASKED = 64 * 2 ** 20;

let pipeline: StableDiffusionPipeline | undefined;
let loadSeconds = 0;
/** What the form offers of the chosen model. */
let offered: Pick<Offer, "model" | "schedulers" | "sizes" | "eta"> | undefined;

/** Do work that the stop button cancels, and show the error if it fails. */
async function work(doing: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  stopButton.onclick = () => controller.abort();
  [stopButton.disabled, drawButton.disabled] = [false, true];
  hideError();
  try {
    await doing(controller.signal);
  } catch (thrown) {
    showError(thrown);
  } finally {
    [stopButton.disabled, drawButton.disabled] = [true, pipeline === undefined];
  }
}

async function draw(model: StableDiffusionPipeline, signal: AbortSignal): Promise<void> {
  const negativePrompt = field("negative").value;
  const [width, height] = element<HTMLSelectElement>("size").value.split("x").map(Number);
  const generated = await model.generate(field("prompt").value, {
    ...(negativePrompt === "" ? {} : { negativePrompt }),
    // The field's pattern admits digits; a number that is out of range is refused with its hint.
    seed: parseSeed(field("seed").value) ?? BigInt(field("seed").value),
    numInferenceSteps: field("steps").valueAsNumber,
    guidanceScale: field("guidance").valueAsNumber,
    scheduler: field("scheduler").value,
    numImages: field("images").valueAsNumber,
    width: width!,
    height: height!,
    previewEvery: PREVIEW_EVERY,
    onProgress: (event) => {
      if (event.preview !== undefined) show(event.preview);
      showProgress(event);
    },
    signal,
  });
  await addPictures(generated);
  await showFigures(generated, model, loadSeconds);
  say(`Done in ${(generated.timings.total / 1000).toFixed(1)} s.`);
}

async function load({ manifestUrl, integrity }: Preflight, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  loadButton.hidden = true;
  try {
    pipeline = await StableDiffusionPipeline.fromPretrained(manifestUrl, {
      integrity,
      onProgress: showProgress,
      onNotice: showNotice,
      signal,
    });
  } catch (error) {
    // The visitor can try again; files that have arrived are kept.
    loadButton.hidden = false;
    throw error;
  }
  loadSeconds = (performance.now() - started) / 1000;
  forgetButton.hidden = false;
  say("Ready.");
}

/** Unload the current model, and choose a precision of another one that this GPU can take. */
async function chooseModel(model: ListedModel): Promise<void> {
  const select = element<HTMLSelectElement>("variant");
  await choose(async () => {
    const choice = await chooseVariant(model);
    const listed = model.variants.map(({ dtype, manifest }) => [manifest, dtype] as const);
    fill("variant", listed, choice.variant.manifest);
    element("variant-row").hidden = listed.length < 2;
    for (const { variant, problem } of choice.passedOver) {
      showNotice(`${choice.variant.dtype} in place of ${variant.dtype}: ${problem.message}.`);
    }
    return choice;
  });
  select.onchange = () => {
    const { manifest, integrity } = model.variants.find((each) => each.manifest === select.value)!;
    void choose(() => preflight(manifest, { integrity }));
  };
}

/** Show a model's facts and defaults, and load it unless it is large. */
async function choose(examine: () => Promise<Preflight>): Promise<void> {
  await pipeline?.unload();
  pipeline = undefined;
  [loadButton.hidden, forgetButton.hidden] = [true, true];
  say("Looking at the model …");
  await work(async (signal) => {
    const found = await examine();
    const { manifestUrl } = found;
    element("model-facts").textContent = describe(found);
    offer(found);
    const [problem] = found.problems;
    if (problem !== undefined) throw problem;
    const missing = found.bytes.total - found.bytes.kept;
    loadButton.textContent = missing === 0 ? "Load" : `Download ${bytes(missing)}`;
    loadButton.hidden = false;
    loadButton.onclick = () => void work((again) => load(found, again));
    forgetButton.hidden = found.bytes.kept === 0;
    forgetButton.onclick = () => void forget(manifestUrl);
    if (missing <= UNASKED) await load(found, signal);
    else say("Choose Download to begin.");
  });
}

async function forget(manifestUrl: string): Promise<void> {
  await StableDiffusionPipeline.purge(manifestUrl);
  forgetButton.hidden = true;
  say("Forgotten: the next visit downloads it again.");
}

function describe({ manifest, bytes: size }: Preflight): string {
  const least = Math.min(...manifest.peak_bytes.map((peak) => peak.bytes));
  const [whole] = manifest.peak_bytes;
  const kept = size.kept === 0 ? "" : `, ${bytes(size.kept)} of it kept in this browser`;
  return (
    `${manifest.model.title}. ${bytes(size.total)}${kept}. ` +
    `GPU memory: ${bytes(whole!.bytes)}, or ${bytes(least)} with one stage at a time.`
  );
}

/** Fill the form with a model's options and their defaults. */
function offer({ manifest, sizes, takesNegativePrompt }: Preflight): void {
  const { defaults, schedulers, examples } = manifest;
  field("negative").disabled = !takesNegativePrompt;
  field("negative").placeholder = takesNegativePrompt ? "" : "This model does not use it";
  field("steps").valueAsNumber = defaults.steps;
  field("guidance").valueAsNumber = defaults.guidance_scale;
  fill(
    "scheduler",
    Object.entries(schedulers.available).map(([name, { title }]) => [name, title]),
    schedulers.default,
  );
  const drawable = sizes.length === 0 ? compiledSizes(manifest) : sizes;
  fill(
    "size",
    drawable.map((size) => [size.join("x"), size.join("x")]),
    defaults.size.join("x"),
  );
  // Older manifests have no eta.
  const { eta = 0 } = defaults as Partial<typeof defaults>;
  offered = { model: manifest.model, schedulers: schedulers.available, sizes: drawable, eta };
  fill(
    "examples",
    examples.map((text) => [text, text]),
  );
  const choice = element<HTMLSelectElement>("examples");
  choice.onchange = () => (field("prompt").value = choice.value);
  element("examples-row").hidden = examples.length === 0;
  if (field("prompt").value === "") field("prompt").value = examples[0] ?? "";
}

/** Fill the form with the settings of a PNG that is dropped on the page. */
async function drop(event: DragEvent): Promise<void> {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file === undefined) return;
  const found = await settingsFrom(file);
  if (typeof found === "string") {
    say(found);
    return;
  }
  if (offered === undefined) {
    say(`The settings of ${file.name} can be taken when a model is chosen.`);
    return;
  }
  const guidance = { min: Number(field("guidance").min), max: Number(field("guidance").max) };
  const maxImages = Number(field("images").max);
  const offer = { ...offered, scheduler: field("scheduler").value, guidance, maxImages };
  const { fields, message } = adopt(found, offer, file.name);
  for (const [id, value] of Object.entries(fields)) field(id).value = value;
  say(message);
}

async function start(): Promise<void> {
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => void drop(event));
  element("dice").onclick = () => {
    field("seed").value = crypto.getRandomValues(new Uint32Array(1))[0]!.toString();
  };
  element<HTMLFormElement>("form").onsubmit = (event) => {
    event.preventDefault();
    if (pipeline === undefined) return;
    const model = pipeline;
    void work((signal) => draw(model, signal));
  };
  const { models, wanted } = await offeredModels();
  fill(
    "model",
    models.map((model) => [model.name, model.name]),
    wanted.name,
  );
  element("model-row").hidden = models.length < 2;
  const select = element<HTMLSelectElement>("model");
  const chosen = (): Promise<void> => {
    document.title = `${select.value}: Web Stable Diffusion`;
    element<HTMLAnchorElement>("self-test").href =
      `selftest.html?model=${encodeURIComponent(select.value)}`;
    return chooseModel(models.find((model) => model.name === select.value)!);
  };
  select.onchange = () => void chosen();
  await chosen();
}

start().catch(showError);
// Private windows of some browsers have no service worker; then a second visit needs the network.
const offline = navigator.serviceWorker as ServiceWorkerContainer | undefined;
offline?.register(scriptUrl(new URL("sw.js", document.baseURI))).catch(() => undefined);
