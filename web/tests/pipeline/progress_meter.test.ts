/** How far a call is and how long it still takes, told by a clock of the test. */

import fc from "fast-check";
import { expect, test } from "vitest";

import type { ProgressEvent, StageEvent } from "../../src/api/progress";
import type { Manifest } from "../../src/bundle/manifest";
import type { Costs, Expectations } from "../../src/pipeline/progress_meter";
import { meterDrawing, meterLoading, ProgressMeter } from "../../src/pipeline/progress_meter";
import { STAGES } from "../../src/util/settings_schema.generated";

/** A model of 1000 bytes of weights, in three components, and three kernels at its size. */
const MANIFEST = {
  library: { file: "a.wasm", bytes: 100, sha256: "" },
  components: {
    clip: { role: "text_encoder", bytes: 200 },
    unet: { role: "denoiser", bytes: 700 },
    vae: { role: "vae_decoder", bytes: 100 },
  },
  conditioning: { encoders: ["clip"] },
  defaults: { size: [8, 8] },
  entry_points: [
    { role: "text_encoder", size: null, kernels: ["a", "b"] },
    { role: "denoiser", size: [8, 8], kernels: ["b", "c"] },
    { role: "denoiser", size: [16, 16], kernels: ["d"] },
    { role: "vae_decoder_tile", size: null, kernels: ["e"] },
  ],
} as unknown as Manifest;

/** A meter whose clock a test sets, and what it reported. */
function measured(expected: Expectations): {
  meter: ProgressMeter;
  at: (time: number, event: StageEvent) => ProgressEvent;
} {
  let now = 0;
  const seen: ProgressEvent[] = [];
  const meter = new ProgressMeter(
    expected,
    (event) => seen.push(event),
    () => now,
  );
  const at = (time: number, event: StageEvent): ProgressEvent => {
    now = time;
    meter.onStage(event);
    return seen.at(-1)!;
  };
  return { meter, at };
}

const step = (loaded: number, total: number, image = 0, images = 1): StageEvent => {
  return { stage: "denoise", loaded, total, image, images };
};

test("stages share the bar by what they are expected to take, in any order", () => {
  const { at } = measured({
    text: { units: 1, cost: 10, measured: false },
    denoise: { units: 4, cost: 20, measured: false },
    decode: { units: 1, cost: 10, measured: false },
  });
  expect(at(0, { stage: "text", images: 1, loaded: 0, total: 1 }).overall).toBe(0);
  expect(at(1, { stage: "text", images: 1, loaded: 1, total: 1 }).overall).toBeCloseTo(0.1);
  expect(at(2, step(2, 4)).overall).toBeCloseTo(0.5);
  expect(at(3, step(4, 4)).overall).toBeCloseTo(0.9);
  const decoded = at(4, { stage: "decode", image: 0, images: 1, loaded: 1, total: 1 });
  expect(decoded).toMatchObject({ stage: "decode", overall: 1, remainingMs: 0, loaded: 1 });
});

test("the time left is null until something was measured, and then of what was measured", () => {
  const { at } = measured({ denoise: { units: 10, cost: 150, measured: false } });
  expect(at(0, step(0, 10)).remainingMs).toBeNull();
  expect(at(300, step(1, 10)).remainingMs).toBeNull();
  // A step takes 300 ms, whatever was expected.
  expect(at(600, step(2, 10)).remainingMs).toBeCloseTo(8 * 300);
  expect(at(900, step(3, 10)).remainingMs).toBeCloseTo(7 * 300);
});

test("what follows is estimated by how much slower the measured stages were than expected", () => {
  const { at } = measured({
    denoise: { units: 2, cost: 100, measured: false },
    decode: { units: 1, cost: 500, measured: false },
  });
  at(0, step(0, 2));
  // Steps take ten times as long as expected; so, then, will decoding.
  expect(at(1000, step(1, 2)).remainingMs).toBeCloseTo(1000 + 5000);
});

test("after a first picture the next one's time is known from its beginning", () => {
  const first = measured({ denoise: { units: 2, cost: 1, measured: false } });
  first.at(0, step(0, 2));
  first.at(500, step(1, 2));
  first.at(1000, step(2, 2));
  first.at(1100, { stage: "decode", image: 0, images: 1, loaded: 0, total: 1 });
  first.at(1500, { stage: "decode", image: 0, images: 1, loaded: 1, total: 1 });
  const costs = first.meter.costs();
  expect(costs).toEqual({ denoise: 500, decode: 400 });
  const seen: ProgressEvent[] = [];
  const known: Costs = { ...costs, text: 100 };
  const meter = meterDrawing(MANIFEST, 4, [], known, (event) => seen.push(event));
  meter.onStage({ stage: "text", images: 2, loaded: 0, total: 1 });
  expect(seen[0]!.remainingMs).toBeCloseTo(100 + 2 * (4 * 500 + 400));
});

test("each picture has its part of the bar", () => {
  const seen: number[] = [];
  const known: Costs = { text: 0, denoise: 25, decode: 100 };
  const meter = meterDrawing(MANIFEST, 4, [], known, ({ overall }) => seen.push(overall));
  meter.onStage({ stage: "text", images: 2, loaded: 0, total: 1 });
  meter.onStage(step(4, 4, 0, 2));
  meter.onStage(step(2, 4, 1, 2));
  meter.onStage(step(4, 4, 1, 2));
  meter.onStage({ stage: "decode", image: 0, images: 2, loaded: 1, total: 1 });
  meter.onStage({ stage: "decode", image: 1, images: 2, loaded: 1, total: 1 });
  expect(seen).toEqual([0, 0.25, 0.375, 0.5, 0.75, 1]);
});

