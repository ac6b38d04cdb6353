/** What a page calls in its worker, with a pipeline that needs no GPU. */

import { expect, test } from "vitest";

import "../image_data";
import type { ProgressEvent } from "../../src/api/progress";
import { registerPipeline } from "../../src/pipeline/registry";
import { WorkerPipeline } from "../../src/worker/worker_pipeline";
import { withToyBundle } from "../toy_bundle";
import { ToyPipeline, toyRequest } from "../toy_pipeline";

const ignore = (): void => undefined;

/** Run work with a worker that has loaded a toy, as its call number 1. */
async function withWorker(work: (worker: WorkerPipeline) => Promise<void>): Promise<void> {
  registerPipeline("toy", (source) => ToyPipeline.load(source));
  await withToyBundle({ pipeline: "toy", colour: [1, 2, 3] }, async (manifestUrl) => {
    const worker = new WorkerPipeline();
    await worker.load(1, manifestUrl, {}, ignore, ignore);
    await work(worker);
  });
}

test("a result comes after the page has got the last report", async () => {
  await withWorker(async (worker) => {
    const order: string[] = [];
    // A page that is busy takes its time.
    const onProgress = async (event: ProgressEvent): Promise<void> => {
      await new Promise((done) => setTimeout(done, 20));
      order.push(`${event.overall}`);
    };
    await worker.generate(2, toyRequest("a toy"), (event) => onProgress(event) as never);
    order.push("drawn");
    expect(order.slice(-2)).toEqual(["1", "drawn"]);
  });
});

test("the number of a call that has ended, or that there never was, cancels nothing", async () => {
  await withWorker(async (worker) => {
    worker.abort(1);
    worker.abort(99);
    const drawn = worker.generate(2, toyRequest("a toy"), ignore);
    worker.abort(1);
    expect((await drawn).settings.prompt).toBe("a toy");
    const cancelled = worker.generate(3, toyRequest("a toy"), ignore);
    worker.abort(3);
    await expect(cancelled).rejects.toThrow("cancelled");
    // The same number would be a new call.
    await worker.generate(3, toyRequest("a toy"), ignore);
  });
});

test("unloading cancels the calls that run", async () => {
  await withWorker(async (worker) => {
    const drawing = worker.generate(2, toyRequest("a toy"), ignore);
    worker.unload();
    await expect(drawing).rejects.toThrow("cancelled");
  });
});
