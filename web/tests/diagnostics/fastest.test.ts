import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { decide, findFastest, MARGIN, median, MOST_REPEATS } from "../../src/diagnostics/fastest";
import type { Timer } from "../../src/diagnostics/fastest";

/** A GPU whose candidates take known times, in milliseconds, and what was asked of it. */
function gpu(
  times: readonly number[],
  noise: () => number = () => 0,
  tick = 0,
): Timer & { asked: { candidates: readonly number[]; repeats: number }[] } {
  const asked: { candidates: readonly number[]; repeats: number }[] = [];
  const round = (time: number): number => (tick === 0 ? time : Math.floor(time / tick) * tick);
  return {
    asked,
    resolution: 0.1,
    span: 5,
    time: (candidates, repeats) => {
      asked.push({ candidates, repeats });
      return Promise.resolve(
        candidates.map((candidate) => round(times[candidate]! * repeats * (1 + noise()))),
      );
    },
  };
}

describe("what is chosen of known times", () => {
  test.each([
    ["the fastest", [1, 0.8, 0.5, 0.9], 2],
    ["the default, which is the fastest", [0.5, 0.8, 1], 0],
    ["the default among equals", [1, 1, 1], 0],
    ["the default, where less is saved than the margin", [1, 0.98, 0.975], 0],
    ["a candidate that saves a little more", [1, 0.98, 0.96], 2],
    ["the default, where the difference is beyond the clock", [0.0001, 0.00005], 0],
    ["the default alone", [1], 0],
    ["a candidate in place of a slow default", [50, 10], 1],
  ])("%s", async (_, times, expected) => {
    const found = await findFastest(times.length, gpu(times));
    expect(found.candidate).toBe(expected);
    expect(found.gain).toBeCloseTo(expected === 0 ? 1 : times[0]! / times[expected]!);
  });

  test("by a clock that ticks", async () => {
    const found = await findFastest(3, gpu([0.063, 0.05, 0.061], undefined, 0.1));
    expect(found.candidate).toBe(1);
  });
});

describe("what is measured", () => {
  test("as often as the clock needs it, and no more than recording allows", async () => {
    const usual = gpu([0.5, 0.4]);
    await findFastest(2, usual);
    expect(usual.asked[1]!.repeats).toBe(10);
    const short = gpu([0.0001, 0.0001]);
    await findFastest(2, short);
    expect(short.asked[1]!.repeats).toBe(MOST_REPEATS);
    const long = gpu([900, 700]);
    await findFastest(2, long);
    expect(long.asked.every(({ repeats }) => repeats === 1)).toBe(true);
  });

  test("once, of what is far slower than the default", async () => {
    const found = gpu([1, 5, 0.9]);
    await findFastest(3, found);
    expect(found.asked.slice(1).flatMap(({ candidates }) => candidates)).not.toContain(1);
  });

  test("in turns forwards and backwards, of the default and the two that were fastest", async () => {
    const found = gpu([1, 0.9, 0.8, 0.7]);
    await findFastest(4, found);
    expect(found.asked.slice(2).map(({ candidates }) => candidates)).toStrictEqual([
      [0, 3, 2],
      [2, 3, 0],
      [0, 3, 2],
      [2, 3, 0],
      [0, 3, 2],
    ]);
  });

  test("no more, once one takes less than half of another's time", async () => {
    const slow = gpu([3000, 2900, 10, 2000]);
    const found = await findFastest(4, slow);
    expect(found).toStrictEqual({ candidate: 2, gain: 300 });
    expect(slow.asked).toHaveLength(3);
    // Two that are near each other are compared to the end, without the default.
    const near = gpu([3000, 9, 10]);
    expect((await findFastest(3, near)).candidate).toBe(1);
    expect(near.asked.slice(3).map(({ candidates }) => candidates)).toStrictEqual([
      [2, 1],
      [1, 2],
      [2, 1],
      [1, 2],
    ]);
  });
});

test("what is chosen in noise of five per cent is no slower than the default", async () => {
  const times = fc.array(fc.double({ min: 0.3, max: 3, noNaN: true }), {
    minLength: 2,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(
      times,
      fc.infiniteStream(fc.double({ min: -0.05, max: 0.05, noNaN: true })),
      async (given, values) => {
        const noise = (): number => values.next().value as number;
        const found = await findFastest(given.length, gpu(given, noise));
        // Every measurement may be wrong by five per cent, in either direction.
        const apart = ((1 - MARGIN) * 1.05) / 0.95;
        expect(given[found.candidate]!).toBeLessThanOrEqual(given[0]! * apart);
        const best = Math.min(...given);
        if (best < given[0]! * (0.95 / 1.05) ** 2 * (1 - MARGIN)) {
          expect(found.candidate).not.toBe(0);
        }
      },
    ),
  );
});

describe("the decision", () => {
  test("one pause of the machine does not count", () => {
    const samples = new Map([
      [0, [10, 10, 10, 10, 10]],
      [1, [9, 9, 90, 9, 9]],
    ]);
    expect(decide(samples, 0.1)).toStrictEqual({ candidate: 1, gain: 10 / 9 });
  });

  test("one lucky measurement does not count", () => {
    const samples = new Map([
      [0, [10, 10, 10, 10, 10]],
      [1, [1, 10, 10, 10, 10]],
    ]);
    expect(decide(samples, 0.1)).toStrictEqual({ candidate: 0, gain: 1 });
  });

  test("by more than the margin, and than what the clock may be wrong by", () => {
    const of = (one: number, other: number, resolution: number): number =>
      decide(
        new Map([
          [0, [one]],
          [1, [other]],
        ]),
        resolution,
      ).candidate;
    expect(of(100, 97.1, 0.1)).toBe(0);
    expect(of(100, 96.9, 0.1)).toBe(1);
    expect(of(1, 0.95, 0.1)).toBe(0);
    expect(of(1, 0.85, 0.1)).toBe(1);
  });

  test("the median", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([7])).toBe(7);
  });
});
