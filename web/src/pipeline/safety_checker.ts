/**
 * Looks at finished pictures, where a page asks for it: diffusers' `StableDiffusionSafetyChecker`.
 *
 * CLIP's image encoder embeds the picture, and the embedding is compared with those of concepts.
 * diffusers' pipelines draw a flagged picture black; here the picture stays as it is, and whoever
 * shows it decides.
 */

import type { OnStage } from "../api/progress";
import type { SafetyReport } from "../api/types";
import type { EntryPoint, Manifest } from "../bundle/manifest";
import type { SafetyChecker as Preparation } from "../bundle/manifest.generated";
import type { Model } from "../gpu/model";
import { resizeBytes } from "../picture/resample";
import { throwIfAborted, UnsupportedError } from "../util/errors";

/** What a picture with a concept of special care adds to the scores of those that follow. */
const SPECIAL_CARE = 0.01;

/** @throws UnsupportedError if the model's bundle has no safety checker. */
export function requireSafetyChecker(manifest: Manifest): Preparation {
  if (manifest.safety_checker !== undefined) return manifest.safety_checker;
  throw new UnsupportedError(
    `${manifest.model.name} has no safety checker in its bundle`,
    "leave the option safetyChecker out, or build the bundle again with --safety-checker",
  );
}

/** Checks the pictures of a model. */
export class SafetyChecker {
  private readonly entry: EntryPoint;
  private readonly preparation: Preparation;

  /** @throws UnsupportedError if the model has no safety checker. */
  constructor(private readonly model: Model) {
    this.preparation = requireSafetyChecker(model.manifest);
    this.entry = model.entry("safety_checker");
  }

  /**
   * Check pictures, one after another.
   *
   * @param images opaque pictures of any size.
   * @returns a report for each picture.
   */
  async check(
    images: readonly ImageData[],
    onStage: OnStage,
    signal?: AbortSignal,
  ): Promise<SafetyReport[]> {
    await this.model.runtime.prepare([this.entry], undefined, signal);
    await this.model.components.need("safety_checker", onStage, signal);
    const edge = this.entry.inputs[0]!.shape[3]!;
    const reports: SafetyReport[] = [];
    for (const [image, picture] of images.entries()) {
      throwIfAborted(signal);
      const report = (loaded: number): void =>
        onStage({ stage: "safety", loaded, total: 1, image, images: images.length });
      report(0);
      const pixels = preparePixels(picture, this.preparation, edge);
      const scores = await this.model.run(this.entry, { pixels });
      reports.push(judge(scores.concept_scores!, scores.special_scores!));
      report(1);
    }
    return reports;
  }
}

/**
 * Prepare a picture as transformers' `CLIPImageProcessor` does with Pillow, bit for bit: its shorter
 * edge is resized, the middle is cut out, and each channel is normalised.
 *
 * @param image RGBA; the alpha is not read.
 * @param edge pixels of both edges of what is cut out, at most those of the resized shorter edge.
 * @returns (3, edge, edge), flat.
 */
export function preparePixels(
  { data, width, height }: Pick<ImageData, "data" | "width" | "height">,
  { resize, mean, std }: Pick<Preparation, "resize" | "mean" | "std">,
  edge: number,
): Float32Array {
  const opaque = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      opaque[3 * pixel + channel] = data[4 * pixel + channel]!;
    }
  }
  const [short, long] = width <= height ? [width, height] : [height, width];
  const longer = Math.trunc((resize * long) / short);
  const [wide, high] = width <= height ? [resize, longer] : [longer, resize];
  const resized = resizeBytes(opaque, 3, [width, height], [wide, high], "bicubic");
  const [left, top] = [Math.floor((wide - edge) / 2), Math.floor((high - edge) / 2)];
  const pixels = new Float32Array(3 * edge * edge);
  for (let channel = 0; channel < 3; channel++) {
    // numpy computes with float32.
    const [average, deviation] = [Math.fround(mean[channel]!), Math.fround(std[channel]!)];
    for (let y = 0; y < edge; y++) {
      for (let x = 0; x < edge; x++) {
        const byte = resized[3 * ((top + y) * wide + left + x) + channel]!;
        const centred = Math.fround(Math.fround(byte * (1 / 255)) - average);
        pixels[(channel * edge + y) * edge + x] = centred / deviation;
      }
    }
  }
  return pixels;
}

/**
 * Decide as `StableDiffusionSafetyChecker.forward` does: scores are rounded to three digits, and a
 * concept is found where its score is above 0.
 *
 * @param concepts cosines of the picture and each concept, less the concept's threshold.
 * @param special the same of the concepts that ask for special care.
 */
export function judge(concepts: ArrayLike<number>, special: ArrayLike<number>): SafetyReport {
  let adjustment = 0;
  const specialScores = Array.from(special, (score) => {
    const rounded = roundToThree(Math.fround(score + Math.fround(adjustment)));
    // It counts from the next concept on.
    if (rounded > 0) adjustment = SPECIAL_CARE;
    return rounded;
  });
  const conceptScores = Array.from(concepts, (score) =>
    roundToThree(Math.fround(score + Math.fround(adjustment))),
  );
  const found = conceptScores.flatMap((score, concept) => (score > 0 ? [concept] : []));
  return { flagged: found.length > 0, concepts: found, conceptScores, specialScores };
}

/** Round as numpy rounds a float32: halves of what is left after three digits go to the even side. */
function roundToThree(value: number): number {
  const scaled = Math.fround(value * 1000);
  const down = Math.floor(scaled);
  const rest = scaled - down;
  const isUp = rest > 0.5 || (rest === 0.5 && down % 2 !== 0);
  return Math.fround((isUp ? down + 1 : down) / 1000);
}
