/** A second pass, known as hires fix: what was drawn is enlarged, and drawn anew from there. */

import type { SecondPass } from "../api/options";
import type { GenerationResult } from "../api/types";
import type { Manifest, Size } from "../bundle/manifest";
import { compiledSizes, findEntryPoint, requireEncoder } from "../bundle/manifest";
import { fitPicture } from "../picture/fit";
import { SCHEDULER_DEFAULTS } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { requireInteger, withoutNulls } from "../util/option_checks";
import { DEFAULT_SECOND_SCALE, DEFAULT_SECOND_STRENGTH } from "../util/option_values";
import type { GenerationRequest, SecondPassRequest } from "./generation_request";
import { roundSteps } from "./generation_request";

/**
 * Fill in the defaults of a second pass.
 *
 * @param request the first pass.
 * @param given options, checked before with `GENERATE_CHECKS`; undefined if there is no second pass.
 * @throws OptionError if the model was not compiled for the size, or the steps are too many.
 * @throws UnsupportedError if a picture is enlarged, and the model has no encoder for pictures.
 */
export function resolveSecondPass(
  manifest: Manifest,
  request: GenerationRequest,
  given: SecondPass | undefined,
): SecondPassRequest | undefined {
  if (given === undefined) return undefined;
  const options = withoutNulls(given);
  const size = resolveLarger(manifest, request.size, options);
  const { steps: runSteps = request.steps, upscale = "latent" } = options;
  const strength = options.strength ?? DEFAULT_SECOND_STRENGTH;
  if (upscale === "picture") requireEncoder(manifest);
  const { max_steps } = {
    ...SCHEDULER_DEFAULTS,
    ...manifest.schedulers.available[request.scheduler]!,
  };
  requireInteger("secondPass.steps", runSteps, 1, max_steps);
  // As in AUTOMATIC1111's web UI, the steps that are run are given, and not those of the schedule.
  const { kind } = manifest.noise_schedule;
  let steps = Math.ceil((kind === "flow" ? runSteps - 1 : runSteps) / strength);
  while (roundSteps(steps, strength, kind) < runSteps) steps += 1;
  if (steps > max_steps) {
    throw new OptionError(
      `${runSteps} steps of a second pass with a strength of ${strength} are the last of ${steps}`,
      `the scheduler takes at most ${max_steps}: run fewer steps, or take a greater strength`,
    );
  }
  return { size, strength, runSteps, steps, upscale };
}

function resolveLarger(
  manifest: Manifest,
  first: Size,
  { scale, width, height }: SecondPass,
): Size {
  const sized = width !== undefined || height !== undefined;
  if (sized && (scale !== undefined || width === undefined || height === undefined)) {
    throw new OptionError(
      "secondPass has neither a scale alone nor both width and height",
      "give scale, or width and height",
    );
  }
  const factor = scale ?? DEFAULT_SECOND_SCALE;
  const [wide, high] = sized
    ? [width!, height!]
    : [Math.round(first[0] * factor), Math.round(first[1] * factor)];
  const larger = compiledSizes(manifest).filter(
    (size) => size[0] >= first[0] && size[1] >= first[1],
  );
  const found = larger.find((size) => size[0] === wide && size[1] === high);
  if (found !== undefined) return found;
  throw new OptionError(
    `a second pass at ${wide}x${high} after ${first.join("x")} is not possible: ` +
      (wide < first[0] || high < first[1] ? "it is smaller" : "the model was not compiled for it"),
    `sizes that it can have: ${larger.map((size) => size.join("x")).join(", ")}`,
  );
}

/**
 * Make the request of a second pass.
 *
 * @param request the first pass, with its `secondPass`.
 * @param drawn what the first pass gave, as pixels.
 */
export function followFirstPass(
  manifest: Manifest,
  request: GenerationRequest,
  drawn: GenerationResult<ImageData>,
): GenerationRequest {
  const { size, strength, steps, upscale } = request.secondPass!;
  const source =
    upscale === "picture"
      ? { pixels: placeInBatch(request, drawn.images, size) }
      : { latents: enlargeAll(manifest, request, drawn.latents, size) };
  return {
    ...request,
    ...{ size, steps, secondPass: undefined, latents: undefined },
    picture: { ...source, strength },
  };
}

/** Enlarge the pictures that were drawn; those of the batch that were not are one of them. */
function placeInBatch(
  { batch, indices }: GenerationRequest,
  images: ImageData[],
  size: Size,
): Uint8ClampedArray[] {
  const enlarged = images.map((image) => fitPicture(image, size, "stretch").data);
  return Array.from(
    { length: batch },
    (_, image) => enlarged[Math.max(0, indices.indexOf(image))]!,
  );
}

/** Enlarge the latents that were drawn; those of pictures that were not are zeros. */
function enlargeAll(
  manifest: Manifest,
  { batch, indices, size }: GenerationRequest,
  latents: Float32Array,
  larger: Size,
): Float32Array {
  const [, channels, height, width] = findEntryPoint(manifest, "denoiser", size).inputs[0]!
    .shape as [number, number, number, number];
  const [, , high, wide] = findEntryPoint(manifest, "denoiser", larger).inputs[0]!.shape as [
    number,
    number,
    number,
    number,
  ];
  const from = channels * height * width;
  const to = channels * high * wide;
  const all = new Float32Array(batch * to);
  for (const [place, image] of indices.entries()) {
    const own = latents.subarray(place * from, (place + 1) * from);
    all.set(enlargeLatents(own, [width, height], [wide, high]), image * to);
  }
  return all;
}

/**
 * Enlarge latents between their points, as `torch.nn.functional.interpolate(mode="bilinear")` does.
 *
 * @param latents float32, (channels, height, width), flat.
 * @param from width and height.
 * @param to width and height of the result.
 */
export function enlargeLatents(latents: Float32Array, from: Size, to: Size): Float32Array {
  const [[width, height], [wide, high]] = [from, to];
  const channels = latents.length / (width * height);
  const [columns, rows] = [neighbours(width, wide), neighbours(height, high)];
  const enlarged = new Float32Array(channels * wide * high);
  let at = 0;
  for (let channel = 0; channel < channels; channel++) {
    const plane = latents.subarray(channel * width * height, (channel + 1) * width * height);
    for (const [above, below, down] of rows) {
      for (const [left, right, across] of columns) {
        const top = mix(plane[above * width + left]!, plane[above * width + right]!, across);
        const bottom = mix(plane[below * width + left]!, plane[below * width + right]!, across);
        enlarged[at++] = mix(top, bottom, down);
      }
    }
  }
  return enlarged;
}

function mix(one: number, other: number, share: number): number {
  return one * (1 - share) + other * share;
}

/** For each point of a longer line, the two points of the shorter one beside it, and its place. */
function neighbours(short: number, long: number): [number, number, number][] {
  return Array.from({ length: long }, (_, index) => {
    const place = Math.max(0, ((index + 0.5) * short) / long - 0.5);
    const first = Math.floor(place);
    return [first, Math.min(short - 1, first + 1), place - first];
  });
}
