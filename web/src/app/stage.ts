/** The frame: the picture on its canvas, or a card before the first picture. */

import { showArt } from "./art";
import { element, field } from "./dom";
import type { Sentence } from "./strings";
import { inWords, onLanguage, text } from "./strings";

export const canvas = element<HTMLCanvasElement>("canvas");
const frame = element("frame");
const welcome = element("welcome");
const before = element<HTMLCanvasElement>("before");
const beforeShare = field("before-share");
const flagged = element("flagged");

/** A finished picture, and what is shown with it. */
interface Finished {
  image: ImageData;
  prompt: string;
  /** The picture that it was drawn from, in the same size. */
  from?: ImageData | undefined;
  /** What is said in place of a picture that nobody shall see. */
  hidden?: Sentence | undefined;
}

/** The last finished picture, which comes back when another one is stopped. */
let finished: Finished | undefined;
let card: Card = "preparing";

/** Finished pictures that are smaller than this are shown with their pixels as squares. */
const SMALL = 256;

/** The cards that stand in the frame before there is a picture. */
export type Card = "welcome" | "preparing" | "offer" | "unable";

/** Show what the picture will be; the few pixels of a preview are smoothed. */
export function showPreview(image: ImageData, prompt: string): void {
  put(image, text().drawingNow(prompt));
  canvas.classList.remove("squares", "blurred");
  showBefore(undefined);
  flagged.hidden = true;
  frame.dataset.state = "drawing";
}

/** Show a finished picture, and the one that it was drawn from below a slider. */
export function showPicture(shown: Finished): void {
  const { prompt, from, hidden } = shown;
  // Style sheets can be turned off, and pictures be saved: what nobody shall see is not in the page.
  const image = hidden === undefined ? shown.image : coarsen(shown.image);
  finished = { ...shown, image };
  put(image, hidden === undefined ? prompt : text().safety.blurred);
  const small = Math.max(image.width, image.height) < SMALL;
  canvas.classList.toggle("squares", small && hidden === undefined);
  canvas.classList.toggle("blurred", hidden !== undefined);
  flagged.hidden = hidden === undefined;
  flagged.textContent = inWords(hidden ?? "");
  before.classList.toggle("squares", small);
  showBefore(hidden === undefined ? from : undefined);
  frame.dataset.state = hidden === undefined ? "picture" : "hidden";
}

/** Pixels of a hidden picture's width. */
const HIDDEN_WIDTH = 12;

/** Return a picture of few pixels, which are the averages of those that they stand for. */
function coarsen({ data, width, height }: ImageData): ImageData {
  const wide = Math.min(HIDDEN_WIDTH, width);
  const high = Math.min(height, Math.max(1, Math.round((wide * height) / width)));
  const few = new ImageData(wide, high);
  for (let y = 0; y < high; y++) {
    const [top, bottom] = [y, y + 1].map((row) => Math.floor((row * height) / high));
    for (let x = 0; x < wide; x++) {
      const [left, right] = [x, x + 1].map((column) => Math.floor((column * width) / wide));
      const sums = [0, 0, 0, 0];
      for (let row = top!; row < bottom!; row++) {
        for (let at = 4 * (row * width + left!); at < 4 * (row * width + right!); at++) {
          sums[at % 4]! += data[at]!;
        }
      }
      const count = (bottom! - top!) * (right! - left!);
      const averages = sums.map((sum) => sum / count);
      few.data.set(averages, 4 * (y * wide + x));
    }
  }
  return few;
}

/** Put the picture from before over the one that was drawn of it; the slider begins with the latter. */
function showBefore(from: ImageData | undefined): void {
  if (from === undefined && document.activeElement === beforeShare) element("draw").focus();
  before.hidden = element("before-row").hidden = from === undefined;
  if (from === undefined) return;
  [before.width, before.height] = [from.width, from.height];
  before.getContext("2d")!.putImageData(from, 0, 0);
  beforeShare.value = "0";
  shareBefore();
}

function shareBefore(): void {
  frame.style.setProperty("--share", `${beforeShare.value}%`);
}

beforeShare.addEventListener("input", shareBefore);
onLanguage(() => {
  if (frame.dataset.state === "hidden") showPicture(finished!);
});

function put(image: ImageData, label: string): void {
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")!.putImageData(image, 0, 0);
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
  if (finished !== undefined) showPicture(finished);
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
  else showPicture(finished);
}

function showCard(): void {
  const focused = welcome.contains(document.activeElement);
  let shown: HTMLElement | undefined;
  for (const each of welcome.querySelectorAll<HTMLElement>("[data-card]")) {
    each.hidden = each.dataset.card !== card;
    if (!each.hidden) shown = each;
  }
  canvas.hidden = flagged.hidden = true;
  showBefore(undefined);
  welcome.hidden = false;
  frame.dataset.state = card;
  // A button that goes away leaves the focus to the one in its place, or to the button that draws.
  if (focused) (shown?.querySelector("button") ?? element("draw")).focus();
}
