/** Which functions a run with a cache interval calls, which deep features they get, and what is freed. */

import { expect, test } from "vitest";

import type { EntryPoint, Manifest, Size } from "../../src/bundle/manifest";
import { findShallowDenoiser } from "../../src/bundle/manifest";
import { Model } from "../../src/gpu/model";
import type { NamedTensors } from "../../src/gpu/model";
import { NoisePredictor } from "../../src/pipeline/guidance";
import type { Guidance } from "../../src/pipeline/guidance";

const SIZE: Size = [8, 8];
const TEXT = "text_embeddings";

const entry = (role: string, rows: number, outputs: string[] = [], reads = true) => ({
  ...{ name: role, role, size: SIZE, largest_buffer_bytes: 8 },
  inputs: reads ? [{ name: TEXT, shape: [1, rows, 4] }] : [],
  outputs,
});
const KEPT = ["deep_features"];
const BOTH_KEPT = ["deep_features", "negative_deep_features"];
const manifest = {
  model: { name: "toy" },
  entry_points: [
    entry("denoiser", 77, KEPT),
    entry("guided_denoiser", 77, BOTH_KEPT),
    entry("chunked_denoiser", 154, KEPT),
    entry("guided_chunked_denoiser", 154, BOTH_KEPT),
    entry("shallow_denoiser", 77),
    entry("guided_shallow_denoiser", 77),
    { ...entry("shallow_denoiser", 154), name: "long_shallow" },
    { ...entry("guided_shallow_denoiser", 154), name: "long_guided_shallow" },
  ],
} as unknown as Manifest;

/**
 * Predict a run of so many predictions for each picture, of so many chunks; return what was called, with
 * the features that each call got, and how many features are still held at the end.
 */
async function callsOf(
  count: number,
  guidance: Partial<Guidance>,
  guided = true,
  pictures: readonly number[] = [1],
) {
  const calls: string[] = [];
  const held = new Set<unknown>();
  const tensor = { dispose: () => undefined };
  let predicted = 0;
  const runtime = {
    ...{ tensor: () => tensor, scope: (work: () => unknown) => work() },
    keep: (kept: unknown) => {
      held.add(kept);
      return kept;
    },
    read: () => Promise.resolve(Float32Array.of(1, 2).buffer),
    sync: () => Promise.resolve(),
    releaseWorkspace: () => calls.push("release"),
  };
  const model = Object.create(Model.prototype, {
    manifest: { value: manifest },
    limits: { value: { maxBufferSize: 10, maxStorageBufferBindingSize: 10 } },
    runtime: { value: runtime },
    kept: { value: (work: () => NamedTensors) => work() },
    combine: { value: () => tensor },
    call: {
      value: ({ name, outputs }: EntryPoint, inputs: Record<string, { of?: string }>) => {
        // As in a model, what a function does not take is left out.
        const features = name.includes("guided") ? BOTH_KEPT : KEPT;
        const given = name.includes("shallow") ? features.map((each) => inputs[each]!.of) : [];
        calls.push([name, ...given].filter(Boolean).join(" "));
        const made = (outputs as unknown as string[]).map((output) => {
          const feature = {
            of: `${output === "deep_features" ? "" : "-"}${predicted}`,
            dispose: () => held.delete(feature),
          };
          return [output, feature] as const;
        });
        predicted++;
        return { noise_prediction: tensor, ...Object.fromEntries(made) };
      },
    },
  }) as Model;
  const predictor = new NoisePredictor(model, SIZE, {
    ...{ scale: 7, rescale: 0, atOnce: true, interval: undefined, skipLayers: undefined },
    cacheInterval: 2,
    timeIds: { positive: Float32Array.of(), negative: undefined },
    ...guidance,
  });
  for (const chunks of pictures) {
    const constants = predictor.makeConstants();
    const text = { chunks, conditional: {}, unconditional: guided ? {} : undefined };
    for (let index = 0; index < count; index++) {
      const moment = { timestep: 999 - index, index, count };
      await predictor.predict(() => tensor as never, moment, constants, text);
    }
  }
  const left = held.size;
  predictor.forget();
  expect(held.size).toBe(0);
  return { calls, left };
}

test("the whole denoiser runs in every so many predictions, and leaves its features", async () => {
  expect(await callsOf(4, {}, false)).toEqual({
    calls: ["denoiser", "shallow_denoiser 0", "denoiser", "shallow_denoiser 2"],
    left: 1,
  });
  const three = ["guided_denoiser", "guided_shallow_denoiser 0 -0", "guided_shallow_denoiser 0 -0"];
  expect(await callsOf(4, { cacheInterval: 3 })).toEqual({
    calls: [...three, "guided_denoiser"],
    left: 2,
  });
});

test("without a cache interval no features are kept", async () => {
  expect(await callsOf(2, { cacheInterval: 1 })).toEqual({
    calls: ["guided_denoiser", "guided_denoiser"],
    left: 0,
  });
});

test("each picture begins with the whole denoiser, and has the layers of its chunks", async () => {
  const { calls } = await callsOf(2, {}, true, [1, 2]);
  expect(calls).toEqual([
    ...["guided_denoiser", "guided_shallow_denoiser 0 -0", "release"],
    ...["guided_chunked_denoiser", "long_guided_shallow 2 -2"],
  ]);
});

test("where guidance takes two calls, each side has its features", async () => {
  expect(await callsOf(2, { rescale: 0.7, atOnce: false })).toEqual({
    calls: ["denoiser", "denoiser", "shallow_denoiser 0", "shallow_denoiser 1"],
    left: 2,
  });
});

test("where guidance ends, the prompt's features are taken on; where it begins, the whole runs", async () => {
  const ends = await callsOf(4, { cacheInterval: 4, interval: { start: 0, stop: 0.5 } });
  expect(ends.calls).toEqual([
    ...["guided_denoiser", "guided_shallow_denoiser 0 -0"],
    ...["release", "shallow_denoiser 0", "shallow_denoiser 0"],
  ]);
  const begins = await callsOf(4, { cacheInterval: 4, interval: { start: 0.5, stop: 1 } });
  expect(begins.calls).toEqual([
    ...["denoiser", "shallow_denoiser 0"],
    ...["release", "guided_denoiser", "guided_shallow_denoiser 2 -2"],
  ]);
});

test("layers that do not read the text are those of every number of chunks", () => {
  const shared = entry("shallow_denoiser", 0, [], false);
  const without = {
    ...manifest,
    entry_points: [...manifest.entry_points.slice(0, 4), shared],
  } as unknown as Manifest;
  for (const chunks of [1, 2]) {
    expect(findShallowDenoiser(without, SIZE, chunks, false)).toBe(shared);
    expect(findShallowDenoiser(manifest, SIZE, chunks, true)?.inputs[0]!.shape[1]).toBe(
      77 * chunks,
    );
  }
  expect(findShallowDenoiser(without, SIZE, 1, true)).toBeUndefined();
});
