/** Shows the progress bar, the status sentence, errors and notices. */

import type { ProgressEvent } from "../index";
import { AbortError, WsdError } from "../index";
import { bytes, element } from "./dom";

const STAGES: Record<ProgressEvent["stage"], string> = {
  library: "Downloading the compiled model",
  pipelines: "Compiling GPU pipelines",
  parameters: "Loading the weights",
  text: "Reading the prompt",
  denoise: "Drawing",
  decode: "Decoding",
  "self-test": "Testing",
};

const bar = element<HTMLProgressElement>("progress");
const sentence = element("status");
const error = element("error");

/** The shown stage: when it began, and how much of it was done then. */
let began = { stage: "", time: 0, loaded: 0 };

/** Show how far a stage is, and estimate how long it still takes. */
export function showProgress({ stage, loaded, total }: ProgressEvent): void {
  bar.max = total;
  bar.value = loaded;
  if (began.stage !== stage) began = { stage, time: performance.now(), loaded };
  sentence.textContent = `${STAGES[stage]}${amount(stage, loaded, total)}${left(loaded, total)} …`;
}

function amount(stage: ProgressEvent["stage"], loaded: number, total: number): string {
  if (stage === "denoise") return ` (step ${loaded} of ${total})`;
  if (stage === "pipelines" || stage === "self-test") return ` (${loaded} of ${total})`;
  return stage === "library" || stage === "parameters"
    ? ` (${bytes(loaded)} of ${bytes(total)})`
    : "";
}

function left(loaded: number, total: number): string {
  const [done, seconds] = [loaded - began.loaded, (performance.now() - began.time) / 1000];
  // An estimate from less than a second would be wrong.
  if (done <= 0 || seconds < 1 || loaded >= total) return "";
  return `, ${Math.ceil(((total - loaded) * seconds) / done)} s left`;
}

/** Show a sentence in place of progress. */
export function say(text: string): void {
  began.stage = "";
  sentence.textContent = text;
}

/** Show an error and its hint; cancelled work is not shown as an error. */
export function showError(thrown: unknown): void {
  if (thrown instanceof AbortError) {
    say("Stopped.");
    return;
  }
  const hint = thrown instanceof WsdError ? thrown.hint : "reload the page";
  error.textContent = `${thrown instanceof Error ? thrown.message : String(thrown)}\n${hint}`;
  error.hidden = false;
  say("");
}

/** Hide the error that is shown, if there is one. */
export function hideError(): void {
  error.hidden = true;
}

/** Add a sentence to the notices. */
export function showNotice(notice: string): void {
  const item = document.createElement("li");
  item.textContent = notice;
  element("notices").append(item);
  element("notices").hidden = false;
}
