/** What the page says of a model: its facts, the offer to download it, and how it is forgotten. */

import type { Preflight } from "../index";
import { StableDiffusionPipeline } from "../index";
import { measuredSpeed, roomToKeep } from "./connection";
import { element } from "./dom";
import { say } from "./status";
import { text } from "./strings";

/** So many examples are shown: more would push the settings out of sight. */
const EXAMPLES = 5;

/** Describe a model below the settings. */
export function describeModel({ manifest, bytes }: Preflight): void {
  const least = Math.min(...manifest.peak_bytes.map((peak) => peak.bytes));
  const whole = manifest.peak_bytes[0]!.bytes;
  element("model-facts").textContent = text().facts(
    manifest.model.title,
    bytes.total,
    bytes.kept,
    whole,
    least,
  );
}

/** Fill the card that offers a model: what a visitor decides by before a large download. */
export async function describeOffer({ manifest, bytes }: Preflight): Promise<void> {
  const words = text();
  const missing = bytes.total - bytes.kept;
  const { name } = manifest.model;
  const facts = [];
  if (missing > 0) {
    const speed = measuredSpeed();
    facts.push(
      words.offerSize(missing),
      speed === undefined ? words.offerTimeUnknown : words.offerTime(missing / speed),
    );
  }
  facts.push(words.offerMemory(manifest.peak_bytes[0]!.bytes));
  const room = await roomToKeep();
  const fits = room === undefined || room >= missing;
  facts.push(fits ? words.offerKept : words.offerNoRoom(room));
  const items = facts.map((fact) => {
    const item = document.createElement("li");
    item.textContent = fact;
    return item;
  });
  items.at(-1)!.classList.toggle("warning", !fits);
  element("offer-title").textContent =
    missing > 0 ? words.offerTitle(name) : words.offerKeptTitle(name);
  element("offer-facts").replaceChildren(...items);
  element("load").textContent = missing > 0 ? words.download(missing) : words.load;
}

/**
 * Ask whether a model shall be forgotten, and forget it if so.
 *
 * @returns whether it was forgotten.
 */
export async function askToForget({ manifest, manifestUrl, bytes }: Preflight): Promise<boolean> {
  const dialog = element<HTMLDialogElement>("forget-dialog");
  element("forget-title").textContent = text().forgetQuestion(manifest.model.name);
  element("forget-text").textContent = text().forgetConsequence(bytes.total);
  dialog.returnValue = "";
  element("forget-yes").onclick = () => dialog.close("yes");
  element("forget-no").onclick = () => dialog.close();
  const closed = new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  dialog.showModal();
  // The answer that changes nothing is the one that Enter gives.
  element("forget-no").focus();
  await closed;
  if (dialog.returnValue !== "yes") return false;
  await StableDiffusionPipeline.purge(manifestUrl);
  say(text().forgotten);
  return true;
}

/** Show the model's examples: each is a button that draws it. */
export function fillExamples(examples: readonly string[], choose: (prompt: string) => void): void {
  const items = examples.slice(0, EXAMPLES).map((prompt) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = prompt;
    button.dir = "auto";
    button.addEventListener("click", () => choose(prompt));
    item.append(button);
    return item;
  });
  element("examples").replaceChildren(...items);
  element("examples-row").hidden = examples.length === 0;
}
