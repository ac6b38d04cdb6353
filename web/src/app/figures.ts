/**
 * Shows the times and the memory that the last pictures took, and copies them as Markdown.
 * `wsd bench --visit` reads that, so that what people send and what it prints say the same.
 */

import type { Generated, Manifest, StableDiffusionPipeline } from "../index";
import { describeVariants, element, gpuName, row } from "./dom";
import * as status from "./status";
import type { Strings } from "./strings";
import { onLanguage, text, write } from "./strings";
import { english } from "./strings/english";
import type { Writer } from "./strings/writer";
import { createWriter } from "./strings/writer";

/** How a model became ready. */
export interface Loading {
  /** From opening the page, or from choosing or downloading the model, until it was ready. */
  milliseconds: number;
  /** Bytes of its files, and of those that this browser had kept before. */
  bytes: { total: number; kept: number };
}

/** What was drawn. */
interface Work {
  model: Manifest["model"];
  steps: number;
  guidance: number;
  loading: Loading;
}

/** What the table shows. */
export interface Figures extends Pick<Generated, "timings">, Work {
  size: { width: number; height: number };
  images: number;
  usage: Awaited<ReturnType<StableDiffusionPipeline["usage"]>>;
  adapter: StableDiffusionPipeline["adapter"];
}

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

/**
 * Write the table as Markdown, in English: those who read reports do.
 *
 * @param browser the browser's name and version as it gives them.
 */
export function writeMarkdown(figures: Figures, browser: string): string {
  const writer: Writer = {
    ...createWriter("en"),
    // Figures of fast GPUs differ in the second decimal.
    seconds: (milliseconds) => `${(milliseconds / 1000).toFixed(2)} s`,
  };
  const rows = [...listFigures(figures, english(writer), writer), ["Browser", browser]];
  return ["| | |", "|---|---|", ...rows.map((cells) => `| ${cells.join(" | ")} |`), ""].join("\n");
}

function writeFigures(figures: Figures): void {
  const rows = listFigures(figures, text(), write());
  element("figures-body").replaceChildren(...rows.map((cells) => row(cells)));
}

/** List what the table shows: names and values. */
function listFigures(
  figures: Figures,
  words: Strings,
  { seconds, bytes, number }: Writer,
): [string, string][] {
  const { model, size, steps, guidance, images, loading, timings, usage, adapter } = figures;
  const { firstPreview } = timings;
  const { total, kept } = loading.bytes;
  return [
    [words.model, `${model.name} ${model.dtype}`],
    [words.figurePicture, `${size.width}×${size.height}`],
    ...(images === 1 ? [] : [[words.figureImages, number(images)] as [string, string]]),
    [words.steps, number(steps)],
    [words.guidance, number(guidance)],
    [words.figureReady, seconds(loading.milliseconds)],
    [words.figureKept, `${bytes(kept)} / ${bytes(total)}`],
    ...(timings.encode === undefined
      ? []
      : [[words.figureEncoding, seconds(timings.encode)] as [string, string]]),
    [words.figureText, seconds(timings.text)],
    [words.figureDenoising, seconds(timings.denoise)],
    [words.figurePreview, firstPreview === null ? words.figureNone : seconds(firstPreview)],
    [words.figureDecoding, seconds(timings.decode)],
    [words.figureTotal, seconds(timings.total)],
    [words.figureMemory, bytes(usage.gpuBytes)],
    [words.figurePeak, bytes(usage.peakGpuBytes)],
    [words.figurePipelines, number(usage.pipelines)],
    [words.figureVariants, describeVariants(usage.variants)],
    [words.figureGpu, gpuName(adapter)],
  ];
}
