/** Shows the canvas, the finished pictures, and the times and memory that they took. */

import type { Generated, StableDiffusionPipeline } from "../index";
import { bytes, describeVariants, element, gpuName, row } from "./dom";
import { pictureFile } from "./png_files";

const canvas = element<HTMLCanvasElement>("canvas");

/** Put pixels on the canvas. */
export function show(image: ImageData): void {
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

/** Add finished pictures to the gallery, each with a link that saves it. */
export async function addPictures({ images, settings }: Generated): Promise<void> {
  for (const [index, image] of images.entries()) {
    show(image);
    canvas.ariaLabel = settings.prompt;
    const file = await pictureFile(canvas, settings, index);
    element("pictures").prepend(listItem(file, settings.prompt));
  }
  element("gallery-title").hidden = false;
}

function listItem(file: File, prompt: string): HTMLLIElement {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const image = new Image(128);
  link.href = image.src = URL.createObjectURL(file);
  link.download = file.name;
  image.alt = prompt;
  link.append(image, `Save ${file.name}`);
  item.append(link);
  return item;
}

/** Fill the table of times and memory. */
export async function showFigures(
  { timings }: Generated,
  pipeline: StableDiffusionPipeline,
  loadSeconds: number,
): Promise<void> {
  const usage = await pipeline.usage();
  const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
  const rows: [string, string][] = [
    ["Loading", seconds(1000 * loadSeconds)],
    ["Text", seconds(timings.text)],
    ["Denoising", seconds(timings.denoise)],
    [
      "To the first preview",
      timings.firstPreview === null ? "none" : seconds(timings.firstPreview),
    ],
    ["Decoding", seconds(timings.decode)],
    ["Picture, whole", seconds(timings.total)],
    ["GPU memory now", bytes(usage.gpuBytes)],
    ["GPU memory at most", bytes(usage.peakGpuBytes)],
    ["GPU pipelines", String(usage.pipelines)],
    ["Kernel variants", describeVariants(usage.variants)],
    ["GPU", gpuName(pipeline.adapter)],
  ];
  element("figures-body").replaceChildren(...rows.map((cells) => row(cells)));
}
