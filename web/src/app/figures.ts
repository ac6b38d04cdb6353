/** Shows the times and the memory that the last pictures took, and copies them. */

import type { Generated, StableDiffusionPipeline } from "../index";
import { element, row } from "./dom";
import type { Figures, Work } from "./figures_report";
import { listFigures, writeMarkdown } from "./figures_report";
import * as status from "./status";
import { onLanguage, text, write } from "./strings";

let shown: Figures | undefined;

/** Fill the table of times and memory. */
export async function showFigures(
  { timings, images }: Pick<Generated, "timings" | "images">,
  pipeline: StableDiffusionPipeline,
  work: Work,
): Promise<void> {
  const usage = await pipeline.usage();
  const [{ width, height }] = images as [ImageData];
  const size = { width, height };
  const { adapter } = pipeline;
  shown = { ...work, timings, size, images: images.length, usage, adapter };
  writeFigures(shown);
  element("figures").hidden = false;
}

/** Let the button below the table copy it, and write it again in another language. */
export function mountFigures(): void {
  element("figures-copy").onclick = () => void copy();
  onLanguage(() => {
    if (shown !== undefined) writeFigures(shown);
  });
}

async function copy(): Promise<void> {
  const report = writeMarkdown(shown!, navigator.userAgent);
  try {
    await navigator.clipboard.writeText(report);
    status.announce(() => text().figuresCopied);
  } catch {
    status.announce(() => text().figuresCopyFailed);
  }
}

function writeFigures(figures: Figures): void {
  const rows = listFigures(figures, text(), write());
  element("figures-body").replaceChildren(...rows.map((cells) => row(cells)));
}
