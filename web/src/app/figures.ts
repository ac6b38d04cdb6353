/** Shows the times and the memory that the last pictures took. */

import type { Generated, StableDiffusionPipeline } from "../index";
import { describeVariants, element, gpuName, row } from "./dom";
import { onLanguage, text, write } from "./strings";

/** What the table shows. */
interface Figures extends Pick<Generated, "timings"> {
  usage: Awaited<ReturnType<StableDiffusionPipeline["usage"]>>;
  adapter: StableDiffusionPipeline["adapter"];
  loadMilliseconds: number;
}

let shown: Figures | undefined;

/** Fill the table of times and memory. */
export async function showFigures(
  { timings }: Pick<Generated, "timings">,
  pipeline: StableDiffusionPipeline,
  loadMilliseconds: number,
): Promise<void> {
  const usage = await pipeline.usage();
  shown = { timings, usage, adapter: pipeline.adapter, loadMilliseconds };
  writeFigures(shown);
  element("figures").hidden = false;
}

onLanguage(() => {
  if (shown !== undefined) writeFigures(shown);
});

function writeFigures({ timings, usage, adapter, loadMilliseconds }: Figures): void {
  const { seconds, bytes, number } = write();
  const words = text();
  const { firstPreview } = timings;
  const rows: [string, string][] = [
    [words.figureLoading, seconds(loadMilliseconds)],
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
  element("figures-body").replaceChildren(...rows.map((cells) => row(cells)));
}
