/**
 * Resolves the options about pictures. What can be checked at once is checked before anything is
 * decoded; pictures are then decoded and fitted while the call waits for its turn.
 */

import type {
  GenerateOptions,
  ImageInput,
  Outpaint,
  OutputName,
  PictureOptions,
  Prompt,
} from "../api/options";
import type { EncodedImage, EncodeImageOptions, PictureReport, PictureSize } from "../api/types";
import type { Manifest } from "../bundle/manifest";
import { compiledSizes, requireEncoder } from "../bundle/manifest";
import { decodePicture } from "../picture/decode";
import { fitPicture, nearestSize } from "../picture/fit";
import type { MaskedPicture } from "../picture/prepare";
import { joinMask, preparePicture } from "../picture/prepare";
import { toGrey } from "../picture/pixels";
import { DEFAULT_MASKED_STRENGTH, DEFAULT_STRENGTH } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { withoutNulls } from "../util/option_checks";
import { DEFAULT_MASKED_PADDING } from "../util/option_values";
import type { PictureSettings } from "../settings/infotext";
import { countSteps, resolveRequest, resolveSize, withPicture } from "./generation_request";
import type { GenerationRequest } from "./generation_request";
import { resolveSecondPass } from "./second_pass";

/** A request whose pictures are decoded and fitted. */
export interface PreparedRequest {
  request: GenerationRequest;
  /** What became of the picture that was given; undefined if there was none. */
  report: PictureReport | undefined;
}

/**
 * Resolve the options of `generate`.
 *
 * @param given options, checked before with `GENERATE_CHECKS`.
 * @returns the request, or a promise of it if pictures must be decoded first; that rejects with an
 *   OptionError if they cannot be drawn from.
 * @throws OptionError or UnsupportedError for what is wrong with the options themselves.
 */
export function prepareRequest(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  given: GenerateOptions & { output?: OutputName | undefined } = {},
): PreparedRequest | Promise<PreparedRequest> {
  const resolved = resolveRequest(manifest, prompt, given);
  const options = { ...given, outpaint: resolveOutpaint(given.outpaint) };
  checkTogether(options);
  const request = {
    ...resolved,
    variation: resolveVariation(options),
    secondPass: resolveSecondPass(manifest, resolved, options.secondPass),
  };
  const { image, mask, outpaint } = options;
  if (image === undefined) {
    return { request: withPicture(manifest, request, undefined), report: undefined };
  }
  requireEncoder(manifest);
  const strength =
    options.strength ??
    (mask === undefined && outpaint === undefined ? DEFAULT_STRENGTH : DEFAULT_MASKED_STRENGTH);
  const runSteps = countSteps(request.steps, strength, manifest.noise_schedule.kind);
  const { width, height } = options;
  const sized = width !== undefined || height !== undefined;
  return decodeGiven(options).then((decoded) => {
    const size = sized ? request.size : sizeFor(manifest, decoded.picture, options.onlyMasked);
    const prepared = preparePicture(decoded, size, options);
    const picture = {
      strength,
      pixels: [prepared.picture.data],
      mask: prepared.mask?.data,
      // What is filled is in the pixels already.
      maskedContent: options.maskedContent === "noise" ? ("noise" as const) : undefined,
    };
    const whole = withPicture(manifest, { ...request, size }, picture);
    const { overlay, report } = prepared;
    return {
      request: { ...whole, overlay, pictureSettings: pickSettings(options, strength) },
      report: { ...report, startStep: request.steps - runSteps, runSteps },
    };
  });
}

/**
 * Decode a picture for its latents, and fit it.
 *
 * @throws OptionError if it cannot be read, or the size was not compiled.
 */
export async function fitForEncoding(
  manifest: Manifest,
  image: ImageInput,
  { width, height, fit = "cover" }: Pick<EncodeImageOptions, "width" | "height" | "fit">,
): Promise<Omit<EncodedImage, "latents">> {
  const [usualWidth, usualHeight] = manifest.defaults.size;
  const asked =
    width === undefined && height === undefined
      ? undefined
      : resolveSize(manifest, width ?? usualWidth, height ?? usualHeight);
  const picture = await decodePicture("image", image, "white");
  const size = asked ?? sizeFor(manifest, picture, false);
  const { data } = fitPicture(picture, size, fit);
  return { size, image: new ImageData(new Uint8ClampedArray(data), size[0], size[1]) };
}

/** Return what of a request can be moved to the worker rather than copied. */
export function picturesOf({ picture, overlay }: GenerationRequest): Transferable[] {
  const arrays = [
    ...(picture?.pixels ?? []),
    ...(picture?.mask === undefined ? [] : [picture.mask]),
    ...(overlay === undefined ? [] : [overlay.original.data, overlay.mask.data]),
  ];
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}