test("with offload, the parts of the weights that are loaded one after another add up", () => {
  const seen: number[] = [];
  const known: Costs = { text: 0, denoise: 0, decode: 0, parameters: 1 };
  const meter = meterDrawing(MANIFEST, 4, STAGES, known, ({ overall }) => seen.push(overall));
  for (const [loaded, total] of [
    [100, 200],
    [200, 200],
    [350, 700],
    [700, 700],
    [100, 100],
  ]) {
    meter.onStage({ stage: "parameters", loaded: loaded!, total: total! });
  }
  expect(seen).toEqual([0.1, 0.2, 0.55, 0.9, 1]);
});

test("weights that are kept are not waited for", () => {
  const seen: number[] = [];
  const known: Costs = { text: 0, denoise: 0, decode: 0, parameters: 1 };
  const evicted = ["text_encoder", "vae_decoder"] as const;
  const meter = meterDrawing(MANIFEST, 4, evicted, known, ({ overall }) => seen.push(overall));
  meter.onStage({ stage: "parameters", loaded: 200, total: 200 });
  meter.onStage({ stage: "parameters", loaded: 100, total: 100 });
  expect(seen).toEqual([2 / 3, 1]);
});

test("loading counts the library, the weights and the kernels of the default size", () => {
  const shares = (offload: boolean): number[] => {
    const seen: number[] = [];
    const onProgress = ({ overall }: ProgressEvent): number => seen.push(overall);
    const meter = meterLoading(MANIFEST, { offload, onProgress });
    meter.onStage({ stage: "library", file: "a.wasm", loaded: 100, total: 100 });
    const total = offload ? 200 : 1000;
    meter.onStage({ stage: "parameters", loaded: total, total });
    meter.onStage({ stage: "pipelines", loaded: 1, total: 3 });
    meter.onStage({ stage: "pipelines", loaded: 3, total: 3 });
    return seen;
  };
  const [library, parameters, first, last] = shares(false);
  expect(last).toBe(1);
  expect(first! - parameters!).toBeCloseTo((1 - parameters!) / 3);
  expect(parameters! / library!).toBeCloseTo(11);
  const [ofText, ofTextAnd] = shares(true);
  expect(ofTextAnd! / ofText!).toBeCloseTo(3);
});

test("the end is told, also where the last stages had nothing to do", () => {
  const { meter, at } = measured({
    parameters: { units: 10, cost: 1, measured: false },
    pipelines: { units: 10, cost: 1, measured: false },
  });
  meter.finish(); // nothing was reported, and there is nothing to repeat
  const reported = at(0, { stage: "parameters", loaded: 10, total: 10 });
  expect(reported.overall).toBe(0.5);
  const seen: ProgressEvent[] = [];
  const other = new ProgressMeter({}, (event) => seen.push(event));
  other.onStage({ stage: "self-test", loaded: 0, total: 3 });
  other.onStage({ stage: "self-test", loaded: 1, total: 3 });
  other.finish();
  other.finish();
  expect(seen.map(({ overall }) => overall)).toEqual([0, 1 / 3, 1]);
  expect(seen.at(-1)).toMatchObject({ stage: "self-test", loaded: 1, remainingMs: 0 });
});

/** Any event at all, amounts that make no sense included. */
const anyEvent: fc.Arbitrary<StageEvent> = fc.record({
  stage: fc.constantFrom(
    ...(["library", "parameters", "pipelines", "text", "denoise", "decode", "self-test"] as const),
  ),
  loaded: fc.nat(100),
  total: fc.nat(100),
  image: fc.nat(3),
  images: fc.integer({ min: 1, max: 4 }),
  file: fc.constant("a"),
});

test("whatever is reported, the share is from 0 to 1 and never falls, and the time left is sensible", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1000), anyEvent)), fc.boolean(), (events, offload) => {
      const seen: ProgressEvent[] = [];
      let now = 0;
      const { meter, at } = measured({
        text: { units: 1, cost: 10, measured: false },
        denoise: { units: 4, cost: 20, measured: offload, eachPicture: true },
        decode: { units: 1, cost: 10, measured: false, eachPicture: true },
      });
      for (const [pause, event] of events) seen.push(at((now += pause), event));
      meter.finish();
      let before = 0;
      for (const { overall, remainingMs } of seen) {
        expect(overall).toBeGreaterThanOrEqual(before);
        expect(overall).toBeLessThanOrEqual(1);
        if (remainingMs !== null) {
          expect(remainingMs).toBeGreaterThanOrEqual(0);
          expect(remainingMs).toBeLessThan(Infinity);
        }
        before = overall;
      }
    }),
  );
});

test("encoding given pictures is a part of the bar", () => {
  const seen: number[] = [];
  const known: Costs = { encode: 100, text: 100, denoise: 50, decode: 100 };
  const report = ({ overall }: ProgressEvent): number => seen.push(overall);
  const meter = meterDrawing(MANIFEST, 4, [], known, report, { encodings: 2 });
  meter.onStage({ stage: "encode", images: 1, loaded: 0, total: 2 });
  meter.onStage({ stage: "encode", images: 1, loaded: 1, total: 2 });
  meter.onStage({ stage: "encode", images: 1, loaded: 2, total: 2 });
  meter.onStage({ stage: "text", images: 1, loaded: 1, total: 1 });
  expect(seen.map((overall) => Math.round(600 * overall))).toEqual([0, 100, 200, 300]);
});
