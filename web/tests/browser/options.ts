/**
 * Draws in every form of output: tests/e2e/test_options.py evaluates this program in a page of a
 * bundle and calls `wsdOptions`. Its results are JSON.
 */

import { importModule } from "../../src/driver/import_module";
import type * as Client from "../../src/index";

interface Found {
  /** Bytes of each picture of a batch, red, green, blue and alpha. */
  pixels: number[][];
  /** The same pictures as the browser decodes their files. */
  decoded: number[][];
  /** The same pictures as bitmaps. */
  bitmaps: number[][];
  /** The files of `output: "blob"` and of `toBlob` have the same bytes. */
  sameFiles: boolean[];
  /** Each picture, drawn alone by what its file says. */
  again: number[][];
  /** The seed that a call without one told, and the picture of another call with that seed. */
  random: { seed: string; first: number[]; second: number[]; other: number[] };
  /** What a call with a wrong option throws. */
  refused: { name: string; message: string; hint: string };
}

/** Read the pixels of a bitmap. */
function pixelsOf(bitmap: ImageBitmap): number[] {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  return Array.from(context.getImageData(0, 0, width, height).data);
}

async function run(manifest: string): Promise<Found> {
  const client = (await importModule("/client.js")) as typeof Client;
  const pipeline = await client.StableDiffusionPipeline.fromPretrained(manifest);
  const options = { numInferenceSteps: 2, seed: 7, scheduler: "euler_a" } as const;
  const prompts = ["a star", "two circles"];
  const plain = await pipeline.generate(prompts, options);
  const files = await pipeline.generate(prompts, { ...options, output: "blob" });
  const bitmaps = await pipeline.generate(prompts, { ...options, output: "imageBitmap" });
  const found: Found = {
    pixels: plain.images.map(({ data }) => Array.from(data)),
    ...{ decoded: [], sameFiles: [], again: [] },
    bitmaps: bitmaps.images.map(pixelsOf),
    random: { seed: "", first: [], second: [], other: [] },
    refused: { name: "", message: "", hint: "" },
  };
  for (const [index, file] of files.images.entries()) {
    found.decoded.push(pixelsOf(await createImageBitmap(file)));
    const [one, other] = await Promise.all([file.text(), (await plain.toBlob(index)).text()]);
    found.sameFiles.push(one === other);
    const { prompt, seed, steps, guidanceScale, picture, sampler } =
      (await client.readSettings(file))!;
    const [scheduler] = client.findScheduler("A1111", sampler!, "")!.schedulers;
    const { image } = await pipeline.generate(prompt, {
      ...{ seed, numInferenceSteps: steps, guidanceScale, scheduler },
      ...{ numImages: picture!.of, imageIndex: picture!.number - 1 },
    });
    found.again.push(Array.from(image.data));
  }
  const one = { numInferenceSteps: 1 };
  const first = await pipeline.generate("a star", one);
  const { seed } = first.settings;
  const second = await pipeline.generate("a star", { ...one, seed });
  const other = await pipeline.generate("a star", one);
  const [firstPixels, secondPixels, otherPixels] = [first, second, other].map(({ image }) =>
    Array.from(image.data),
  ) as [number[], number[], number[]];
  found.random = {
    ...{ seed: seed.toString(), first: firstPixels, second: secondPixels, other: otherPixels },
  };
  try {
    const odd = { onStep: () => undefined } as object;
    await pipeline.generate("a star", odd);
  } catch (error) {
    const { name, message, hint } = error as Client.OptionError;
    found.refused = { name, message, hint };
  }
  await pipeline.unload();
  return found;
}

Object.assign(globalThis, { wsdOptions: run });
