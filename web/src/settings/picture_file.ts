/**
 * Encodes pixels as a file, without a canvas: some browsers alter what a page reads from a canvas so
 * that it cannot recognise its visitor, and a file then is another picture.
 *
 * Source: W3C, "Portable Network Graphics (PNG) Specification", third edition, sections 9 (filters)
 * and 10 (compression).
 */

import { chunk, SIGNATURE, textChunk } from "./png";

/** Bits of a colour; a picture is red, green and blue, without transparency. */
const BIT_DEPTH = 8;
const TRUECOLOUR = 2;
const CHANNELS = 3;
/** One filter for all rows: on pictures within 3 % of the best one (docs/adr/0008). */
const PAETH = 4;

/**
 * Encode an opaque picture.
 *
 * @param text its settings; {@link textChunk} says how they are written.
 */
export async function encodePng(
  { width, height, data }: Pick<ImageData, "width" | "height" | "data">,
  text: string,
): Promise<Blob> {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, BIT_DEPTH);
  header.setUint8(9, TRUECOLOUR);
  const packed = new Blob([filterRows(data, width, height)])
    .stream()
    .pipeThrough(new CompressionStream("deflate"));
  const pixels = new Uint8Array(await new Response(packed).arrayBuffer());
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", new Uint8Array(header.buffer)),
    textChunk(text),
    chunk("IDAT", pixels),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts, { type: "image/png" });
}

/** Replace every byte by its difference from what its neighbours predict. */
function filterRows(
  rgba: Uint8ClampedArray,
  width: number,
  height: number,
): Uint8Array<ArrayBuffer> {
  const stride = 1 + CHANNELS * width;
  const filtered = new Uint8Array(stride * height);
  for (let row = 0; row < height; row++) {
    const target = row * stride;
    filtered[target] = PAETH;
    for (let column = 0; column < width; column++) {
      const pixel = 4 * (row * width + column);
      for (let channel = 0; channel < CHANNELS; channel++) {
        const at = pixel + channel;
        const left = column > 0 ? rgba[at - 4]! : 0;
        const above = row > 0 ? rgba[at - 4 * width]! : 0;
        const corner = row > 0 && column > 0 ? rgba[at - 4 * width - 4]! : 0;
        filtered[target + 1 + CHANNELS * column + channel] =
          rgba[at]! - predict(left, above, corner);
      }
    }
  }
  return filtered;
}

/** Paeth's predictor: of three neighbours the one nearest to left + above - corner. */
function predict(left: number, above: number, corner: number): number {
  const [fromLeft, fromAbove] = [Math.abs(above - corner), Math.abs(left - corner)];
  const fromCorner = Math.abs(left + above - 2 * corner);
  if (fromLeft <= fromAbove && fromLeft <= fromCorner) return left;
  return fromAbove <= fromCorner ? above : corner;
}
