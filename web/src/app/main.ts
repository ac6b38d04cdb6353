/** The drawing page: a prompt, one button, and the picture. */

import type { ListedModel, Preflight } from "../index";
import {
  AbortError,
  chooseVariant,
  parseSeed,
  preflight,
  StableDiffusionPipeline,
  UnsupportedError,
} from "../index";
import { scriptUrl } from "../worker/trusted_types";
import { DownloadWatch, savesData } from "./connection";
import { element, field, fill } from "./dom";
import { showFigures } from "./figures";
import * as form from "./form";
import { mountGallery } from "./gallery";
import { mountLanguages } from "./languages";
import { warnBeforeLeaving } from "./leaving";
import { offeredModels } from "./model_list";
import { askToForget, describeModel, describeOffer, fillExamples } from "./model_panel";
import { mountSettingsImport } from "./settings_import";
import * as stage from "./stage";
import * as status from "./status";
import { keepForm } from "./stored_form";
import { onLanguage, text } from "./strings";

const PREVIEW_EVERY = 2;
/** Models of at most so many bytes are downloaded without asking. */
const UNASKED = 64 * 2 ** 20;

/** What the page is doing, apart from drawing. */
type Phase =
  /** It examines a model. */
  | "starting"
  /** A model waits for the visitor to load it. */
  | "offered"
  | "loading"
  | "ready"
  /** Nothing can be drawn here. */
  | "unable";

const drawButton = element<HTMLButtonElement>("draw");
const drawForm = element<HTMLFormElement>("form");

let phase: Phase = "starting";
let found: Preflight | undefined;
let pipeline: StableDiffusionPipeline | undefined;
let loadMilliseconds = 0;
/** Cancels what is loaded, and what is drawn. */
let loading: AbortController | undefined;
let drawing: AbortController | undefined;
/** Whether a picture begins as soon as the model is ready, or the present picture is finished. */
let queued = false;
/** Counts choices of a model: whoever waited for an older choice does nothing more. */
let choice = 0;

mountLanguages();
const model = (): string => element<HTMLSelectElement>("model").value;
const say = status.say;
const imports = mountSettingsImport(element("import"), {
  offer: form.offer,
  apply: form.writeForm,
  read: form.readForm,
  model,
  say,
});
const take: typeof imports.take = (...settings) => imports.take(...settings);
const actions = element("picture-actions");
const gallery = mountGallery(element("gallery"), { actions, take, draw: begin, say });

/** Let the one button say what it does now. It is never disabled: that would lose the focus. */
function showButton(): void {
  const stops = drawing !== undefined || queued;
  // The buttons for a picture are not for the preview of another one.
  actions.classList.toggle("away", drawing !== undefined);
  drawButton.type = stops ? "button" : "submit";
  drawButton.classList.toggle("stops", stops);
  const useless = !stops && (phase === "offered" || phase === "unable");
  drawButton.setAttribute("aria-disabled", String(useless));
  element("pause").hidden = phase !== "loading";
  element("draw-text").textContent = stops ? text().stop : text().draw;
  const mac = /Mac|iPhone|iPad/.test(navigator.userAgent);
  element("draw-keys").textContent = stops ? "Esc" : mac ? "⌘ ⏎" : "Ctrl ⏎";
  element("preparing-how").textContent = queued ? text().queued : text().preparingHow;
}

function enter(next: Phase): void {
  phase = next;
  showButton();
}

/** Draw what the form says, now or as soon as the model is ready. */
function begin(): void {
  if (queued) return;
  if (phase === "ready" && drawing === undefined) void draw();
  else if (phase === "offered") {
    status.say(text().drawFirst);
    element("load").focus();
  } else if (phase === "unable") status.say(text().unableHow);
  else {
    queued = true;
    status.announce(text().queued);
    showButton();
  }
}

/** Stop the picture that is drawn, or the one that waits. */
function stop(): void {
  const waited = queued;
  queued = false;
  if (drawing !== undefined) drawing.abort();
  else if (waited) {
    showButton();
    status.announce(text().stopped);
  }
}

