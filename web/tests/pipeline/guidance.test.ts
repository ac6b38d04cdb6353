/** Which functions a run calls: with guidance, outside of its interval, and with what else guides. */

import { expect, test } from "vitest";

import type { EntryPoint, Manifest, Size } from "../../src/bundle/manifest";
import { Model } from "../../src/gpu/model";
import type { NamedTensors } from "../../src/gpu/model";
import { NoisePredictor } from "../../src/pipeline/guidance";
import type { Guidance } from "../../src/pipeline/guidance";
import { BLOCK_SCALES } from "../../src/util/constants.generated";

const SIZE: Size = [8, 8];
const NOTHING = {} as NamedTensors;

const entries = (
  [
    ["denoiser", 77],
    ["guided_denoiser", 77],
    ["chunked_denoiser", 154],
    ["guided_chunked_denoiser", 154],
  ] as const
).map(([role, rows]) => ({
  ...{ name: role, role, size: SIZE, largest_buffer_bytes: 8 },
  inputs: [
    { name: "text_embeddings", shape: [1, rows, 4] },
    { name: BLOCK_SCALES, shape: [1, 3] },
  ],
}));
const manifest = { model: { name: "toy" }, entry_points: entries } as unknown as Manifest;

/**
 * Predict a run of so many predictions for each picture; return what was called and done, in order.
 *
 * @param pictures how many chunks each picture's prompt has.
 */
async function callsOf(
  count: number,
  guidance: Partial<Guidance>,
  guided = true,
  pictures: readonly number[] = [1],
) {
  const calls: string[] = [];
  const tensor = { dispose: () => undefined };
  const note = (name: string): void => {
    calls.push(name);
  };
  const runtime = {
    ...{ tensor: () => tensor, scope: (work: () => unknown) => work(), keep: () => undefined },
    read: () => Promise.resolve(Float32Array.of(1, 2).buffer),
    sync: () => {
      note("sync");
      return Promise.resolve();
    },
    releaseWorkspace: () => {
      note("release");
    },
  };
  const model = Object.create(Model.prototype, {
    manifest: { value: manifest },
    limits: { value: { maxBufferSize: 10, maxStorageBufferBindingSize: 10 } },
    runtime: { value: runtime },
    kept: { value: (work: () => NamedTensors) => work() },
    combine: { value: () => tensor },
    call: {
      value: ({ name }: EntryPoint) => {
        note(name);
        return { noise_prediction: tensor };
      },
    },
  }) as Model;
  const predictor = new NoisePredictor(model, SIZE, {
    ...{ scale: 7, rescale: 0, atOnce: true, interval: undefined, skipLayers: undefined },
    cacheInterval: 1,
    timeIds: { positive: Float32Array.of(), negative: undefined },
    ...guidance,
  });
  for (const chunks of pictures) {
    const constants = predictor.makeConstants();
    const text = { chunks, conditional: NOTHING, unconditional: guided ? NOTHING : undefined };
    for (let index = 0; index < count; index++) {
      const moment = { timestep: 999 - index, index, count };
      await predictor.predict(() => tensor as never, moment, constants, text);
    }
  }
  return calls;
}

const [ONE, BOTH, SWITCH] = [["denoiser"], ["guided_denoiser"], ["sync", "release"]];
const [LONG, LONG_BOTH] = [["chunked_denoiser"], ["guided_chunked_denoiser"]];

test("without an interval each step takes the guided function", async () => {
  expect(await callsOf(2, {})).toEqual([BOTH, BOTH].flat());
});

test("outside of the interval the function without guidance is called, and no workspace is left", async () => {
  const interval = { start: 0.25, stop: 0.75 };
  const found = [ONE, SWITCH, BOTH, BOTH, SWITCH, ONE];
  expect(await callsOf(4, { interval })).toEqual(found.flat());
  expect(await callsOf(2, { interval: { start: 0.5, stop: 0.5 } })).toEqual([ONE, ONE].flat());
});

test("each picture has the interval, and each number of chunks its two functions", async () => {
  const interval = { start: 0, stop: 0.5 };
  const short = [BOTH, SWITCH, ONE];
  const long = [LONG_BOTH, SWITCH, LONG];
  const found = [short, SWITCH, short, SWITCH, long, SWITCH, short];
  expect(await callsOf(2, { interval }, true, [1, 1, 2, 1])).toEqual(found.flat(2));
  const whole = [LONG_BOTH, SWITCH, BOTH, BOTH];
  expect(await callsOf(1, {}, true, [2, 1, 1])).toEqual(whole.flat());
});

test("where guidance takes two calls, a step outside of the interval takes one", async () => {
  const interval = { start: 0.5, stop: 1 };
  const expected = [ONE, ONE, ONE].flat();
  expect(await callsOf(2, { interval, atOnce: false })).toEqual(expected);
  expect(await callsOf(2, { interval, atOnce: false, rescale: 0.7 })).toEqual(expected);
});

test("outside of the interval there is no skip-layer guidance either", async () => {
  // It guides the predictions 1, 2 and 3 of six.
  const skipLayers = { layers: [1], scale: 2, after: 0, before: 4 };
  const calls = (interval?: Guidance["interval"]) =>
    callsOf(6, { interval, skipLayers, atOnce: false });
  expect(await calls()).toHaveLength(2 + 3 * 3 + 2 * 2);
  expect(await calls({ start: 0.5, stop: 1 })).toHaveLength(3 * 1 + 3 + 2 * 2);
  expect(await calls({ start: 0, stop: 0.5 })).toHaveLength(2 + 2 * 3 + 3 * 1);
});

test("without guidance the interval changes nothing", async () => {
  const expected = [ONE, ONE].flat();
  expect(await callsOf(2, { interval: { start: 0, stop: 0.5 } }, false)).toEqual(expected);
});
