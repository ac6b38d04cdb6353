/** From what the encoder says of given pictures to the latents that denoising begins with. */

import { givesMoments } from "../bundle/manifest";
import type { LatentSpace, Manifest, Size } from "../bundle/manifest";
import type { OnStage } from "../api/progress";
import { MASKED_FROM } from "../util/constants.generated";
import { throwIfAborted } from "../util/errors";
import { needsMask } from "./generation_request";
import type { GenerationRequest, GivenPicture } from "./generation_request";
import type { LeadingDraw, NoiseSource } from "./noise_source";
import { fromPixels } from "./tiling";
import type { Planes } from "./tiling";
import type { VaeEncoder } from "./vae_encoder";

/** What denoising begins with, and keeps, of the pictures that are given. */
export interface PictureLatents {
  /**
   * Latents without noise, scaled as the denoiser's: (1, channels, height / factor, width /
   * factor) of each picture of the batch, or of one that all of them begin with. Undefined where
   * denoising begins with noise alone and keeps nothing.
   */
  clean: (image: number) => Float32Array | undefined;
  /** 1 where latents are drawn anew and 0 where they are kept, of one channel; if there is a mask. */
  mask: Float32Array | undefined;
  /**
   * The same latents of what the mask leaves of the picture, for denoisers that take a mask;
   * undefined for others.
   */
  masked: (image: number) => Float32Array | undefined;
  /** Whether denoising begins with noise alone. */
  beginsWithNoise: boolean;
}

/** Whether denoising begins with noise alone, as in diffusers' inpainting pipelines. */
function beginsWithNoise({ mask, strength }: GivenPicture): boolean {
  return mask !== undefined && strength === 1;
}

/** What a request needs of the encoder. */
interface Needs {
  /** Latents of the pictures themselves. */
  clean: boolean;
  /** Latents of what masks leave of them. */
  masked: boolean;
}

function needsOf(manifest: Manifest, picture: GivenPicture): Needs {
  if (picture.pixels === undefined) return { clean: false, masked: false };
  if (!needsMask(manifest)) return { clean: true, masked: false };
  return { clean: !beginsWithNoise(picture), masked: true };
}

/**
 * List the random numbers that are drawn before the first step, in the order of diffusers' image to
 * image and inpainting pipelines.
 */
export function leadingDraws(
  manifest: Manifest,
  picture: GivenPicture | undefined,
): readonly LeadingDraw[] {
  if (picture?.pixels === undefined || !draws(manifest, picture)) return ["noise"];
  const first: LeadingDraw[] = needsOf(manifest, picture).clean ? ["posterior"] : [];
  // The inpainting pipelines encode what the mask leaves for every denoiser. One that takes no mask
  // does not use it, but the numbers are drawn.
  const last: LeadingDraw[] = picture.mask === undefined ? [] : ["posterior"];
  return [...first, "noise", ...last];
}

/** Whether the latents of a picture are drawn with random numbers. */
function draws(manifest: Manifest, { posterior }: GivenPicture): boolean {
  return posterior !== "mode" && givesMoments(manifest);
}

/** Count how often a request has the encoder run. */
export function countEncodings(
  manifest: Manifest,
  { picture, indices }: Pick<GenerationRequest, "picture" | "indices">,
): number {
  if (picture === undefined) return 0;
  const { clean, masked } = needsOf(manifest, picture);
  return placesOf(picture, indices).length * (Number(clean) + Number(masked));
}

/** The places of the pictures that are encoded among those that are given. */
function placesOf({ pixels }: GivenPicture, indices: readonly number[]): readonly number[] {
  return pixels?.length === 1 ? [0] : indices;
}

/**
 * Return the latents that a request has in place of pictures.
 *
 * @param batch pictures that the latents are of.
 */
export function passLatents({ latents }: GivenPicture, batch: number): PictureLatents {
  const count = latents!.length / batch;
  return {
    clean: (image) => latents!.subarray(image * count, (image + 1) * count),
    masked: () => undefined,
    mask: undefined,
    beginsWithNoise: false,
  };
}

/**
 * Encode what a request needs of its pictures, which have pixels.
 *
 * @param noise whose leading draws are those of {@link leadingDraws}.
 * @throws AbortError if the signal is aborted.
 */