async function draw(): Promise<void> {
  const drawn = pipeline!;
  const { prompt, negative, seed, steps, guidance, scheduler, size, images, image } =
    form.readForm();
  const [width, height] = size.split("x").map(Number);
  const chosenSeed = seed === "" ? form.randomSeed() : seed;
  form.showSeed(chosenSeed);
  status.hideError();
  drawing = new AbortController();
  showButton();
  const stay = warnBeforeLeaving();
  try {
    const generated = await drawn.generate(prompt, {
      ...(negative === "" ? {} : { negativePrompt: negative }),
      // The field's pattern admits digits; a number that is out of range is refused with its hint.
      seed: parseSeed(chosenSeed) ?? BigInt(chosenSeed),
      numInferenceSteps: Number(steps),
      guidanceScale: Number(guidance),
      scheduler,
      numImages: Number(images),
      ...(image === "" ? {} : { imageIndex: Number(image) - 1 }),
      width: width!,
      height: height!,
      previewEvery: PREVIEW_EVERY,
      onProgress: (event) => {
        if ("preview" in event) stage.showPreview(event.preview, prompt);
        status.showProgress(event);
      },
      signal: drawing.signal,
    });
    for (const picture of generated.images) stage.showPicture(picture, prompt);
    await gallery.add(generated);
    await showFigures(generated, drawn, loadMilliseconds);
    status.say(text().done(generated.timings.total));
    if (document.hidden) status.setTitlePrefix(text().doneTitle);
  } catch (error) {
    stage.endPreview();
    status.showError(error);
  } finally {
    stay();
    drawing = undefined;
    showButton();
  }
  if (queued && phase === "ready") drawQueued();
}

/** Begin the picture that waits. */
function drawQueued(): void {
  queued = false;
  void draw();
}

/** Load the model that was found, and then draw what waits. */
async function load({ manifestUrl, integrity, bytes }: Preflight): Promise<void> {
  const turn = choice;
  const controller = new AbortController();
  loading = controller;
  status.hideError();
  enter("loading");
  stage.showWelcome("preparing", 0);
  const started = performance.now();
  const download = new DownloadWatch();
  try {
    const loaded = await StableDiffusionPipeline.fromPretrained(manifestUrl, {
      integrity,
      onProgress: (event) => {
        if (turn !== choice) return;
        if (event.stage === "parameters" && bytes.kept === 0) download.arrived(event.loaded);
        status.showProgress(event);
        stage.clearArt(event.overall);
      },
      onNotice: status.showNotice,
      signal: controller.signal,
    });
    if (turn !== choice) {
      await loaded.unload();
      return;
    }
    pipeline = loaded;
    loadMilliseconds = performance.now() - started;
    ready();
  } catch (error) {
    if (turn === choice) await fail(error);
  } finally {
    if (loading === controller) loading = undefined;
  }
}

function ready(): void {
  element("forget").hidden = false;
  enter("ready");
  stage.showWelcome("welcome", 1);
  status.say(text().ready);
  if (queued) drawQueued();
}

/** Say why nothing is loaded, and let the visitor try again where that can help. */
async function fail(error: unknown): Promise<void> {
  queued = false;
  const turn = choice;
  if (found === undefined || error instanceof UnsupportedError) {
    enter("unable");
    stage.showWelcome("unable", 0);
    status.showError(error);
    return;
  }
  // What has arrived is kept, so less is missing than before.
  const { manifestUrl, integrity } = found;
  const again = await preflight(manifestUrl, { integrity }).catch(() => undefined);
  if (turn !== choice) return;
  found = again ?? found;
  await showOffer(found);
  if (error instanceof AbortError) status.say(text().paused);
  else status.showError(error);
}

async function showOffer(model: Preflight): Promise<void> {
  describeModel(model);
  await describeOffer(model);
  enter("offered");
  stage.showWelcome("offer", 0);
}

/** Unload the current model, and choose a precision of another one that this GPU can take. */
async function chooseModel(model: ListedModel): Promise<void> {
  status.setTitle(`${model.name}: Web Stable Diffusion`);
  element<HTMLAnchorElement>("self-test").href =
    `selftest.html?model=${encodeURIComponent(model.name)}`;
  const select = element<HTMLSelectElement>("variant");
  await choose(async () => {
    const chosen = await chooseVariant(model);
    const listed = model.variants.map(({ dtype, manifest }) => [manifest, dtype] as const);
    fill("variant", listed, chosen.variant.manifest);
    element("variant-row").hidden = listed.length < 2;
    for (const { variant, problem } of chosen.passedOver) {
      const { dtype } = chosen.variant;
      status.showNotice(`${text().inPlaceOf(dtype, variant.dtype)}: ${problem.message}.`);
    }
    return chosen;
  });
  select.onchange = () => {
    const { manifest, integrity } = model.variants.find((each) => each.manifest === select.value)!;
    void choose(() => preflight(manifest, { integrity }));
  };
}

