/**
 * A Brownian path that one seed decides, whatever is asked of it and in whatever order.
 *
 * These are the float32 numbers of diffusers' `BrownianTreeNoiseSampler`, bit for bit: of
 * torchsde's `BrownianInterval` with `halfway_tree`, `tol` 1e-6 and `pool_size` 24. Each interval
 * of the tree is halved, and a seed of its own draws how the path's increment divides over the
 * halves (a Brownian bridge).
 *
 * Source: Kidger et al. 2021, "Efficient and Accurate Gradients for Neural SDEs", and torchsde's
 * _brownian/brownian_interval.py.
 */

import { seedWords } from "./seed_sequence";
import { MersenneTwister, randn } from "./torch_rng";

const POOL_SIZE = 24;
/** Ends of intervals are rounded to this many digits behind the point. */
const DIGITS = 6;
/** How many left halves of intervals are cached: enough for the paths to three leaves. */
const CACHE_SIZE = 64;

const f32 = Math.fround;

/** An interval of the tree. */
interface Interval {
  start: number;
  end: number;
  depth: number;
  /** The turns from the root to here as bits, 1 for the right half. */
  key: number;
}

/** Brownian paths between two times, one for each number of a tensor. */
export class BrownianTree {
  private readonly entropy: bigint;
  private readonly root: Interval;
  private readonly whole: Float32Array;
  /** Increments over the left half of an interval, by its depth and key, the oldest first. */
  private readonly cache = new Map<string, Float32Array>();

  /**
   * @param least the earliest time, a float32.
   * @param most the latest time, a float32.
   * @param seed 64 bits, signed or not.
   * @param count how many paths.
   */
  constructor(
    least: number,
    most: number,
    seed: bigint,
    private readonly count: number,
  ) {
    this.entropy = BigInt.asUintN(64, seed);
    this.root = { start: roundDigits(least), end: roundDigits(most), depth: 0, key: 0 };
    const [seedOfWhole] = seedWords(this.entropy, [], POOL_SIZE, 1);
    const deviation = f32(Math.sqrt(most - least));
    this.whole = this.draw(seedOfWhole!).map((value) => value * deviation);
  }

  /**
   * Return standard normal numbers: the paths' increments from one time to another, divided by the
   * root of their distance.
   *
   * @param from a time, a float32.
   * @param to another time.
   */
  noise(from: number, to: number): Float32Array {
    const { start, end } = this.root;
    const [first, last] = [Math.min(from, to), Math.max(from, to)].map((time) =>
      Math.min(Math.max(roundDigits(time), start), end),
    );
    const sum = new Float32Array(this.count);
    this.addBetween(first!, last!, this.root, this.whole, sum);
    const sign = from < to ? 1 : -1;
    const scale = f32(Math.sqrt(f32(Math.abs(f32(to - from)))));
    return sum.map((value) => (sign * value) / scale);
  }

  /**
   * Add the increments from `first` to `last`, as far as they are in an interval. The sum takes
   * the fewest intervals of the tree, from the earliest to the latest.
   *
   * @param increment the paths' increments over the interval.
   */
  private addBetween(
    first: number,
    last: number,
    interval: Interval,
    increment: Float32Array,
    sum: Float32Array,
  ): void {
    if (first >= last) return;
    if (first === interval.start && last === interval.end) {
      for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + increment[i]!;
      return;
    }
    const [left, right] = halve(interval);
    const before = this.leftIncrement(interval, left, increment);
    this.addBetween(first, Math.min(last, left.end), left, before, sum);
    if (last <= right.start) return;
    const after = new Float32Array(this.count);
    for (let i = 0; i < this.count; i++) after[i] = increment[i]! - before[i]!;
    this.addBetween(Math.max(first, right.start), last, right, after, sum);
  }

  /** The paths' increments over the left half of an interval, by a Brownian bridge. */
  private leftIncrement(
    { start, end, depth, key }: Interval,
    left: Interval,
    whole: Float32Array,
  ): Float32Array {
    const name = `${depth} ${key}`;
    let increment = this.cache.get(name);
    if (increment === undefined) {
      const [before, after, reciprocal] = [left.end - start, end - left.end, 1 / (end - start)];
      const deviation = f32(Math.sqrt(before * after * reciprocal));
      const [share, over] = [f32(before), f32(reciprocal)];
      const [seed] = seedWords(this.entropy, [key, depth], POOL_SIZE, 1);
      increment = this.draw(seed!);
      // Each operation is rounded to float32, as torchsde's operations on tensors are.
      for (let i = 0; i < this.count; i++) {
        increment[i] = f32(f32(share * whole[i]!) * over) + f32(deviation * increment[i]!);
      }
    }
    this.cache.delete(name);
    this.cache.set(name, increment); // the newest again
    for (const oldest of this.cache.keys()) {
      if (this.cache.size <= CACHE_SIZE) break;
      this.cache.delete(oldest);
    }
    return increment;
  }

  private draw(seed: number): Float32Array {
    return randn(new MersenneTwister(seed), this.count);
  }
}

function halve({ start, end, depth, key }: Interval): [Interval, Interval] {
  const middle = roundDigits(0.5 * (end + start));
  return [
    { start, end: middle, depth: depth + 1, key: 2 * key },
    { start: middle, end, depth: depth + 1, key: 2 * key + 1 },
  ];
}

/** Python's `round(value, 6)`: the nearest such decimal, and of two the one with an even digit. */
function roundDigits(value: number): number {
  // Half a unit of the last digit is a binary fraction only for odd multiples of 2 ** -7.
  const multiple = value * 2 ** (DIGITS + 1);
  if (!Number.isInteger(multiple) || multiple % 2 === 0) return Number(value.toFixed(DIGITS));
  const quarter = 10 ** -DIGITS / 4;
  const below = Number((value - quarter).toFixed(DIGITS));
  const isEven = Math.round(below * 10 ** DIGITS) % 2 === 0;
  return isEven ? below : Number((value + quarter).toFixed(DIGITS));
}
