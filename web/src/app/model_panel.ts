/** What the page says of a model: its facts, the offer to download it, and how it is forgotten. */

import type { Preflight } from "../index";
import { needsMask, StableDiffusionPipeline } from "../index";
import { measuredSpeed, MOST_REPORTED_ROOM, roomToKeep } from "./connection";
import { element } from "./dom";
import { text } from "./strings";

/** Describe a model below the settings. */
export function describeModel(model: Preflight): void {
  const { manifest, bytes } = model;
  const peaks = peaksOf(model);
  const [whole, least] = [peaks[0]!, Math.min(...peaks)];
  element("model-facts").textContent = text().facts(
    manifest.model.title,
    bytes.total,
    bytes.kept,
    whole,
    least,
  );
}

/**
 * Return the most GPU memory of each way to draw, the usual one first: from text, or from a picture
 * if the model draws nothing without one. Where finished pictures are checked, the checker stays on
 * the GPU, unless the parameters of only one stage at a time do.
 */
function peaksOf({ manifest, safetyChecker }: Preflight): number[] {
  const { components, entry_points: entries } = manifest;
  const ofPictures = needsMask(manifest) ? manifest.image_peak_bytes : undefined;
  const peaks = ofPictures ?? manifest.peak_bytes;
  if (!safetyChecker) return peaks.map(({ bytes }) => bytes);
  const checkers = Object.values(components).filter(({ role }) => role === "safety_checker");
  const checker = checkers.reduce((sum, { bytes }) => sum + bytes, 0);
  const work = entries.find(({ role }) => role === "safety_checker")?.workspace_bytes ?? 0;
  return peaks.map(({ bytes, offload }) =>
    offload ? Math.max(bytes, checker + work) : bytes + checker,
  );
}

/** Fill the card that offers a model: what a visitor decides by before a large download. */
export async function describeOffer(model: Preflight): Promise<void> {
  const { manifest, bytes } = model;
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
  facts.push(words.offerMemory(peaksOf(model)[0]!));
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
