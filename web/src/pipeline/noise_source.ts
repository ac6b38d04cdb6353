/** Noise of one request, in the order in which diffusers draws it. */

import type { Seed } from "../settings/seed";
import { BrownianTree } from "./brownian_tree";
import type { Run } from "./schedulers";
import { MersenneTwister, randn } from "./torch_rng";

/**
 * Draws all noise of a run: first the initial noise of all pictures, then each step's noise of all
 * pictures. It comes from one generator, except for steps that name an interval of a Brownian path:
 * their noise comes from that path.
 */
export class NoiseSource {
  private readonly generator: MersenneTwister;
  private readonly tree: BrownianTree | undefined;
  /** The noise of all pictures by draw, until the last picture that is drawn has taken its share. */
  private readonly draws: (Float32Array | undefined)[] = [];
  /** For each draw after the first: the two ends on the Brownian path, if it is from there. */
  private readonly intervals: ([number, number] | undefined)[];

  /**
   * @param seed as `torch.Generator().manual_seed(seed)` takes it. It is the Brownian path's
   *   entropy too (diffusers' `noise_sampler_seed`).
   * @param count numbers for one picture.
   * @param images pictures of the seed, whose noise is drawn at once.
   * @param last index of the last picture that takes its noise.
   * @param initial noise of all pictures in place of the first draw, which then takes nothing from
   *   the generator, as in diffusers.
   */
  constructor(
    run: Run,
    seed: Seed,
    private readonly count: number,
    private readonly images: number,
    private readonly last = images - 1,
    initial?: Float32Array,
  ) {
    if (initial !== undefined) this.draws.push(initial);
    this.generator = new MersenneTwister(seed);
    this.tree = run.brownian && new BrownianTree(...run.brownian, BigInt(seed), count * images);
    this.intervals = run.steps
      .filter(({ next }) => next.noise !== undefined)
      .map(({ next }) => next.brownian);
  }

  /**
   * Return one picture's noise.
   *
   * @param draw 0 for the initial noise, n for the n-th step that draws. A picture takes its draws
   *   in this order, and the pictures come one after the other.
   */
  take(draw: number, image: number): Float32Array {
    while (this.draws.length <= draw) this.draws.push(this.next());
    const all = this.draws[draw]!;
    if (image === this.last) this.draws[draw] = undefined;
    return all.subarray(image * this.count, (image + 1) * this.count);
  }

  private next(): Float32Array {
    const interval = this.intervals[this.draws.length - 1];
    if (interval !== undefined) return this.tree!.noise(...interval);
    return randn(this.generator, this.count * this.images);
  }
}