/** Decode the picture and its mask, both at once. */
async function decodeGiven({ image, mask, outpaint }: PictureOptions): Promise<MaskedPicture> {
  const [picture, masked] = await Promise.all([
    decodePicture("image", image!, "white"),
    mask === undefined ? undefined : decodePicture("mask", mask, "black"),
  ]);
  return joinMask(picture, masked && toGrey(masked), outpaint);
}

/** Choose the size in which a picture is drawn where nobody says it. */
function sizeFor(
  manifest: Manifest,
  { width, height }: { width: number; height: number },
  onlyMasked: boolean | undefined,
): PictureSize {
  if (onlyMasked === true) return manifest.defaults.size;
  return nearestSize([width, height], compiledSizes(manifest));
}

/** Options that have an effect only where another one is given. */
const NEEDS_IMAGE = [
  ...["mask", "outpaint", "strength", "fit", "maskBlur", "maskedContent", "onlyMasked"],
  ...["onlyMaskedPadding", "keepUnmasked"],
] as (keyof PictureOptions)[];
const NEEDS_MASK = ["maskBlur", "maskedContent", "onlyMasked", "keepUnmasked"] as const;
/** Values that ask for nothing. */
const OFF: readonly unknown[] = [undefined, false, 0, "original"];

/** @throws OptionError if an option is given without the one that it goes with. */
function checkTogether(options: GenerateOptions): void {
  const { image, mask, outpaint, secondPass, variationSeed, variationStrength } = options;
  const { onlyMasked, onlyMaskedPadding } = options;
  if (image === undefined) {
    const alone = NEEDS_IMAGE.find((name) => !OFF.includes(options[name]));
    if (alone !== undefined) {
      throw new OptionError(`${alone} is given without image`, "give the picture to draw from too");
    }
  }
  if (mask === undefined && outpaint === undefined) {
    const alone = NEEDS_MASK.find((name) => !OFF.includes(options[name]));
    if (alone !== undefined) {
      const hint = "give a mask, whose white pixels are drawn anew, or outpaint";
      throw new OptionError(`${alone} is given without mask`, hint);
    }
  }
  if (onlyMasked !== true && onlyMaskedPadding !== undefined) {
    const hint = "give onlyMasked: true, or leave the padding out";
    throw new OptionError("onlyMaskedPadding is given without onlyMasked", hint);
  }
  if (image !== undefined && secondPass !== undefined) {
    throw new OptionError(
      "both image and secondPass are given",
      "draw from the picture first, and from the result in another call",
    );
  }
  if ((variationSeed === undefined) !== (variationStrength === undefined)) {
    const [given, missing] =
      variationSeed === undefined
        ? ["variationStrength", "variationSeed"]
        : ["variationSeed", "variationStrength"];
    throw new OptionError(`${given} is given without ${missing}`, "give both");
  }
}

/** Copy the sides to which something is added; undefined if there are none. */
function resolveOutpaint(outpaint: Outpaint | undefined): Outpaint | undefined {
  const sides = Object.entries(withoutNulls(outpaint ?? {}));
  const added = sides.filter(([, pixels]) => (pixels ?? 0) > 0);
  return added.length === 0 ? undefined : Object.fromEntries(added);
}

function resolveVariation(options: GenerateOptions): GenerationRequest["variation"] {
  const { variationSeed: seed, variationStrength: strength, latents } = options;
  if (seed === undefined || strength === undefined) return undefined;
  if (latents !== undefined) {
    throw new OptionError(
      "both latents and variationSeed are given",
      "mix the latents yourself, or leave them out",
    );
  }
  return { seed, strength };
}

/**
 * Choose what the settings of the drawn pictures say of the given one: all that decides them, also
 * where it is a default, because a program that reads the text may assume another one.
 */
function pickSettings(options: GenerateOptions, strength: number): PictureSettings {
  const { fit = "cover", maskBlur = 0, maskedContent = "original", onlyMasked = false } = options;
  const { onlyMaskedPadding = DEFAULT_MASKED_PADDING, keepUnmasked, outpaint, mask } = options;
  const masked = mask !== undefined || outpaint !== undefined;
  return {
    strength,
    ...(onlyMasked ? { onlyMaskedPadding } : { fit }),
    ...(masked ? { maskBlur, maskedContent, onlyMasked } : {}),
    ...(keepUnmasked === true ? { keepUnmasked } : {}),
    ...(outpaint === undefined ? {} : { outpaint }),
  };
}
