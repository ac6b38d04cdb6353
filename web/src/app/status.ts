/** What is going on: a bar, a sentence, errors and notices. */

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

/** When the stage that is shown began, and what was done of it then. */
let began = { stage: "", time: 0, loaded: 0 };

/** Show how far a stage is, and about how long it still takes. */
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
  // The first moments say little.
  if (done <= 0 || seconds < 1 || loaded >= total) return "";
  return `, ${Math.ceil(((total - loaded) * seconds) / done)} s left`;
}

/** Say something in place of progress. */
export function say(text: string): void {
  began.stage = "";
  sentence.textContent = text;
}

/** Show what went wrong and what to do; being cancelled is no error. */
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
