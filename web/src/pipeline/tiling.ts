/** Cuts latents or pictures into overlapping tiles, and blends what these become. Pure functions. */

/**
 * Where tiles of one length start so that they cover an extent, evenly spaced.
 *
 * @param overlap least share of their length that neighbouring tiles have in common, 0 to 0.5.
 */
export function tileStarts(extent: number, tile: number, overlap: number): number[] {
  const room = extent - tile;
  const gaps = Math.ceil(room / (tile * (1 - overlap)));
  return Array.from({ length: gaps + 1 }, (_, index) =>
    gaps === 0 ? 0 : Math.round((index * room) / gaps),
  );
}

/**
 * Compute each tile's weight at each of its positions along one axis.
 *
 * A tile fades in over what it shares with the tile before it, and out over what it shares
 * with the next one; the weights of all tiles at a position sum to 1. They follow a Hann
 * window. With linear weights the first rows of a tile, which are wrong because the decoder
 * sees nothing beyond them, showed as a line that differed by 2 of 255.
 *
 * @param starts positions where the tiles start, ascending.
 * @param tile length of a tile.
 */
export function tileWeights(starts: number[], tile: number): Float32Array[] {
  const extent = starts.at(-1)! + tile;
  const sums = new Float64Array(extent);
  const weights = starts.map((start, index) => {
    const before = index === 0 ? 0 : starts[index - 1]! + tile - start;
    const after = index === starts.length - 1 ? 0 : start + tile - starts[index + 1]!;
    return Float64Array.from({ length: tile }, (_, place) => {
      const weight = fade((place + 0.5) / before) * fade((tile - place - 0.5) / after);
      sums[start + place]! += weight;
      return weight;
    });
  });
  return weights.map((own, index) =>
    Float32Array.from(own, (weight, place) => weight / sums[starts[index]! + place]!),
  );
}

/** Weight from 0 at a tile's edge to 1 where the shared part ends. */
function fade(share: number): number {
  return Math.sin((Math.PI / 2) * Math.min(1, share)) ** 2;
}

/** Channels of a picture: float32, (channels, height, width). */
export interface Planes {
  data: Float32Array;
  height: number;
  width: number;
}

/** Copy a rectangle of `rows` by `columns` out of a picture. */
export function crop(
  { data, height, width }: Planes,
  top: number,
  left: number,
  rows: number,
  columns: number,
): Planes {
  const channels = data.length / (height * width);
  const cut = new Float32Array(channels * rows * columns);
  for (let line = 0; line < channels * rows; line++) {
    const channel = Math.floor(line / rows);
    const from = (channel * height + top + (line % rows)) * width + left;
    cut.set(data.subarray(from, from + columns), line * columns);
  }
  return { data: cut, height: rows, width: columns };
}

/** Add a tile to a picture at a position, weighted by row and by column. */
export function blend(
  picture: Planes,
  tile: Planes,
  top: number,
  left: number,
  rowWeights: Float32Array,
  columnWeights: Float32Array,
): void {
  const { height, width } = tile;
  const channels = tile.data.length / (height * width);
  for (let line = 0; line < channels * height; line++) {
    const row = line % height;
    const to = (Math.floor(line / height) * picture.height + top + row) * picture.width + left;
    const from = line * width;
    const rowWeight = rowWeights[row]!;
    for (let column = 0; column < width; column++) {
      picture.data[to + column]! += rowWeight * columnWeights[column]! * tile.data[from + column]!;
    }
  }
}

/** Convert three channels of values from about -1 to 1 to RGBA bytes. */
export function toImageData({ data, height, width }: Planes): ImageData {
  const plane = height * width;
  const rgba = new Uint8ClampedArray(4 * plane).fill(255);
  for (let channel = 0; channel < 3; channel++) {
    for (let pixel = 0; pixel < plane; pixel++) {
      // The array type clamps and rounds, as the kernel image_to_rgba does.
      rgba[4 * pixel + channel] = (data[channel * plane + pixel]! / 2 + 0.5) * 255;
    }
  }
  return new ImageData(rgba, width, height);
}

/** Convert RGBA bytes to three channels of values from -1 to 1; the alpha is not read. */
export function fromPixels(pixels: Uint8ClampedArray, width: number, height: number): Planes {
  const plane = height * width;
  const data = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    for (let pixel = 0; pixel < plane; pixel++) {
      data[channel * plane + pixel] = 2 * Math.fround(pixels[4 * pixel + channel]! / 255) - 1;
    }
  }
  return { data, height, width };
}
