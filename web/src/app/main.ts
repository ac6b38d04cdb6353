/** The drawing page: a prompt, one button, and the picture. */

import type { Choice, GenerateOptions, ListedModel, Preflight, ProgressEvent } from "../index";
import {
  AbortError,
  chooseVariant,
  parseSeed,
  preflight,
  StableDiffusionPipeline,
  UnsupportedError,
} from "../index";
import { scriptUrl } from "../worker/trusted_types";
import { mountAllSettings } from "./all_settings";
import { showArt } from "./art";
import { DownloadWatch, savesData } from "./connection";
import { mountControls } from "./controls";
import { element, field, fill } from "./dom";
import { fillExamples } from "./examples";
import { mountFigures, showFigures } from "./figures";
import type { Loading } from "./figures_report";
import * as form from "./form";
import { formLink } from "./form_link";
import { mountGallery } from "./gallery";
import { readSecondPass } from "./given/fields";
import { mountGiven } from "./given/panel";
import { mountTuning, tuningOptions } from "./tuning_choice";
import { mountLanguages } from "./languages";
import { warnBeforeLeaving } from "./leaving";
import { mountLoras } from "./loras/panel";
import { offeredModels } from "./model_list";
import { askToForget, describeModel, describeOffer } from "./model_panel";
import { partFlagged } from "./safety";
import { mountSettingsImport } from "./settings_import";
import * as stage from "./stage";
import * as status from "./status";
import { keepForm } from "./stored_form";
import type { Sentence } from "./strings";
import { onLanguage, text } from "./strings";
import { supportOptions } from "./support_options";
import * as thirdEncoder from "./third_encoder";
import { mountTokenCounts } from "./token_counts";

const PREVIEW_EVERY = 2;
/** Models of at most so many bytes are downloaded without asking. */
const AUTOMATIC_DOWNLOAD_BYTES = 64 * 2 ** 20;

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

/** What the address overrides; it is read once, because the page changes its address. */
const support = supportOptions();
let phase: Phase = "starting";
let found: Preflight | undefined;
let pipeline: StableDiffusionPipeline | undefined;
let loadTook: Loading | undefined;
/** Cancels what is loaded, and what is drawn. */
let loading: AbortController | undefined;
let drawing: AbortController | undefined;
/** Whether a picture begins as soon as the model is ready, or the present picture is finished. */
let queued = false;
/** Counts choices of a model: whoever waited for an older choice does nothing more. */
let choice = 0;
/** Whether the form is kept already, and filled with what was kept. */
let formKept = false;

mountLanguages();
mountFigures();
mountTuning(() => pipeline);
const model = (): string => element<HTMLSelectElement>("model").value;
const given = mountGiven({
  say: tell,
  fail: (error, title, steps) => status.showError(error, undefined, { title, steps }),
  size: form.readSize,
  changed: form.changed,
});
form.onFormChange(given.describe);
const loras = mountLoras({
  say: tell,
  fail: (error, title, steps) => {
    const told = title === undefined || steps === undefined ? undefined : { title, steps };
    status.showError(error, undefined, told);
  },
  prompt: () => field("prompt").value,
  setPrompt: (prompt) => form.writeForm({ prompt }),
  readSettings: form.readForm,
  writeSettings: form.writeForm,
});
const tokens = mountTokenCounts({
  read: form.readForm,
  count: (prompt, options) => pipeline?.countTokens(prompt, options),
});
form.onFormChange(tokens.count);
const allSettings = mountAllSettings({ pipeline: () => pipeline, options: plainOptions });
form.onFormChange(allSettings.describe);
const imports = mountSettingsImport(element("import"), {
  offer: () => {
    const offered = form.offer();
    if (offered === undefined) return undefined;
    const eta = loras.eta(offered.scheduler) ?? offered.eta;
    return { ...offered, eta, loras: loras.known(), inversions: loras.knownInversions() };
  },
  apply: form.writeForm,
  read: () => {
    const fields = form.readForm();
    return { ...fields, prompt: loras.tagged(fields.prompt) };
  },
  applyLoras: loras.apply,
  isLora: loras.isFor,
  addLoras: loras.add,
  model,
  say: tell,
  canStart: () => given.canStart(),
  start: (file, name) => given.take(file, name),
  offerStart: (file, name) => given.offer(file, name),
});
const takeSettings: typeof imports.take = (...settings) => imports.take(...settings);
const actions = element("picture-actions");
const gallery = mountGallery(element("gallery"), {
  actions,
  take: takeSettings,
  draw: submit,
  canStart: () => given.canStart(),
  start: (file, name) => given.take(file, name),
  setStartAside: () => given.setAside(),
  say: tell,
});

