/** A further pipeline takes a module of its own and one line that registers it. */

import { expect, test } from "vitest";

import "../image_data";
import { UnsupportedError } from "../../src/util/errors";
import { loadPipeline } from "../../src/pipeline";
import { registerPipeline } from "../../src/pipeline/registry";
import { WorkerPipeline } from "../../src/worker/worker_pipeline";
import { withToyBundle } from "../toy_bundle";
import { ToyPipeline, toyRequest } from "../toy_pipeline";

registerPipeline("toy", (source) => ToyPipeline.load(source));

test("a manifest of a registered type draws, through the page's own worker", async () => {
  await withToyBundle({ pipeline: "toy", colour: [10, 20, 30] }, async (manifestUrl) => {
    const worker = new WorkerPipeline();
    const { adapter } = await worker.load(
      1,
      manifestUrl,
      {},
      () => undefined,
      () => undefined,
    );
    const shares: [string, number][] = [];
    const result = await worker.generate(
      2,
      toyRequest("a toy", { size: [1, 1], seed: 7 }),
      (event) => shares.push([event.stage, event.overall]),
    );
    expect(Array.from((result.image as ImageData).data)).toEqual([10, 20, 30, 255]);
    expect(result.latents).toEqual(Float32Array.of(7));
    expect(result.settings.prompt).toBe("a toy");
    // Not all stages were reported, and still the last event says that all is done.
    expect(shares.at(-1)).toEqual(["decode", 1]);
    expect(adapter).toEqual({ vendor: "none" });
  });
});

test("a pipeline's files are checked like any others", async () => {
  const damaged = { pipeline: "toy", colour: [1, 2, 3], served: [1, 2, 4] };
  await withToyBundle(damaged, async (manifestUrl) => {
    await expect(loadPipeline(manifestUrl)).rejects.toThrow(/colour\.bin: sha256 mismatch/);
  });
});

test("a type that is not registered is refused by name, and nothing is downloaded", async () => {
  await withToyBundle({ pipeline: "text-to-video", colour: [0, 0, 0] }, async (url, requested) => {
    const failure = await loadPipeline(url).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UnsupportedError);
    const { message, hint } = failure as UnsupportedError;
    expect(message).toContain('no pipeline of the type "text-to-video"');
    expect(hint).toContain("text-to-image");
    expect(requested).toEqual(["/manifest.json"]);
  });
});
