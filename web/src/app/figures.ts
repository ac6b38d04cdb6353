/** Shows the times and the memory that the last pictures took. */

import type { Generated, StableDiffusionPipeline } from "../index";
import { describeVariants, element, gpuName, row } from "./dom";
import { text, write } from "./strings";

/** Fill the table of times and memory. */
export async function showFigures(
  { timings }: Pick<Generated, "timings">,
  pipeline: StableDiffusionPipeline,
  loadMilliseconds: number,
): Promise<void> {
  const usage = await pipeline.usage();
  const { seconds, bytes, number } = write();
  const words = text();
  const { firstPreview } = timings;
  const rows: [string, string][] = [
    [words.figureLoading, seconds(loadMilliseconds)],
    [words.figureText, seconds(timings.text)],
    [words.figureDenoising, seconds(timings.denoise)],
    [words.figurePreview, firstPreview === null ? words.figureNone : seconds(firstPreview)],
    [words.figureDecoding, seconds(timings.decode)],
    [words.figureTotal, seconds(timings.total)],
    [words.figureMemory, bytes(usage.gpuBytes)],
    [words.figurePeak, bytes(usage.peakGpuBytes)],
    [words.figurePipelines, number(usage.pipelines)],
    [words.figureVariants, describeVariants(usage.variants)],
    [words.figureGpu, gpuName(pipeline.adapter)],
  ];
  element("figures-body").replaceChildren(...rows.map((cells) => row(cells)));
  element("figures").hidden = false;
}
