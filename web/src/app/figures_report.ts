/**
 * Lists the times and the memory that pictures took: for the page, and as Markdown for reports.
 * `wsd bench --visit` reads the Markdown, so that what people send and what it prints say the same.
 */

import type { Generated, Manifest, StableDiffusionPipeline } from "../index";
import { describeVariants, gpuName } from "./dom";
import type { Strings } from "./strings";
import { english } from "./strings/english";
import type { Writer } from "./strings/writer";
import { createWriter } from "./strings/writer";

/** How a model became ready. */
export interface Loading {
  /** From opening the page, or from choosing or downloading the model, until it was ready. */
  milliseconds: number;
  /** Bytes of its files, and of those that this browser had kept before. */
  bytes: { total: number; kept: number };
  times: StableDiffusionPipeline["loadTimes"];
}

/** What was drawn. */
export interface Work {
  model: Manifest["model"];
  steps: number;
  guidance: number;
  loading: Loading;
}

/** What the table shows. */
export interface Figures extends Pick<Generated, "timings">, Work {
  /** In pixels. */
  size: { width: number; height: number };
  images: number;
  usage: Awaited<ReturnType<StableDiffusionPipeline["usage"]>>;
  adapter: StableDiffusionPipeline["adapter"];
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

/** List what the table shows: names and values. */
export function listFigures(
  figures: Figures,
  words: Strings,
  { seconds, bytes, number }: Writer,
): [string, string][] {
  const { model, size, steps, guidance, images, loading, timings, usage, adapter } = figures;
  const { firstPreview } = timings;
  const list = (parts: number[]): string =>
    parts.map((milliseconds) => number(milliseconds / 1000, 2)).join(" · ");
  const { total, kept } = loading.bytes;
  const { times } = loading;
  return [
    [words.model, `${model.name} ${model.dtype}`],
    [words.figurePicture, `${size.width}×${size.height}`],
    ...(images === 1 ? [] : [[words.figureImages, number(images)] as [string, string]]),
    [words.steps, number(steps)],
    [words.guidance, number(guidance)],
    [words.figureReady, seconds(loading.milliseconds)],
    [words.figureLoading, list([times.start, times.weights, times.pipelines])],
    [words.figureFiles, list([times.fetch, times.read, times.hash, times.write, times.upload])],
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
