/** Noise of one request, in the order in which diffusers draws it. */

import type { Seed } from "../settings/seed";
import { BrownianTree } from "./brownian_tree";
import type { Run } from "./schedulers";
import { MersenneTwister, randn } from "./torch_rng";

/**
 * Random numbers that a request takes before its first step, each drawn at once: the initial noise
 * of all pictures, or numbers with which given pictures' latents are sampled from what the encoder
 * says of them.
 */
export type LeadingDraw = "noise" | "posterior";

/** How a request's noise differs from what its seed alone gives. */
export interface NoiseOptions {
  /** Index of the last picture that takes its noise; that of the batch unless given. */
  last?: number | undefined;
  /**
   * Noise of all pictures in place of the initial noise, which then takes nothing from the
   * generator, as in diffusers.
   */
  initial?: Float32Array | undefined;
  /** What is drawn before the first step, in this order: the noise alone unless given. */
  leading?: readonly LeadingDraw[] | undefined;
  /** How many pictures are given, whose numbers a leading draw has; 1 unless given. */
  given?: number | undefined;
  /** Changes the initial noise of all pictures, unless it is given. */
  vary?: ((noise: Float32Array) => Float32Array) | undefined;
}

/**
 * Draws all random numbers of a run: first the leading draws, of which one is the initial noise of
 * all pictures, then each step's noise of all pictures. They come from one generator, except for
 * steps that name an interval of a Brownian path: their noise comes from that path.
 */
export class NoiseSource {
  private readonly generator: MersenneTwister;
  private readonly tree: BrownianTree | undefined;
  /** The noise of all pictures by draw, until the last picture that is drawn has taken its share. */
  private readonly draws: (Float32Array | undefined)[] = [];
  /** For each draw after the first: the two ends on the Brownian path, if it is from there. */
  private readonly intervals: ([number, number] | undefined)[];
  /** The leading draws for given pictures, in their order. */
  private readonly posteriors: Float32Array[] = [];

  /**
   * @param seed as `torch.Generator().manual_seed(seed)` takes it. It is the Brownian path's
   *   entropy too (diffusers' `noise_sampler_seed`).
   * @param count numbers for one picture.
   * @param images pictures of the seed, whose noise is drawn at once.
   */
  constructor(
    run: Run,
    seed: Seed,
    private readonly count: number,
    private readonly images: number,
    private readonly options: NoiseOptions = {},
  ) {
    this.generator = new MersenneTwister(seed);
    this.tree = run.brownian && new BrownianTree(...run.brownian, BigInt(seed), count * images);
    this.intervals = run.steps
      .filter(({ next }) => next.noise !== undefined)
      .map(({ next }) => next.brownian);
    const { initial, leading = ["noise"], given = 1 } = options;
    for (const draw of leading) {
      if (draw === "noise") this.draws.push(initial ?? this.drawInitial());
      else this.posteriors.push(this.draw(given));
    }
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
    if (image === (this.options.last ?? this.images - 1)) this.draws[draw] = undefined;
    return this.share(all, image);
  }

  /**
   * Return the numbers with which the latents of one given picture are sampled.
   *
   * @param draw counts the leading draws for given pictures from 0.
   * @param picture its index among those that are given.
   */
  posterior(draw: number, picture: number): Float32Array {
    return this.share(this.posteriors[draw]!, picture);
  }

  private next(): Float32Array {
    const interval = this.intervals[this.draws.length - 1];
    if (interval !== undefined) return this.tree!.noise(...interval);
    return this.draw(this.images);
  }

  private drawInitial(): Float32Array {
    const noise = this.draw(this.images);
    return this.options.vary === undefined ? noise : this.options.vary(noise);
  }

  private draw(pictures: number): Float32Array {
    return randn(this.generator, this.count * pictures);
  }

  private share(all: Float32Array, picture: number): Float32Array {
    return all.subarray(picture * this.count, (picture + 1) * this.count);
  }
}