/** Say something that is not about the present work, which goes on. */
function tell(said: Sentence): void {
  if (drawing === undefined && loading === undefined) status.say(said);
  else status.announce(said);
}

/** Draw as the form's own button does: only what is right in all fields. */
function submit(): void {
  drawForm.requestSubmit();
}

/** Let the one button say what it does now. It is never disabled: that would lose the focus. */
function showButton(): void {
  const stops = drawing !== undefined || queued;
  // The buttons for a picture are not for the preview of another one.
  if (drawing !== undefined) giveUpFocus(actions);
  actions.classList.toggle("away", drawing !== undefined);
  const next = element("next");
  if (drawing === undefined || !queued) giveUpFocus(next);
  next.hidden = drawing === undefined || !queued;
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

/** Give the focus to the one button, if it is in an element that is about to be hidden. */
function giveUpFocus(hidden: HTMLElement): void {
  if (hidden.contains(document.activeElement)) drawButton.focus();
}

function enter(next: Phase): void {
  phase = next;
  showButton();
}

/** Draw what the form says, now or as soon as the model is ready. */
function begin(): void {
  if (queued) return;
  const missing = given.missing() ?? loras.takeTags();
  if (missing !== undefined) {
    tell(missing);
    return;
  }
  if (phase === "ready" && drawing === undefined) void draw();
  else if (phase === "offered") {
    status.say(() => text().drawFirst);
    element("load").focus();
  } else if (phase === "unable") status.say(() => text().unableHow);
  else {
    queued = true;
    // It stands in the frame or below it, as long as it is true.
    status.announceUnseen(text().queued);
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
    status.announce(() => text().stopped);
  }
}

/** The options of the form that are settings too. */
function plainOptions(): GenerateOptions {
  const { steps, guidance, scheduler } = form.readForm();
  const [width, height] = form.readSize();
  const eta = loras.eta(scheduler);
  return {
    numInferenceSteps: Number(steps),
    guidanceScale: Number(guidance),
    scheduler,
    ...(eta === undefined ? {} : { eta }),
    width,
    height,
  };
}

/** Draw a picture, and then the one that waits. */
async function draw(): Promise<void> {
  await drawOne();
  if (queued && phase === "ready") drawQueued();
}

async function drawOne(): Promise<void> {
  const turn = choice;
  const drawn = pipeline!;
  const { safetyChecker, manifest: generating } = found!;
  const report = (event: ProgressEvent): void => {
    if (turn !== choice) return;
    if ("preview" in event) stage.showPreview(event.preview, prompt);
    status.showProgress(event);
  };
  const { prompt, negative, seed, images, image, ...others } = form.readForm();
  const [plain, settings] = [plainOptions(), allSettings.read()];
  const { variationSeed, variationStrength, promptSyntax, clipSkip, cacheInterval } = others;
  const { prompt2, negative2, prompt3, negative3 } = others;
  const secondPass = readSecondPass();
  const chosenSeed = seed === "" ? form.randomSeed() : seed;
  form.showSeed(chosenSeed);
  status.hideError();
  const controller = new AbortController();
  drawing = controller;
  showButton();
  status.say(() => text().starting);
  stage.hideCard();
  const stay = warnBeforeLeaving();
  try {
    const { signal } = controller;
    const prepared = loras.prepare({ signal, onProgress: report });
    if (prepared !== true && !(await prepared)) return;
    const generated = await drawn.generate(prompt, {
      ...(negative + negative2 + negative3 === "" ? {} : { negativePrompt: negative }),
      ...(promptSyntax === "" ? {} : { promptSyntax: "a1111" as const }),
      ...(clipSkip === "" ? {} : { clipSkip: Number(clipSkip) }),
      ...(cacheInterval === "" ? {} : { cacheInterval: Number(cacheInterval) }),
      ...(prompt2 === "" ? {} : { prompt2 }),
      ...(negative2 === "" ? {} : { negativePrompt2: negative2 }),
      ...(prompt3 === "" ? {} : { prompt3 }),
      ...(negative3 === "" ? {} : { negativePrompt3: negative3 }),
      // The field's pattern admits digits; a number that is out of range is refused with its hint.
      seed: parseSeed(chosenSeed) ?? BigInt(chosenSeed),
      ...plain,
      ...(settings === undefined ? {} : { settings }),
      numImages: Number(images),
      ...(image === "" ? {} : { imageIndex: Number(image) - 1 }),
      ...given.options(),
      ...(secondPass === undefined ? {} : { secondPass }),
      ...(variationSeed === ""
        ? {}
        : {
            variationSeed: parseSeed(variationSeed) ?? BigInt(variationSeed),
            variationStrength: Number(variationStrength),
          }),
      // What the safety checker may object to is not shown before.
      previewEvery: safetyChecker ? 0 : PREVIEW_EVERY,
      onProgress: report,
      signal,
    });
    // Otherwise the place and the sentence are those of another model by now.
    const { shown, kept, hidden } = partFlagged(generated);
    const warning = hidden === 0 ? undefined : (): string => text().safety.flagged(hidden);
    const from = generated.picture?.before;
    const none = kept.images.length === 0 ? warning : undefined;
    if (turn === choice)
      for (const image of shown) stage.showPicture({ image, prompt, from, hidden: none });
    await gallery.add(kept);
    if (turn !== choice) return;
    const { numInferenceSteps: steps = 0, guidanceScale: guidance = 0 } = plain;
    const work = { model: generating.model, steps, guidance, loading: loadTook! };
    await showFigures(generated, drawn, work);
    status.say(() => {
      const done = text().done(generated.timings.total);
      return warning === undefined ? done : `${done} ${warning()}`;
    });
    if (document.hidden) status.setTitlePrefix(text().doneTitle);
  } catch (error) {
    if (turn !== choice) return;
    stage.endPreview();
    status.showError(error);
  } finally {
    stay();
    drawing = undefined;
    showButton();
  }
}

/** Begin the picture that waits, unless a field holds something wrong by now. */
function drawQueued(): void {
  queued = false;
  if (drawForm.reportValidity()) void draw();
  else showButton();
}

/**
 * Load the model that was found, and then draw what waits.
 *
 * @param started when the visitor asked for it, in milliseconds since the page was opened.
 */
async function load(model: Preflight, started: number): Promise<void> {
  const { manifestUrl, integrity, safetyChecker, textEncoder3, bytes } = model;
  const turn = choice;
  const controller = new AbortController();
  loading = controller;
  status.hideError();
  // What is kept cannot be removed while it is being fetched.
  element("forget").hidden = true;
  enter("loading");
  stage.showWelcome("preparing", 0);
  const download = new DownloadWatch();
  const { kernels, ignoredRules } = support;
  try {
    const loaded = await StableDiffusionPipeline.fromPretrained(manifestUrl, {
      integrity,
      safetyChecker,
      textEncoder3,
      kernels,
      ignoredRules,
      ...tuningOptions(),
      onProgress: (event) => {
        if (turn !== choice) return;
        if (event.stage === "parameters" && bytes.kept === 0) download.arrived(event.loaded);
        status.showProgress(event);
        showArt(event.overall);
      },
      onNotice: (english) => {
        if (turn === choice) status.showNotice({ english });
      },
      signal: controller.signal,
    });
    if (turn !== choice) {
      await loaded.unload();
      return;
    }
    pipeline = loaded;
    loras.attach(loaded);
    const { loadTimes: times } = loaded;
    loadTook = { milliseconds: performance.now() - started, bytes, times };
    ready();
  } catch (error) {
    if (turn === choice) await fail(error);
  } finally {
    if (loading === controller) loading = undefined;
  }
}

function ready(): void {
  enter("ready");
  tokens.count();
  allSettings.describe();
  stage.showWelcome("welcome", 1);
  status.say(() => text().ready);
  // A picture of the former model that is not over yet begins the next one when it is.
  if (queued && drawing === undefined) drawQueued();
  void examineAgain();
}

/** Look again how much of the model this browser keeps, and show it. */
async function examineAgain(): Promise<void> {
  const turn = choice;
  const { manifestUrl, integrity, safetyChecker, textEncoder3 } = found!;
  const options = { integrity, safetyChecker, textEncoder3 };
  const again = await preflight(manifestUrl, options).catch(() => undefined);
  if (again === undefined || turn !== choice) return;
  found = again;
  showFacts(again);
  if (phase === "offered") await describeOffer(again);
}

function showFacts(model: Preflight): void {
  describeModel(model);
  element("forget").hidden = model.bytes.kept === 0 || phase === "loading";
}

/** Say why nothing is loaded, and let the visitor try again where that can help. */
async function fail(error: unknown): Promise<void> {
  queued = false;
  const turn = choice;
  if (found === undefined || error instanceof UnsupportedError) {
    enter("unable");
    stage.showWelcome("unable", 0);
    // A network that was away for a moment, for example; no GPU comes by trying again.
    const tryAgain = (): void => location.reload();
    status.showError(error, error instanceof UnsupportedError ? undefined : tryAgain);
    return;
  }
  // What has arrived is kept, so less is missing than before.
  await examineAgain();
  if (turn !== choice) return;
  await showOffer(found);
  if (error instanceof AbortError) status.say(() => text().paused);
  else status.showError(error);
}

async function showOffer(model: Preflight): Promise<void> {
  await describeOffer(model);
  enter("offered");
  showFacts(model);
  stage.showWelcome("offer", 0);
}

/** Unload the current model, and choose a precision of another one that this GPU can take. */
async function chooseModel(model: ListedModel): Promise<void> {
  status.setTitle(`${model.name}: Web Stable Diffusion`);
  element<HTMLAnchorElement>("self-test").href =
    `selftest.html?model=${encodeURIComponent(model.name)}`;
  const select = element<HTMLSelectElement>("variant");
  select.onchange = () => {
    const variant = model.variants.find((each) => each.manifest === select.value)!;
    const { manifest, integrity, safetyChecker } = variant;
    status.clearNotices();
    const options = { integrity, safetyChecker, textEncoder3: thirdEncoder.wanted() };
    void choose(() => preflight(manifest, options));
  };
  const showVariants = (chosen: Choice): void => {
    const listed = model.variants.map(({ dtype, manifest }) => [manifest, dtype] as const);
    fill("variant", listed, chosen.variant.manifest);
    element("variant-row").hidden = listed.length < 2;
    for (const { variant, problem } of chosen.passedOver) {
      const { dtype } = chosen.variant;
      const own = (): string => text().inPlaceOf(dtype, variant.dtype);
      status.showNotice({ own, english: `${problem.message}.` });
    }
  };
  const { dtype, ignoredRules } = support;
  // The address is about the model that the page opens with.
  const forced = choice === 0 ? dtype : undefined;
  const options = { dtype: forced, ignoredRules, textEncoder3: thirdEncoder.wanted() };
  await choose(() => chooseVariant(model, options), showVariants);
}

/**
 * Show a model's facts and defaults, and load it unless it is large.
 *
 * @param examine finds out what is known of it.
 * @param show shows what else was found, unless another model has been chosen meanwhile.
 */
async function choose<Found extends Preflight>(
  examine: () => Promise<Found>,
  show?: (found: Found) => void,
): Promise<void> {
  // Whoever opens the page asks for its first model.
  const asked = choice === 0 ? 0 : performance.now();
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
  status.say(() => text().looking);
  try {
    await former?.unload();
    const examined = await examine();
    if (turn !== choice) return;
    found = examined;
    show?.(examined);
    showFacts(examined);
    thirdEncoder.show(examined);
    form.offerModel(examined);
    allSettings.offerModel(examined);
    // Where nothing can be drawn, the page says that.
    const isDrawable = examined.problems.length === 0;
    given.offerModel(examined.manifest, isDrawable ? examined.pictureSizes : undefined);
    // Settings of a link may name some of them.
    await loras.offerModel(examined);
    if (turn !== choice) return;
    startKeeping();
    showExamples(examined);
    const [problem] = examined.problems;
    if (problem !== undefined) throw problem;
    const missing = examined.bytes.total - examined.bytes.kept;
    if (missing === 0 || (missing <= AUTOMATIC_DOWNLOAD_BYTES && !savesData()))
      await load(examined, asked);
    else {
      queued = false;
      await showOffer(examined);
      status.say(() => text().chooseDownload);
    }
  } catch (error) {
    if (turn === choice) await fail(error);
  }
}

/** Fill the form for the first model that can be offered, and keep it from then on. */
function startKeeping(): void {
  if (formKept) return;
  formKept = true;
  keepForm({
    read: form.readForm,
    model: () => form.offer()?.model.name ?? "",
    onChange: form.onFormChange,
    take: takeSettings,
  });
}

function showExamples(model: Preflight): void {
  const [first = ""] = model.manifest.examples;
  if (field("prompt").value === "") form.writeForm({ prompt: first });
  fillExamples(model, ({ prompt, settings }) => {
    // All pictures of a batch, even if one of another picture's was to be drawn alone.
    form.writeForm({ prompt, image: "" });
    // What drew the example's picture, so that the same is drawn again.
    if (settings !== undefined) {
      const { seed } = form.readForm();
      takeSettings(settings, prompt, true);
      form.borrowSeed(seed);
    }
    submit();
  });
}

/** Write anew what describes the present state; what was said, status.ts writes anew. */
function followLanguage(): void {
  onLanguage(() => {
    showButton();
    form.describeSettings();
    tokens.count();
    if (found !== undefined) {
      describeModel(found);
      void describeOffer(found);
    }
  });
}

async function start(): Promise<void> {
  status.say(() => text().starting);
  followLanguage();
  showButton();
  stage.showWelcome("preparing", 0);
  form.startForm();
  mountControls({ isBusy: () => drawing !== undefined || queued, begin, stop });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && drawing === undefined && phase === "ready") status.setTitlePrefix("");
  });
  element("pause").onclick = () => loading?.abort();
  element("load").onclick = () => {
    if (found !== undefined) void load(found, performance.now());
  };
  element("forget").onclick = () => void forget();
  element("skip").onclick = () => drawing?.abort();
  stage.canvas.onclick = () => {
    if (drawing === undefined) gallery.enlarge();
  };
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
  if (unknown !== undefined) {
    status.showNotice({ own: () => text().unknownModel(unknown, wanted.name) });
  }
  const select = element<HTMLSelectElement>("model");
  select.onchange = () => {
    // A reload comes back to this model.
    history.replaceState(null, "", formLink({}, select.value));
    status.clearNotices();
    void chooseModel(models.find((model) => model.name === select.value)!);
  };
  thirdEncoder.onChange(() => {
    status.clearNotices();
    void chooseModel(models.find((model) => model.name === select.value)!);
  });
  await chooseModel(wanted);
}

async function forget(): Promise<void> {
  if (found === undefined || !(await askToForget(found))) return;
  tell(() => text().forgotten);
  element("about-model").querySelector("summary")!.focus();
  element("forget").hidden = true;
  await examineAgain();
}

start().catch((error: unknown) => void fail(error));
// Private windows of some browsers have no service worker; then a second visit needs the network.
const offline = navigator.serviceWorker as ServiceWorkerContainer | undefined;
offline?.register(scriptUrl(new URL("sw.js", document.baseURI))).catch(() => undefined);
