/** Which functions a run calls: with guidance, outside of its interval, and with what else guides. */

import { expect, test } from "vitest";

import type { EntryPoint, Manifest, Size } from "../../src/bundle/manifest";
import { Model } from "../../src/gpu/model";
import type { NamedTensors } from "../../src/gpu/model";
import { NoisePredictor } from "../../src/pipeline/guidance";
import type { Guidance } from "../../src/pipeline/guidance";

const SIZE: Size = [8, 8];
const NOTHING = {} as NamedTensors;

const entries = ["denoiser", "guided_denoiser"].map((role) => ({
  ...{ name: role, role, size: SIZE, largest_buffer_bytes: 8 },
  inputs: [{ name: "text_embeddings", shape: [1, 77, 4] }],
}));
const manifest = { model: { name: "toy" }, entry_points: entries } as unknown as Manifest;

/** Predict a run of so many predictions; return what was called and done, in order. */
async function callsOf(count: number, guidance: Partial<Guidance>, guided = true) {
  const calls: string[] = [];
  const tensor = { dispose: () => undefined };
  const note = (name: string): void => {
    calls.push(name);
  };
  const runtime = {
    ...{ tensor: () => tensor, scope: (work: () => unknown) => work() },
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
    timeIds: { positive: Float32Array.of(), negative: undefined },
    ...guidance,
  });
  const text = {
    ...{ chunks: 1, conditional: NOTHING },
    unconditional: guided ? NOTHING : undefined,
  };
  for (let index = 0; index < count; index++) {
    const moment = { timestep: 999 - index, index, count };
    await predictor.predict(() => tensor as never, moment, NOTHING, text);
  }
  return calls;
}

const [ONE, BOTH, SWITCH] = [["denoiser"], ["guided_denoiser"], ["sync", "release"]];

test("without an interval each step takes the guided function", async () => {
  expect(await callsOf(2, {})).toEqual([BOTH, BOTH].flat());
});

test("outside of the interval the function without guidance is called, and no workspace is left", async () => {
  const interval = { start: 0.25, stop: 0.75 };
  const found = [ONE, SWITCH, BOTH, BOTH, SWITCH, ONE];
  expect(await callsOf(4, { interval })).toEqual(found.flat());
  expect(await callsOf(2, { interval: { start: 0.5, stop: 0.5 } })).toEqual([ONE, ONE].flat());
});

test("where guidance takes two calls, a step outside of the interval takes one", async () => {
  const interval = { start: 0.5, stop: 1 };
  const expected = [ONE, ONE, ONE].flat();
  expect(await callsOf(2, { interval, atOnce: false })).toEqual(expected);
  expect(await callsOf(2, { interval, atOnce: false, rescale: 0.7 })).toEqual(expected);
});

test("without guidance the interval changes nothing", async () => {
  const expected = [ONE, ONE].flat();
  expect(await callsOf(2, { interval: { start: 0, stop: 0.5 } }, false)).toEqual(expected);
});
