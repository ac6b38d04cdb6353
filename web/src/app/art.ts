/**
 * The picture that stands in the frame before the visitor has drawn one: a small landscape that
 * comes out of noise as the model loads.
 */

import { element } from "./dom";

type Colour = readonly [number, number, number];

const SIZE = 96;
const SKY: [Colour, Colour] = [
  [126, 200, 190],
  [255, 226, 180],
];
const SUN: Colour = [255, 196, 87];
/** Hills from the farthest to the nearest: colour, height of the middle, and two waves. */
const HILLS: { colour: Colour; middle: number; waves: [number, number, number][] }[] = [
  { colour: [92, 158, 160], middle: 0.6, waves: [[0.05, 7, 0.4], [0.02, 19, 2]] },
  { colour: [232, 116, 82], middle: 0.74, waves: [[0.07, 5, 2.6], [0.015, 23, 1]] },
  { colour: [0, 100, 92], middle: 0.88, waves: [[0.05, 6, 5], [0.02, 14, 0]] },
]; // prettier-ignore

const canvas = element<HTMLCanvasElement>("art");
let shown = -1;

/** Show the landscape with so much of its noise removed, from 0 to 1. */
export function showArt(share: number): void {
  // Steps of 2 %: each is drawn anew on the page's own thread.
  const step = Math.round(share * 50);
  if (step === shown) return;
  shown = step;
  [canvas.width, canvas.height] = [SIZE, SIZE];
  const image = new ImageData(SIZE, SIZE);
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      image.data.set(pixel(x, y, step / 50), 4 * (y * SIZE + x));
    }
  }
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

function pixel(x: number, y: number, share: number): number[] {
  const [u, v] = [x / SIZE, y / SIZE];
  // The noise goes from the lower right to the upper left, and unevenly.
  const place = 0.45 * (1 - u) + 0.35 * (1 - v) + 0.2 * random(x, y, 7);
  const clear = smooth((share * 1.7 + 0.25 - place) / 0.5);
  const noise = [11, 12, 13].map((salt) => 60 + 170 * random(x, y, salt));
  const colour = landscape(u, v);
  return [...colour.map((value, index) => mix(noise[index]!, value, clear)), 255];
}

function landscape(u: number, v: number): number[] {
  const sky = SKY[0].map((value, index) => mix(value, SKY[1][index]!, v * 1.5));
  const distance = Math.hypot(u - 0.68, v - 0.36);
  let colour = sky.map((value, index) =>
    mix(value, SUN[index]!, 1 - smooth((distance - 0.12) * 60)),
  );
  for (const hill of HILLS) {
    const edge = hill.waves.reduce(
      (height, [size, frequency, phase]) => height + size * Math.sin(u * frequency + phase),
      hill.middle,
    );
    const covered = smooth((v - edge) * 60 + 0.5);
    colour = colour.map((value, index) => mix(value, hill.colour[index]!, covered));
  }
  return colour;
}

/** A number from 0 to 1 that looks random, and is the same for the same place. */
function random(x: number, y: number, salt: number): number {
  let bits =
    Math.imul(x + 1, 374761393) ^ Math.imul(y + 1, 668265263) ^ Math.imul(salt, 2147483647);
  bits = Math.imul(bits ^ (bits >>> 13), 1274126177);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}

function smooth(value: number): number {
  const inside = Math.min(1, Math.max(0, value));
  return inside * inside * (3 - 2 * inside);
}

function mix(from: number, to: number, share: number): number {
  const inside = Math.min(1, Math.max(0, share));
  return from + (to - from) * inside;
}
