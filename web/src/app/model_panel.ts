/** What the page says of a model: its facts, the offer to download it, and how it is forgotten. */

import type { Preflight } from "../index";
import { StableDiffusionPipeline } from "../index";
import { measuredSpeed, MOST_REPORTED_ROOM, roomToKeep } from "./connection";
import { element } from "./dom";
import { text } from "./strings";

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
  const room = (await roomToKeep()) ?? Infinity;
  const fits = room >= missing;
  if (fits) facts.push(words.offerKept);
  // Otherwise it is not known whether the model can be kept.
  else if (room < MOST_REPORTED_ROOM) facts.push(words.offerNoRoom(room));
  const items = facts.map((fact) => {
    const item = document.createElement("li");
    item.textContent = fact;
    return item;
  });
  items.at(-1)!.classList.toggle("warning", !fits && room < MOST_REPORTED_ROOM);
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
  return true;
}
