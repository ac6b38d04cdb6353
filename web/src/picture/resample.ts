/** Resizes pictures as Pillow does, byte for byte: what diffusers and transformers resize with. */

import type { Rectangle } from "../api/types";

/** Filters of Pillow's `Image.resize`, by their names there in small letters. */
export type ResampleFilter = "box" | "bilinear" | "bicubic" | "lanczos";

/** A filter: how far it reaches, in pixels of the larger picture, and its weight at a distance. */
interface Kernel {
  support: number;
  weigh: (distance: number) => number;
}

// The kernels of Pillow's src/libImaging/Resample.c.
const KERNELS: Record<ResampleFilter, Kernel> = {
  box: { support: 0.5, weigh: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weigh: weighBicubic },
  lanczos: { support: 3, weigh: weighLanczos },
};

// Weights are whole numbers of 1 / 2^22, so that sums of bytes times weights fit 32 bits.
const WEIGHT_BITS = 22;

/** The weights of one pixel of the result: those of `values.length` pixels from `first` on. */
interface Taps {
  first: number;
  values: Int32Array;
}

/**
 * Resize a picture. Each axis is filtered by itself and rounded to bytes; where the picture becomes
 * smaller, the filter grows, so that nothing is left out (antialiasing).
 *
 * Pillow filters along the rows first. Since version 13 it filters along the columns first where the
 * height shrinks by more than twice as many pixels as the width, and the rounding differs.
 *
 * Channels do not mix. Of four channels, the last one is alpha: the picture must be opaque, and so
 * is the result. Pillow would multiply colours by alpha before it resizes, and divide afterwards.
 *
 * @param data bytes, row by row, the channels of a pixel side by side.
 * @param channels bytes of a pixel.
 * @param from width and height of the picture in pixels, each at least 1.
 * @param to width and height of the whole picture in its new size, each at least 1.
 * @param part what of the resized picture is returned; all of it unless given. The rest takes no time.
 * @returns a new array of `part.width * part.height * channels` bytes.
 */
export function resizeBytes(
  data: Uint8Array | Uint8ClampedArray,
  channels: number,
  from: readonly [number, number],
  to: readonly [number, number],
  filter: ResampleFilter,
  part: Rectangle = { left: 0, top: 0, width: to[0], height: to[1] },
): Uint8ClampedArray {
  const [width, height] = from;
  const shrink = height - to[1];
  const columnsFirst = shrink > 0 && shrink > 2 * (width - to[0]);
  const kernel = KERNELS[filter];
  const across = makeTaps(width, to[0], kernel, part.left, part.width);
  const down = makeTaps(height, to[1], kernel, part.top, part.height);
  // Rows that no pixel of the part needs are left out.
  const top = down[0]!.first;
  const bottom = down.reduce((end, { first, values }) => Math.max(end, first + values.length), 0);
  for (const taps of down) taps.first -= top;
  const needed = data.subarray(top * width * channels, bottom * width * channels);
  let made: Raster = { data: needed, width, height: bottom - top, bytes: channels };
  const alongRows = (): void => {
    if (to[0] !== width || part.width !== width) made = filterRows(made, across);
  };
  const alongColumns = (): void => {
    if (to[1] !== height || part.height !== height) made = filterColumns(made, down);
  };
  if (columnsFirst) {
    alongColumns();
    alongRows();
  } else {
    alongRows();
    alongColumns();
  }
  if (made.bytes < channels) return withAlpha(made);
  return made.data === needed ? new Uint8ClampedArray(needed) : (made.data as Uint8ClampedArray);
}

/** A picture on its way through both filters. */
interface Raster {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** Bytes of a pixel. */
  bytes: number;
}

/** What a sum of bytes times weights begins with, so that cutting off its fraction rounds it. */
const HALF = 1 << (WEIGHT_BITS - 1);

/** Bytes of a pixel's colours, without alpha. */
const COLOURS = 3;

/** Resize along rows. Alpha is left out: of an opaque picture, it is known. */
function filterRows({ data, width, height, bytes }: Raster, taps: Taps[]): Raster {
  const kept = Math.min(bytes, COLOURS);
  const made = new Uint8ClampedArray(taps.length * height * kept);
  let at = 0;
  for (let row = 0; row < height; row++) {
    for (const { first, values } of taps) {
      const start = (row * width + first) * bytes;
      for (let channel = 0; channel < kept; channel++) {
        let sum = HALF;
        let place = start + channel;
        // An index, because an iterator over a typed array takes several times as long.
        for (let tap = 0; tap < values.length; tap++, place += bytes) {
          sum = (sum + Math.imul(data[place]!, values[tap]!)) | 0;
        }
        made[at++] = sum >> WEIGHT_BITS;
      }
    }
  }
  return { data: made, width: taps.length, height, bytes: kept };
}

/** Resize along columns: whole rows are added up, because memory is read row by row. */
function filterColumns({ data, width, bytes }: Raster, taps: Taps[]): Raster {
  const rowBytes = width * bytes;
  const made = new Uint8ClampedArray(taps.length * rowBytes);
  const sums = new Int32Array(rowBytes);
  let at = 0;
  for (const { first, values } of taps) {
    sums.fill(HALF);
    for (let tap = 0; tap < values.length; tap++) {
      const weight = values[tap]!;
      const row = (first + tap) * rowBytes;
      for (let byte = 0; byte < rowBytes; byte++) {
        sums[byte] = sums[byte]! + Math.imul(data[row + byte]!, weight);
      }
    }
    for (let byte = 0; byte < rowBytes; byte++) made[at++] = sums[byte]! >> WEIGHT_BITS;
  }
  return { data: made, width, height: taps.length, bytes };
}

/** Return an opaque picture of four channels. */
function withAlpha({ data, width, height }: Raster): Uint8ClampedArray {
  const made = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < COLOURS; channel++) {
      made[4 * pixel + channel] = data[COLOURS * pixel + channel]!;
    }
  }
  return made;
}

/**
 * Return the weights of pixels of the result, as Pillow's `precompute_coeffs` does.
 *
 * @param from the first of these pixels.
 * @param count how many they are.
 */
function makeTaps(
  before: number,
  after: number,
  { support, weigh }: Kernel,
  from: number,
  count: number,
): Taps[] {
  const scale = before / after;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: count }, (_, index) => {
    const center = (from + index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(before, Math.trunc(center + reach + 0.5));
    const inverse = 1 / stretch;
    const weights = Array.from({ length: last - first }, (__, tap) =>
      weigh((tap + first - center + 0.5) * inverse),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const shares = sum === 0 ? weights : weights.map((weight) => weight / sum);
    return { first, values: Int32Array.from(shares, toFixed) };
  });
}

/** Return a share as a whole number of 1 / 2^22, rounded away from 0 at halves. */
function toFixed(share: number): number {
  const scaled = share * (1 << WEIGHT_BITS);
  return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

/** Keys' cubic convolution (1981) with a = -0.5. */
function weighBicubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** A sinc in a window of three lobes. */
function weighLanczos(x: number): number {
  return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

function sinc(x: number): number {
  if (x === 0) return 1;
  const angle = x * Math.PI;
  return Math.sin(angle) / angle;
}
