/** Single stages of a text-to-image model, for parity checks and measurements. */

import type { SafetyReport } from "../api/types";
import type { Size } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import type { TransferSizes } from "../gpu/residency";
import type { Pipeline } from "../pipeline";
import { TextToImagePipeline } from "../pipeline/text_to_image";
import type { Words } from "../pipeline/text_encoder";
import { VaeEncoder } from "../pipeline/vae_encoder";
import { TEXT_STATES } from "../util/constants.generated";
import { UnsupportedError } from "../util/errors";

/**
 * Encode a prompt.
 *
 * @param words a text alone is read as plain text.
 * @returns what conditions the denoiser, by the manifest's names.
 */
export async function encodeText(
  pipeline: Pipeline,
  words: string | Words,
): Promise<Record<string, Float32Array>> {
  const { encoder } = requireTextToImage(pipeline);
  return pipeline.withStages(async ({ model, bring }) => {
    const read = typeof words === "string" ? { text: words } : words;
    for (const entry of encoder.functions(read.clipSkip)) await bring(entry);
    return model.readAll(await encoder.encode(read));
  });
}

/**
 * Call the denoiser once.
 *
 * @param inputs by the manifest's names, in the manifest's shapes.
 * @returns the predicted noise: (1, channels, height / factor, width / factor).
 * @throws OptionError if the model was not compiled for the size.
 */
export async function predictNoise(
  pipeline: Pipeline,
  inputs: Record<string, Float32Array>,
  size: Size = pipeline.manifest.defaults.size,
): Promise<Float32Array> {
  return pipeline.withStages(async ({ model, bring }) => {
    const plain = model.entry("denoiser", size);
    const rows = plain.inputs.find(({ name }) => name === TEXT_STATES)!.shape;
    const chunks = inputs[TEXT_STATES]!.length / valueCount(rows);
    const denoiser = model.denoiser(size, chunks, false);
    await bring(denoiser);
    return (await model.run(denoiser, inputs)).noise_prediction!;
  });
}

/**
 * Decode one picture's latents, in tiles where the pipeline does.
 *
 * @param latents (1, channels, height / factor, width / factor).
 * @returns (1, 3, height, width), values from about -1 to 1.
 * @throws OptionError if the model was not compiled for the size.
 */
export async function decodeLatents(
  pipeline: Pipeline,
  latents: Float32Array,
  size: Size = pipeline.manifest.defaults.size,
): Promise<Float32Array> {
  const { decoder } = requireTextToImage(pipeline);
  return pipeline.withStages(async ({ model, bring }) => {
    const [entry] = decoder.functions(size);
    await bring(entry!);
    if (decoder.usesTiles(size)) return (await decoder.decodeTiles(latents, size)).data;
    return (await model.run(entry!, { latents })).image!;
  });
}

/**
 * Encode a picture, in tiles where the pipeline does.
 *
 * @param pixels (height, width, 4) bytes of RGBA.
 * @returns moments of the VAE's latents, (1, 2 channels, height / factor, width / factor), or the
 *   latents of an encoder that gives these.
 * @throws OptionError if the model was not compiled for the size.
 * @throws UnsupportedError if the model has no encoder.
 */
export async function encodeImage(
  pipeline: Pipeline,
  pixels: Uint8Array,
  size: Size = pipeline.manifest.defaults.size,
): Promise<Float32Array> {
  const { decoder } = requireTextToImage(pipeline);
  return pipeline.withStages(async ({ model, bring }) => {
    const encoder = new VaeEncoder(model, { ...decoder.tiling, enabled: decoder.usesTiles(size) });
    const functions = encoder.functions(size);
    await model.runtime.prepare(functions);
    await bring(functions[0]!);
    return encoder.encode(new Uint8ClampedArray(pixels), size);
  });
}

/**
 * Check a picture with the safety checker.
 *
 * @param pixels (height, width, 4) bytes of RGBA.
 * @throws UnsupportedError if the model has no safety checker.
 */
export async function checkPicture(
  pipeline: Pipeline,
  pixels: Uint8Array,
  [width, height]: Size,
): Promise<SafetyReport> {
  const picture = { data: new Uint8ClampedArray(pixels), width, height } as ImageData;
  const [report] = await pipeline.checkPictures([picture], () => undefined);
  return report!;
}

/**
 * Compute a linear combination of latents with the schedulers' kernel.
 *
 * @param terms arrays of (1, channels, height / factor, width / factor), at most as many as the
 *   kernel takes.
 */
export async function combineLatents(
  pipeline: Pipeline,
  terms: Float32Array[],
  weights: number[],
  size: Size = pipeline.manifest.defaults.size,
): Promise<Float32Array> {
  return pipeline.withStages(async ({ model }) => {
    const { runtime } = model;
    await runtime.prepare([model.entry("linear_combination", size)]);
    const shape = model.latentShape(size);
    const sum = runtime.scope(() =>
      model.combine(
        size,
        terms.map((term, index) => [runtime.tensor(term, shape), weights[index]!]),
      ),
    );
    return model.readAndDispose(sum);
  });
}

/**
 * Read a component's parameters back, LoRAs' changes included.
 *
 * @returns name of the record → its bytes as the bundle stores them.
 */
export async function readParameters(
  pipeline: Pipeline,
  component: string,
): Promise<Record<string, Uint8Array>> {
  return pipeline.withStages(async ({ model, bring }) => {
    const entry = model.manifest.entry_points.find((each) => each.component === component)!;
    await bring(entry);
    const { runtime } = model;
    const read: Record<string, Uint8Array> = {};
    for (const [index, { name }] of model.manifest.components[component]!.records.entries()) {
      const tensor = runtime.scope(() =>
        runtime.unbundle(model.components.parameters(component), index),
      );
      read[name] = new Uint8Array(await runtime.read(tensor));
      tensor.dispose();
    }
    return read;
  });
}

/** Have weights of LoRAs go to the GPU and back in smaller portions, for tests. */
export async function setTransfer(pipeline: Pipeline, sizes: TransferSizes): Promise<void> {
  await pipeline.withStages(({ model }) => {
    model.components.transfer = sizes;
    return Promise.resolve();
  });
}

function requireTextToImage(pipeline: Pipeline): TextToImagePipeline {
  if (pipeline instanceof TextToImagePipeline) return pipeline;
  throw new UnsupportedError(
    `${pipeline.manifest.model.name} is not a text-to-image model`,
    "its stages cannot be called one by one; draw whole pictures in place of that",
  );
}
