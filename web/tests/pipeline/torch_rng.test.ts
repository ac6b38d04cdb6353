import { expect, test } from "vitest";

import { MersenneTwister, randn } from "../../src/pipeline/torch_rng";

test("the generator is MT19937", () => {
  // ISO C++, [rand.predef]: the 10000th number from the default seed.
  const generator = new MersenneTwister(5489);
  let word = 0;
  for (let n = 0; n < 10_000; n++) word = generator.random32();
  expect(word).toBe(4123659995);
});

test("few numbers are PyTorch's, the spare one included", () => {
  const generator = new MersenneTwister(0);
  // torch.Generator().manual_seed(0), torch.randn(3), torch.randn(2)
  expect(Array.from(randn(generator, 3))).toEqual([
    1.5409960746765137, -0.293428897857666, -2.1787893772125244,
  ]);
  expect(Array.from(randn(generator, 2))).toEqual([0.5684312582015991, -1.0845223665237427]);
});

test("many numbers are PyTorch's, the tail that is drawn twice included", () => {
  // torch.Generator().manual_seed(4000000000), torch.randn(17)
  const drawn = Array.from(randn(new MersenneTwister(4_000_000_000), 17));
  expect(drawn.slice(0, 3)).toEqual([-0.4332205355167389, 0.800691545009613, 0.307812362909317]);
  expect(drawn.slice(-2)).toEqual([-0.3296878933906555, -2.3210623264312744]);
});

test("seeds wrap at 32 bits, as in PyTorch", () => {
  const drawn = [7, 7n + 2n ** 32n].map((seed) => randn(new MersenneTwister(seed), 20));
  expect(drawn[0]).toEqual(drawn[1]);
});
