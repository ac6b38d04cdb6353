/** The part of the bridge that calls the room of pictures. */

import "./image_data";

import { readFileHeader } from "../src/picture/file_header";
import { describeFit, nearestSize } from "../src/picture/fit";
import { blurGaussian } from "../src/picture/blur";
import { cropRegion, fillMasked } from "../src/picture/mask";
import { layOver } from "../src/picture/overlay";
import { toGrey } from "../src/picture/pixels";
import { joinMask, preparePicture } from "../src/picture/prepare";
import type { Preparation } from "../src/picture/prepare";
import type { Fit, Outpaint } from "../src/api/options";
import type { Variation } from "../src/pipeline/generation_request";
import { enlargeLatents } from "../src/pipeline/second_pass";
import { varyNoise } from "../src/pipeline/variation";

type Size = [width: number, height: number];

export type PictureRequest =
  | { call: "grey"; data: string; size: Size }
  | { call: "file_header"; data: string }
  | { call: "blur"; data: string; size: Size; radius: number }
  | { call: "crop_region"; data: string; size: Size; drawn: Size; padding: number }
  | { call: "describe_fit"; size: Size; drawn: Size; fit: Fit }
  | { call: "nearest_size"; size: Size; sizes: Size[] }
  | { call: "fill"; data: string; mask: string; size: Size }
  | {
      call: "prepare";
      data: string;
      mask: string | null;
      size: Size;
      drawn: Size;
      outpaint: Outpaint | null;
      options: Preparation;
      /** Pixels of what was drawn, to put the given picture back into; null for nothing. */
      result: string | null;
    }
  | { call: "enlarge"; latents: number[]; from: Size; to: Size }
  | {
      call: "vary";
      noise: number[];
      batch: number;
      shape: [number, number, number, number];
      variation: Variation;
    };

function bytes(text: string): Uint8ClampedArray {
  return new Uint8ClampedArray(Buffer.from(text, "base64"));
}

function encode(data: Uint8ClampedArray): string {
  return Buffer.from(data).toString("base64");
}

function picture(data: string, [width, height]: Size) {
  return { width, height, data: bytes(data) };
}

export function answerOfPictures(request: PictureRequest): unknown {
  switch (request.call) {
    case "grey":
      return encode(toGrey(picture(request.data, request.size)).data);
    case "file_header":
      return readFileHeader(new Uint8Array(Buffer.from(request.data, "base64"))) ?? null;
    case "blur":
      return encode(blurGaussian(picture(request.data, request.size), request.radius).data);
    case "crop_region":
      return cropRegion(picture(request.data, request.size), request.drawn, request.padding);
    case "describe_fit":
      return describeFit(request.size, request.drawn, request.fit);
    case "nearest_size":
      return nearestSize(request.size, request.sizes);
    case "fill": {
      const { data, mask, size } = request;
      return encode(fillMasked(picture(data, size), picture(mask, size)).data);
    }
    case "prepare": {
      const { data, mask, size, drawn, outpaint, options, result } = request;
      const masked = mask === null ? undefined : picture(mask, size);
      const given = joinMask(picture(data, size), masked, outpaint ?? undefined);
      const { overlay, ...prepared } = preparePicture(given, drawn, options);
      const { before, ...report } = prepared.report;
      const after =
        result === null || overlay === undefined
          ? undefined
          : layOver(picture(result, drawn), overlay);
      return {
        pixels: encode(prepared.picture.data),
        mask: prepared.mask === undefined ? null : encode(prepared.mask.data),
        report,
        before: [before.width, before.height],
        after: after === undefined ? null : encode(after.data),
        afterSize: after === undefined ? null : [after.width, after.height],
      };
    }
    case "enlarge": {
      const { latents, from, to } = request;
      return Array.from(enlargeLatents(Float32Array.from(latents), from, to));
    }
    case "vary": {
      const { noise, batch, shape, variation } = request;
      return Array.from(varyNoise(Float32Array.from(noise), batch, shape, variation));
    }
  }
}
