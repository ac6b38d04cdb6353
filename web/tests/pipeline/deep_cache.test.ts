/** Which functions a run with a cache interval calls, which deep features they get, and what is freed. */

import { expect, test } from "vitest";

import type { Manifest } from "../../src/bundle/manifest";
import { findShallowDenoiser } from "../../src/bundle/manifest";
import { callsOf, denoiserEntry, MANIFEST, SIZE } from "./denoiser_calls";

test("the whole denoiser runs in every so many predictions, and leaves its features", async () => {
  expect(await callsOf(4, { cacheInterval: 2 }, false)).toEqual({
    calls: ["denoiser", "shallow_denoiser 0", "denoiser", "shallow_denoiser 2"],
    left: 1,
    leaked: 0,
  });
  const three = ["guided_denoiser", "guided_shallow_denoiser 0 -0", "guided_shallow_denoiser 0 -0"];
  expect(await callsOf(4, { cacheInterval: 3 })).toEqual({
    calls: [...three, "guided_denoiser"],
    left: 2,
    leaked: 0,
  });
});

test("without a cache interval no features are kept", async () => {
  expect(await callsOf(2, { cacheInterval: 1 })).toEqual({
    calls: ["guided_denoiser", "guided_denoiser"],
    left: 0,
    leaked: 0,
  });
});

test("each picture begins with the whole denoiser, and has the layers of its chunks", async () => {
  const { calls } = await callsOf(2, { cacheInterval: 2 }, true, [1, 2]);
  expect(calls).toEqual([
    ...["guided_denoiser", "guided_shallow_denoiser 0 -0", "sync", "release"],
    ...["guided_chunked_denoiser", "long_guided_shallow 2 -2"],
  ]);
});

test("where guidance takes two calls, each side has its features", async () => {
  expect(await callsOf(2, { cacheInterval: 2, rescale: 0.7, atOnce: false })).toEqual({
    calls: ["denoiser", "denoiser", "shallow_denoiser 0", "shallow_denoiser 1"],
    left: 2,
    leaked: 0,
  });
});

test("where guidance ends, the prompt's features are taken on; where it begins, the whole runs", async () => {
  const ends = await callsOf(4, { cacheInterval: 4, interval: { start: 0, stop: 0.5 } });
  expect(ends.calls).toEqual([
    ...["guided_denoiser", "guided_shallow_denoiser 0 -0"],
    ...["sync", "release", "shallow_denoiser 0", "shallow_denoiser 0"],
  ]);
  const begins = await callsOf(4, { cacheInterval: 4, interval: { start: 0.5, stop: 1 } });
  expect(begins.calls).toEqual([
    ...["denoiser", "shallow_denoiser 0"],
    ...["sync", "release", "guided_denoiser", "guided_shallow_denoiser 2 -2"],
  ]);
});

test("layers that do not read the text are those of every number of chunks", () => {
  const shared = denoiserEntry("shallow_denoiser", 0);
  const without = {
    ...MANIFEST,
    entry_points: [...MANIFEST.entry_points.slice(0, 4), shared],
  } as unknown as Manifest;
  for (const chunks of [1, 2]) {
    expect(findShallowDenoiser(without, SIZE, chunks, false)).toBe(shared);
    expect(findShallowDenoiser(MANIFEST, SIZE, chunks, true)?.inputs[0]!.shape[1]).toBe(
      77 * chunks,
    );
  }
  expect(findShallowDenoiser(without, SIZE, 1, true)).toBeUndefined();
});
