/** The self-test page: one button, a table and a report. */

import type { Variant } from "../index";
import { preflight, selfTestProblem, StableDiffusionPipeline, UnsupportedError } from "../index";
import { element, fill, row } from "./dom";
import { mountLanguages } from "./languages";
import { offeredModels } from "./model_list";
import type { Found } from "./self_test_report";
import { stageCells, stageHeadings, verdict, writeReport } from "./self_test_report";
import {
  clearNotices,
  hideError,
  say,
  setTitle,
  showError,
  showNotice,
  showProgress,
} from "./status";
import { onLanguage, text } from "./strings";
import { supportOptions } from "./support_options";

const runButton = element<HTMLButtonElement>("run");
const stopButton = element<HTMLButtonElement>("stop");
/** The results on the page. */
let shown: Found | undefined;

/** Load a model, which checks its files, and run its stages. */
async function examine(
  { manifest: manifestUrl, integrity }: Variant,
  signal: AbortSignal,
): Promise<Found> {
  const found: Found = { notices: [], stages: [] };
  let pipeline: StableDiffusionPipeline | undefined;
  try {
    const { manifest, adapter, problems } = await preflight(manifestUrl, { integrity });
    Object.assign(found, { manifest, adapter });
    const problem = problems[0] ?? selfTestProblem(manifest);
    if (problem !== undefined) throw problem;
    const { kernels, ignoredRules } = supportOptions();
    pipeline = await StableDiffusionPipeline.fromPretrained(manifestUrl, {
      integrity,
      kernels,
      ignoredRules,
      onProgress: showProgress,
      onNotice: (english) => {
        found.notices.push(english);
        showNotice({ english });
      },
      signal,
    });
    found.stages = await pipeline.selfTest({ onProgress: showProgress, signal });
  } catch (error) {
    found.error = error;
  } finally {
    await pipeline?.unload();
  }
  return found;
}

/** Collect facts about the browser that an issue needs; they are only shown. */
async function environment(): Promise<Record<string, string>> {
  const gpu = navigator.gpu as GPU | undefined; // older browsers do not have it
  const adapter = await gpu?.requestAdapter();
  return {
    Browser: navigator.userAgent,
    Features: [...(adapter?.features ?? [])].sort().join(", "),
    "Largest binding": String(adapter?.limits.maxStorageBufferBindingSize ?? "none"),
  };
}

async function show(found: Found): Promise<void> {
  shown = found;
  writeResults(found);
  const report = writeReport(found, await environment());
  element<HTMLTextAreaElement>("report").value = report;
  element("copy").onclick = () => void copy(report);
  element("results").hidden = false;
}

/** Copy the report, and say whether the browser let the page do that. */
async function copy(report: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(report);
    say(() => text().selfTestCopied);
  } catch {
    element<HTMLTextAreaElement>("report").select();
    say(() => text().selfTestCopyFailed);
  }
}

/** Write the verdict and the table; the report stays in English. */
function writeResults(found: Found): void {
  element("verdict").textContent = verdict(found, text());
  element("stages-head").replaceChildren(row(stageHeadings(text()), "col"));
  element("stages").replaceChildren(...found.stages.map((stage) => row(stageCells(stage, text()))));
}

/** Enable the one button that is of use; the focus goes along. */
function enable(useful: HTMLButtonElement, other: HTMLButtonElement): void {
  useful.disabled = false;
  if (document.activeElement === other) useful.focus();
  other.disabled = true;
}

async function run(variant: Variant): Promise<void> {
  const controller = new AbortController();
  stopButton.onclick = () => controller.abort();
  enable(stopButton, runButton);
  hideError();
  clearNotices();
  say(() => text().starting);
  element("results").hidden = true;
  const found = await examine(variant, controller.signal);
  say(() => text().selfTestDone);
  if (found.error !== undefined) showError(found.error);
  if (!controller.signal.aborted) await show(found);
  enable(runButton, stopButton);
}

function writeTitle(): void {
  setTitle(`${text().selfTest}: Web Stable Diffusion`);
}

async function start(): Promise<void> {
  say(() => text().starting);
  writeTitle();
  onLanguage(() => {
    writeTitle();
    if (shown !== undefined) writeResults(shown);
  });
  const { models, wanted } = await offeredModels();
  const variants = models.flatMap((model) => model.variants);
  const listed = models.flatMap(({ name, variants }) =>
    variants.map(({ dtype, manifest }) => [manifest, `${name}, ${dtype}`] as const),
  );
  fill("model", listed, wanted.variants[0].manifest);
  const select = element<HTMLSelectElement>("model");
  element<HTMLFormElement>("form").onsubmit = (event) => {
    event.preventDefault();
    void run(variants.find(({ manifest }) => manifest === select.value)!);
  };
  runButton.disabled = false;
  say(() => text().ready);
}

mountLanguages();
start().catch((error: unknown) => {
  // No GPU and no secure address comes by trying again.
  const tryAgain = (): void => location.reload();
  showError(error, error instanceof UnsupportedError ? undefined : tryAgain);
});
