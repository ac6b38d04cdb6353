/** Mixes the noise of two seeds, for pictures that resemble each other. */

import type { Variation } from "./generation_request";
import { MersenneTwister, randn } from "./torch_rng";

/** Below it, two directions lie on one line as far as float32 tells. */
const LEAST_SINE = 1e-6;

/**
 * Mix noise along the arc between two noises (slerp), as AUTOMATIC1111's web UI does for its
 * "Variation seed": for each picture, along its rows' axis.
 *
 * @param noise of one picture: float32, (channels, height, width), flat.
 * @param other noise of the variation's seed.
 * @param strength 0 gives the noise itself, and 1 the other one.
 * @see modules/rng.py, functions slerp and ImageRNG.first
 */
export function mixNoise(
  noise: Float32Array,
  other: Float32Array,
  [channels, height, width]: readonly [number, number, number],
  strength: number,
): Float32Array {
  // torch.norm(dim=1) of (channels, height, width): one arc for each channel and column.
  const arcs = channels * width;
  const cosines = new Float64Array(arcs);
  const eachArc = (visit: (arc: number, start: number) => void): void => {
    for (let arc = 0; arc < arcs; arc++) {
      visit(arc, Math.floor(arc / width) * height * width + (arc % width));
    }
  };
  eachArc((arc, start) => {
    let [dot, one, two] = [0, 0, 0];
    for (let row = 0; row < height; row++) {
      const [a, b] = [noise[start + row * width]!, other[start + row * width]!];
      dot += a * b;
      one += a * a;
      two += b * b;
    }
    cosines[arc] = dot / Math.sqrt(one * two);
  });
  const mixed = new Float32Array(noise.length);
  const mean = cosines.reduce((sum, cosine) => sum + cosine, 0) / arcs;
  // Noises that point the same way have no arc between them; the web UI weighs them so too.
  const isSame = mean > 0.9995;
  eachArc((arc, start) => {
    const angle = Math.acos(Math.min(1, Math.max(-1, cosines[arc]!)));
    const sine = Math.sin(angle);
    // On a line there is no arc, and the web UI's formula divides by 0; rows of one pixel are such.
    const isLine = sine < LEAST_SINE;
    const along = isLine ? 1 - strength : Math.sin((1 - strength) * angle) / sine;
    const across = isLine ? strength : Math.sin(strength * angle) / sine;
    const own = isSame ? strength : along;
    const others = isSame ? 1 - strength : across;
    for (let row = 0; row < height; row++) {
      const at = start + row * width;
      mixed[at] = own * noise[at]! + others * other[at]!;
    }
  });
  return mixed;
}

/**
 * Mix noise of a variation's seed into the initial noise of a batch, each picture by itself.
 *
 * @param noise float32, (batch, channels, height, width), flat.
 * @param shape of one picture's noise: (1, channels, height, width).
 * @returns the noise itself if nothing is to be mixed in.
 */
export function varyNoise(
  noise: Float32Array,
  batch: number,
  [, channels, height, width]: readonly [number, number, number, number],
  { seed, strength }: Variation,
): Float32Array {
  if (strength === 0) return noise;
  const other = randn(new MersenneTwister(seed), noise.length);
  const count = noise.length / batch;
  const varied = new Float32Array(noise.length);
  for (let at = 0; at < noise.length; at += count) {
    const [own, others] = [noise, other].map((each) => each.subarray(at, at + count));
    varied.set(mixNoise(own!, others!, [channels, height, width], strength), at);
  }
  return varied;
}
