import { expect, test } from "vitest";

import { BrownianTree } from "../../src/pipeline/brownian_tree";
import { NoiseSource } from "../../src/pipeline/noise_source";
import type { Run, Step } from "../../src/pipeline/schedulers";
import { MersenneTwister, randn } from "../../src/pipeline/torch_rng";

const SEED = -5;
const COUNT = 20; // numbers of one picture

function stepWith(noise: Pick<Step["next"], "noise" | "brownian">): Step {
  const weights = { sample: 1, model: 0 };
  const level = { signal: 0, noise: 1 };
  return { timestep: 1, level, inputScale: 1, next: { ...weights, ...noise }, denoised: weights };
}

function runWith(noises: Pick<Step["next"], "noise" | "brownian">[]): Run {
  return { initNoiseSigma: 1, brownian: [0.5, 8], steps: noises.map(stepWith) };
}

/** Take all draws of all pictures, one picture after the other. */
function takeAll(run: Run, draws: number, images: number): Float32Array[][] {
  const source = new NoiseSource(run, SEED, COUNT, images);
  return Array.from({ length: images }, (_, image) =>
    Array.from({ length: draws }, (_, draw) => source.take(draw, image)),
  );
}

test("all pictures' noise of a draw comes before the next draw's", () => {
  // Steps without noise draw none, steps that leave it unused do.
  const run = runWith([{ noise: 1 }, {}, { noise: 0 }]);
  const found = takeAll(run, 3, 2);
  const generator = new MersenneTwister(SEED);
  for (let draw = 0; draw < 3; draw++) {
    const both = randn(generator, 2 * COUNT);
    expect(found[0]![draw]).toEqual(both.subarray(0, COUNT));
    expect(found[1]![draw]).toEqual(both.subarray(COUNT));
  }
});

test("one picture of a batch takes the noise that it has among the others", () => {
  const run = runWith([{ noise: 1 }, { noise: 1 }]);
  const all = takeAll(run, 3, 4);
  const source = new NoiseSource(run, SEED, COUNT, 4, { last: 2 });
  expect([0, 1, 2].map((draw) => source.take(draw, 2))).toEqual(all[2]);
});

test("given noise takes nothing from the generator", () => {
  const given = Float32Array.from({ length: 2 * COUNT }, (_, index) => index);
  const source = new NoiseSource(runWith([{ noise: 1 }]), SEED, COUNT, 2, { initial: given });
  const first = randn(new MersenneTwister(SEED), 2 * COUNT);
  for (const image of [0, 1]) {
    const [start, end] = [image * COUNT, (image + 1) * COUNT];
    expect(source.take(0, image)).toEqual(given.subarray(start, end));
    expect(source.take(1, image)).toEqual(first.subarray(start, end));
  }
});

test("a step on the Brownian path draws nothing from the generator", () => {
  const run = runWith([{ noise: 1, brownian: [8, 2] }, { noise: 1 }]);
  const [found] = takeAll(run, 3, 1);
  const generator = new MersenneTwister(SEED);
  expect(found![0]).toEqual(randn(generator, COUNT));
  expect(found![1]).toEqual(new BrownianTree(0.5, 8, BigInt(SEED), COUNT).noise(8, 2));
  expect(found![2]).toEqual(randn(generator, COUNT));
});

test("numbers for given pictures are drawn between the others, whether they are used or not", () => {
  const leading = ["posterior", "noise", "posterior"] as const;
  const source = new NoiseSource(runWith([{ noise: 1 }]), SEED, COUNT, 3, { leading, last: 2 });
  const generator = new MersenneTwister(SEED);
  // One randn call for each: its numbers differ from those of one call for all.
  expect(source.posterior(0, 0)).toEqual(randn(generator, COUNT));
  expect(source.take(0, 2)).toEqual(randn(generator, 3 * COUNT).subarray(2 * COUNT));
  expect(source.posterior(1, 0)).toEqual(randn(generator, COUNT));
  expect(source.take(1, 2)).toEqual(randn(generator, 3 * COUNT).subarray(2 * COUNT));
});

test("several given pictures have numbers of one draw", () => {
  const options = { leading: ["posterior", "noise"], given: 2 } as const;
  const source = new NoiseSource(runWith([]), SEED, COUNT, 2, options);
  const both = randn(new MersenneTwister(SEED), 2 * COUNT);
  expect(source.posterior(0, 1)).toEqual(both.subarray(COUNT));
});

test("only the initial noise is varied", () => {
  const vary = (noise: Float32Array): Float32Array => noise.map((x) => 2 * x);
  const source = new NoiseSource(runWith([{ noise: 1 }]), SEED, COUNT, 3, { vary });
  const generator = new MersenneTwister(SEED);
  const [first, second] = [randn(generator, 3 * COUNT), randn(generator, 3 * COUNT)];
  const last = (all: Float32Array): Float32Array => all.slice(2 * COUNT);
  expect(source.take(0, 2)).toEqual(last(first).map((x) => x * 2));
  expect(source.take(1, 2)).toEqual(last(second));
});
