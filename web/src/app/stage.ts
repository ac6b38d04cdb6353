/** The frame: the picture on its canvas, or a card before the first picture. */

import { showArt } from "./art";
import { element } from "./dom";
import { text } from "./strings";

export const canvas = element<HTMLCanvasElement>("canvas");
const frame = element("frame");
const welcome = element("welcome");
/** The last finished picture, which comes back when another one is stopped. */
let finished: { image: ImageData | ImageBitmap; prompt: string } | undefined;
let card: Card = "preparing";

/** Finished pictures that are smaller than this are shown with their pixels as squares. */
const SMALL = 256;

/** The cards that stand in the frame before there is a picture. */
export type Card = "welcome" | "preparing" | "offer" | "unable";

/** Show what the picture will be; the few pixels of a preview are smoothed. */
export function showPreview(image: ImageData, prompt: string): void {
  put(image, text().drawingNow(prompt));
  canvas.classList.remove("squares");
  frame.dataset.state = "drawing";
}

/** Show a finished picture. */
export function showPicture(image: ImageData | ImageBitmap, prompt: string): void {
  finished = { image, prompt };
  put(image, prompt);
  canvas.classList.toggle("squares", Math.max(image.width, image.height) < SMALL);
  frame.dataset.state = "picture";
}

function put(image: ImageData | ImageBitmap, label: string): void {
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d")!;
  if (image instanceof ImageData) context.putImageData(image, 0, 0);
  else context.drawImage(image, 0, 0);
  canvas.setAttribute("aria-label", label);
  canvas.hidden = false;
  if (welcome.contains(document.activeElement)) element("draw").focus();
  welcome.hidden = true;
  frame.style.setProperty("--ratio", String(image.width / image.height));
}

/** Take the card away: a picture is drawn, of which there is no preview yet. */
export function hideCard(): void {
  for (const each of welcome.querySelectorAll<HTMLElement>("[data-card]")) each.hidden = true;
}

/** Take the preview of a picture away that will not be finished. */
export function endPreview(): void {
  if (finished !== undefined) showPicture(finished.image, finished.prompt);
  else showCard();
}

/**
 * Show one of the cards that stand in the frame before there is a picture. A picture stays, except
 * where a card has a button that is needed.
 *
 * @param clear how much of the noise is removed from the landscape behind the card, 0 to 1.
 */
export function showWelcome(which: Card, clear: number): void {
  showArt(clear);
  card = which;
  if (finished === undefined || which === "offer" || which === "preparing") showCard();
  else showPicture(finished.image, finished.prompt);
}

function showCard(): void {
  const focused = welcome.contains(document.activeElement);
  let shown: HTMLElement | undefined;
  for (const each of welcome.querySelectorAll<HTMLElement>("[data-card]")) {
    each.hidden = each.dataset.card !== card;
    if (!each.hidden) shown = each;
  }
  canvas.hidden = true;
  welcome.hidden = false;
  frame.dataset.state = card;
  // A button that goes away leaves the focus to the one in its place, or to the button that draws.
  if (focused) (shown?.querySelector("button") ?? element("draw")).focus();
}
