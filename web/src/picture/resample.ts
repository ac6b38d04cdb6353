/** Resizes pictures as Pillow does, byte for byte: what diffusers and transformers resize with. */

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
 * Channels do not mix. Pillow multiplies colours by their alpha before it resizes RGBA and divides
 * afterwards, which this function does not do: give it opaque pictures.
 *
 * @param data bytes, row by row, the channels of a pixel side by side.
 * @param channels bytes of a pixel.
 * @param from width and height of the picture in pixels, each at least 1.
 * @param to width and height of the result in pixels, each at least 1.
 * @returns a new array of `to[0] * to[1] * channels` bytes.
 */
export function resizeBytes(
  data: Uint8Array | Uint8ClampedArray,
  channels: number,
  from: readonly [number, number],
  to: readonly [number, number],
  filter: ResampleFilter,
): Uint8ClampedArray {
  const [width, height] = from;
  const shrink = height - to[1];
  const columnsFirst = shrink > 0 && shrink > 2 * (width - to[0]);
  let made = data;
  const alongRows = (lines: number): void => {
    if (to[0] === width) return;
    const rows = { lines, pixels: width, step: channels, stride: width * channels };
    made = filterAxis(made, channels, rows, to[0], filter);
  };
  const alongColumns = (lines: number): void => {
    if (to[1] === height) return;
    const columns = { lines, pixels: height, step: lines * channels, stride: channels };
    made = filterAxis(made, channels, columns, to[1], filter);
  };
  if (columnsFirst) {
    alongColumns(width);
    alongRows(to[1]);
  } else {
    alongRows(height);
    alongColumns(to[0]);
  }
  return made === data ? new Uint8ClampedArray(data) : (made as Uint8ClampedArray);
}

/** An axis of a picture: how many lines lie along it, and how far apart pixels and lines are. */
interface Axis {
  lines: number;
  /** Pixels of a line. */
  pixels: number;
  /** Bytes from a pixel to the next one of its line. */
  step: number;
  /** Bytes from a line to the next one. */
  stride: number;
}

/** Resize along one axis. */
function filterAxis(
  data: Uint8Array | Uint8ClampedArray,
  channels: number,
  axis: Axis,
  pixels: number,
  filter: ResampleFilter,
): Uint8ClampedArray {
  const taps = makeTaps(axis.pixels, pixels, KERNELS[filter]);
  const made = new Uint8ClampedArray(axis.lines * pixels * channels);
  // Lines lie side by side (columns of pixels) or one after the other (rows).
  if (axis.step === channels) filterRows(data, made, channels, axis, taps);
  else filterColumns(data, made, axis.step, taps);
  return made;
}

/** What a sum of bytes times weights begins with, so that cutting off its fraction rounds it. */
const HALF = 1 << (WEIGHT_BITS - 1);

function filterRows(
  data: Uint8Array | Uint8ClampedArray,
  made: Uint8ClampedArray,
  channels: number,
  { lines, stride }: Axis,
  taps: Taps[],
): void {
  let at = 0;
  for (let line = 0; line < lines; line++) {
    for (const { first, values } of taps) {
      const start = line * stride + first * channels;
      for (let channel = 0; channel < channels; channel++) {
        let sum = HALF;
        let place = start + channel;
        // An index, because an iterator over a typed array takes several times as long.
        for (let tap = 0; tap < values.length; tap++, place += channels) {
          sum = (sum + Math.imul(data[place]!, values[tap]!)) | 0;
        }
        made[at++] = sum >> WEIGHT_BITS;
      }
    }
  }
}

/** Resize along columns: whole rows are added up, because memory is read row by row. */
function filterColumns(
  data: Uint8Array | Uint8ClampedArray,
  made: Uint8ClampedArray,
  rowBytes: number,
  taps: Taps[],
): void {
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
}

/** Return the weights of every pixel of the result, as Pillow's `precompute_coeffs` does. */
function makeTaps(before: number, after: number, { support, weigh }: Kernel): Taps[] {
  const scale = before / after;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: after }, (_, pixel) => {
    const center = (pixel + 0.5) * scale;
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