/** Show a model's facts and defaults, and load it unless it is large. */
async function choose(examine: () => Promise<Preflight>): Promise<void> {
  choice += 1;
  const turn = choice;
  drawing?.abort();
  loading?.abort();
  status.hideError();
  const former = pipeline;
  [pipeline, found] = [undefined, undefined];
  element("forget").hidden = true;
  enter("starting");
  stage.showWelcome("preparing", 0);
  status.say(text().looking);
  try {
    await former?.unload();
    const examined = await examine();
    if (turn !== choice) return;
    found = examined;
    describeModel(examined);
    form.offerModel(examined);
    if (turn === 1) keepForm({ read: form.readForm, onChange: form.onFormChange, take });
    showExamples(examined.manifest.examples);
    const [problem] = examined.problems;
    if (problem !== undefined) throw problem;
    element("forget").hidden = examined.bytes.kept === 0;
    const missing = examined.bytes.total - examined.bytes.kept;
    if (missing === 0 || (missing <= UNASKED && !savesData())) await load(examined);
    else {
      queued = false;
      await showOffer(examined);
      status.say(text().chooseDownload);
    }
  } catch (error) {
    if (turn === choice) await fail(error);
  }
}

function showExamples(examples: readonly string[]): void {
  if (field("prompt").value === "") form.writeForm({ prompt: examples[0] ?? "" });
  fillExamples(examples, (prompt) => {
    form.writeForm({ prompt });
    begin();
  });
}

function startKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (document.querySelector("dialog[open]") !== null) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (drawing === undefined && !queued) drawForm.requestSubmit();
    } else if (event.key === "Escape") stop();
  });
  drawButton.addEventListener("click", (event) => {
    if (drawing === undefined && !queued) return;
    event.preventDefault();
    // The second click of a double click is no wish to stop.
    if (event.detail < 2) stop();
  });
  drawForm.addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  // A field that holds something wrong must be seen, or the browser cannot point at it.
  const settings = element<HTMLDetailsElement>("settings");
  settings.addEventListener("invalid", () => (settings.open = true), true);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && drawing === undefined && phase === "ready") status.setTitlePrefix("");
  });
}

/** Write what the page has said so far in another language. */
function followLanguage(): void {
  onLanguage(() => {
    showButton();
    form.describeSettings();
    if (found !== undefined) {
      describeModel(found);
      void describeOffer(found);
    }
    if (phase === "ready" && drawing === undefined) status.say(text().ready);
    if (phase === "offered") status.say(text().chooseDownload);
  });
}

async function start(): Promise<void> {
  followLanguage();
  showButton();
  stage.showWelcome("preparing", 0);
  form.startForm();
  startKeys();
  element("pause").onclick = () => loading?.abort();
  element("load").onclick = () => {
    if (found !== undefined) void load(found);
  };
  element("forget").onclick = () => void forget();
  if (!isSecureContext) {
    // Such an address lacks more than WebGPU, so the rest of the page would fail in other words.
    throw new UnsupportedError("this address is not secure", "open the page over https");
  }
  const { models, wanted, unknown } = await offeredModels();
  fill(
    "model",
    models.map((model) => [model.name, model.name]),
    wanted.name,
  );
  element("model-row").hidden = models.length < 2;
  if (unknown !== undefined) status.showNotice(text().unknownModel(unknown, wanted.name));
  const select = element<HTMLSelectElement>("model");
  select.onchange = () => void chooseModel(models.find((model) => model.name === select.value)!);
  await chooseModel(wanted);
}

async function forget(): Promise<void> {
  if (found === undefined || !(await askToForget(found))) return;
  element("forget").hidden = true;
  element("about-model").querySelector("summary")!.focus();
}

start().catch((error: unknown) => void fail(error));
// Private windows of some browsers have no service worker; then a second visit needs the network.
const offline = navigator.serviceWorker as ServiceWorkerContainer | undefined;
offline?.register(scriptUrl(new URL("sw.js", document.baseURI))).catch(() => undefined);
