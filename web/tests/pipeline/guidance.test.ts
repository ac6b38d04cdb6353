/** Which functions a run calls: with guidance, outside of its interval, and with what else guides. */

import { expect, test } from "vitest";

import type { Guidance } from "../../src/pipeline/guidance";
import { callsOf } from "./denoiser_calls";

const [ONE, BOTH, SWITCH] = [["denoiser"], ["guided_denoiser"], ["sync", "release"]];
const [LONG, LONG_BOTH] = [["chunked_denoiser"], ["guided_chunked_denoiser"]];

test("without an interval each step takes the guided function", async () => {
  expect((await callsOf(2, {})).calls).toEqual([BOTH, BOTH].flat());
});

test("outside of the interval the function without guidance is called, and no workspace is left", async () => {
  const interval = { start: 0.25, stop: 0.75 };
  const found = [ONE, SWITCH, BOTH, BOTH, SWITCH, ONE];
  expect((await callsOf(4, { interval })).calls).toEqual(found.flat());
  expect((await callsOf(2, { interval: { start: 0.5, stop: 0.5 } })).calls).toEqual(
    [ONE, ONE].flat(),
  );
});

test("each picture has the interval, and each number of chunks its two functions", async () => {
  const interval = { start: 0, stop: 0.5 };
  const short = [BOTH, SWITCH, ONE];
  const long = [LONG_BOTH, SWITCH, LONG];
  const found = [short, SWITCH, short, SWITCH, long, SWITCH, short];
  expect((await callsOf(2, { interval }, true, [1, 1, 2, 1])).calls).toEqual(found.flat(2));
  const whole = [LONG_BOTH, SWITCH, BOTH, BOTH];
  expect((await callsOf(1, {}, true, [2, 1, 1])).calls).toEqual(whole.flat());
});

test("where guidance takes two calls, a step outside of the interval takes one", async () => {
  const interval = { start: 0.5, stop: 1 };
  const expected = [ONE, ONE, ONE].flat();
  expect((await callsOf(2, { interval, atOnce: false })).calls).toEqual(expected);
  expect((await callsOf(2, { interval, atOnce: false, rescale: 0.7 })).calls).toEqual(expected);
});

test("outside of the interval there is no skip-layer guidance either", async () => {
  // It guides the predictions 1, 2 and 3 of six.
  const skipLayers = { layers: [1], scale: 2, after: 0, before: 4 };
  const calls = async (interval?: Guidance["interval"]) =>
    (await callsOf(6, { interval, skipLayers, atOnce: false })).calls;
  expect(await calls()).toHaveLength(2 + 3 * 3 + 2 * 2);
  expect(await calls({ start: 0.5, stop: 1 })).toHaveLength(3 * 1 + 3 + 2 * 2);
  expect(await calls({ start: 0, stop: 0.5 })).toHaveLength(2 + 2 * 3 + 3 * 1);
});

test("without guidance the interval changes nothing", async () => {
  const expected = [ONE, ONE].flat();
  expect((await callsOf(2, { interval: { start: 0, stop: 0.5 } }, false)).calls).toEqual(expected);
});