export async function encodePictures(
  manifest: Manifest,
  encoder: VaeEncoder,
  request: GenerationRequest & { picture: GivenPicture },
  noise: NoiseSource,
  report: OnStage,
  signal?: AbortSignal,
): Promise<PictureLatents> {
  const { picture, size, indices } = request;
  const { latent_space: space } = manifest;
  const mask = picture.mask && shrinkMask(picture.mask, size, space.scale_factor);
  const found: PictureLatents = {
    clean: () => undefined,
    masked: () => undefined,
    mask,
    beginsWithNoise: beginsWithNoise(picture),
  };
  const pixels = picture.pixels!;
  const needs = needsOf(manifest, picture);
  const places = placesOf(picture, indices);
  const total = countEncodings(manifest, request);
  let loaded = 0;
  const reportNext = (): void =>
    report({ stage: "encode", loaded: loaded++, total, images: indices.length });
  const encodeAll = async (
    draw: number,
    encode: (pixels: Uint8ClampedArray) => Promise<Float32Array>,
  ): Promise<(image: number) => Float32Array> => {
    const encoded = new Map<number, Float32Array>();
    for (const place of places) {
      throwIfAborted(signal);
      const given = readEncoded(manifest, await encode(pixels[place]!));
      const numbers = draws(manifest, picture) ? noise.posterior(draw, place) : undefined;
      encoded.set(place, takeLatents(given, numbers, space));
      reportNext();
    }
    return (image) => encoded.get(pixels.length === 1 ? 0 : image)!;
  };
  reportNext();
  if (needs.clean) {
    found.clean = await encodeAll(0, (each) => encoder.encode(each, size, signal));
  }
  if (needs.masked) {
    const cover = (each: Uint8ClampedArray): Planes => coverMasked(each, picture.mask!, size);
    found.masked = await encodeAll(needs.clean ? 1 : 0, (each) =>
      encoder.encodePlanes(cover(each), signal),
    );
  }
  return found;
}

/** What an encoder says of the latents of a picture. */
export interface EncodedLatents {
  /** The latents, or the mean of each of them. */
  mean: Float32Array;
  /** The logarithm of each one's variance; undefined where the encoder gives latents. */
  logVariance?: Float32Array | undefined;
}

/**
 * Read what an encoder gives.
 *
 * @param planes moments, which are means of all channels and then the logarithms of the variances,
 *   or latents, as the manifest says.
 */
export function readEncoded(
  manifest: Pick<Manifest, "entry_points">,
  planes: Float32Array,
): EncodedLatents {
  if (!givesMoments(manifest)) return { mean: planes };
  const count = planes.length / 2;
  return { mean: planes.subarray(0, count), logVariance: planes.subarray(count) };
}

/**
 * Take latents from what the encoder says of them, as diffusers' `retrieve_latents` does, and
 * scale them for the denoiser. Every operation is rounded to float32, as in PyTorch.
 *
 * @param encoded of the encoder.
 * @param noise standard normal numbers, one for each latent; undefined takes the mean. Without
 *   variances they are not used.
 * @param space its shift is subtracted before scaling; mean and std, if it has both, normalise each channel, as in diffusers'
 *   `StableDiffusionXLImg2ImgPipeline.prepare_latents`.
 */
export function takeLatents(
  { mean: means, logVariance: logVariances }: EncodedLatents,
  noise: Float32Array | undefined,
  { channels, scaling_factor, shift_factor, mean, std }: LatentSpace,
): Float32Array {
  const f32 = Math.fround;
  const plane = means.length / channels;
  const scale = f32(scaling_factor);
  const shift = f32(shift_factor);
  return Float32Array.from(means, (given, index) => {
    let value = given;
    if (noise !== undefined && logVariances !== undefined) {
      const logVariance = Math.min(Math.max(logVariances[index]!, -30), 20);
      value = f32(value + f32(f32(Math.exp(f32(0.5 * logVariance))) * noise[index]!));
    }
    if (mean === undefined || std === undefined) return f32(scale * f32(value - shift));
    const channel = Math.floor(index / plane);
    return f32(f32(f32(value - f32(mean[channel]!)) * scale) / f32(std[channel]!));
  });
}

/**
 * Make the mask of latents: each takes that of one pixel, the first of its square, as PyTorch's
 * `interpolate` does unless it is told otherwise.
 *
 * @param mask one byte for each pixel.
 * @param factor pixels of the picture for one of the latents, each way.
 * @returns (height / factor, width / factor): 1 where the picture is drawn anew, and else 0.
 */
export function shrinkMask(
  mask: Uint8Array | Uint8ClampedArray,
  [width, height]: Size,
  factor: number,
): Float32Array {
  const [wide, high] = [width / factor, height / factor];
  return Float32Array.from({ length: wide * high }, (_, index) => {
    const [row, column] = [Math.floor(index / wide), index % wide];
    return isMasked(mask, row * factor * width + column * factor) ? 1 : 0;
  });
}

/**
 * Take latents of one picture where a mask is 0, and of another where it is 1.
 *
 * @param mask of one channel.
 */
export function mixByMask(
  kept: Float32Array,
  drawn: Float32Array,
  mask: Float32Array,
): Float32Array {
  return kept.map((value, index) => {
    const share = mask[index % mask.length]!;
    return share === 1 ? drawn[index]! : value;
  });
}

/** A picture in the model's range, whose pixels that are drawn anew are 0: grey. */
export function coverMasked(
  pixels: Uint8ClampedArray,
  mask: Uint8Array | Uint8ClampedArray,
  [width, height]: Size,
): Planes {
  const planes = fromPixels(pixels, width, height);
  planes.data.forEach((_, index) => {
    if (isMasked(mask, index % mask.length)) planes.data[index] = 0;
  });
  return planes;
}

function isMasked(mask: Uint8Array | Uint8ClampedArray, pixel: number): boolean {
  return mask[pixel]! >= MASKED_FROM;
}
