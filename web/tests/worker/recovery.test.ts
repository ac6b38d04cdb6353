/** What happens when the GPU has no room or is lost, with a pipeline that needs no GPU. */

import { expect, test, vi } from "vitest";

import "../image_data";
import {
  AbortError,
  DeviceLostError,
  OutOfMemoryError,
  UnsupportedError,
} from "../../src/util/errors";
import type { OnStage } from "../../src/api/progress";
import type { LoadOptions } from "../../src/api/types";
import { NoAdapterError } from "../../src/gpu/device";
import { registerPipeline } from "../../src/pipeline/registry";
import { RecoveringPipeline } from "../../src/worker/recovery";
import { withToyBundle } from "../toy_bundle";
import { writeSafetensors } from "../safetensors_file";
import { ToyPipeline, toyRequest } from "../toy_pipeline";

const BUNDLE = { pipeline: "toy", colour: [1, 2, 3] };
const { signal } = new AbortController();
const ignore = (): void => undefined;

/** Run work with a recovering pipeline, the pipelines that it loads, and its notices. */
async function withRecovering(
  work: (pipeline: RecoveringPipeline, loaded: ToyPipeline[], notices: string[]) => Promise<void>,
): Promise<void> {
  const loaded: ToyPipeline[] = [];
  const notices: string[] = [];
  registerPipeline("toy", async (source) => {
    const pipeline = await ToyPipeline.load(source);
    loaded.push(pipeline);
    return pipeline;
  });
  await withToyBundle(BUNDLE, async (manifestUrl) => {
    const options: LoadOptions = { onNotice: (notice) => notices.push(notice) };
    const pipeline = new RecoveringPipeline(manifestUrl, options);
    await pipeline.load(ignore, signal);
    await work(pipeline, loaded, notices);
  });
}

test("LoRAs are applied again wherever the model is loaded again, and pictures name them", async () => {
  await withRecovering(async (pipeline, loaded) => {
    const named: unknown[] = [];
    const watch = (toy: ToyPipeline): void => {
      const generate = toy.generate.bind(toy);
      toy.generate = (request, ...others) => {
        named.push(request.loras);
        return generate(request, ...others);
      };
    };
    (loaded[0]!.manifest as object as Record<string, unknown>).components = {
      unet: { role: "denoiser", records: [{ name: "layer.weight", shape: [2, 2] }], shards: [] },
    };
    const tensors = {
      "unet.layer.lora_A.weight": { shape: [1, 2], values: [1, 2] },
      "unet.layer.lora_B.weight": { shape: [2, 1], values: [3, 4] },
    };
    const file = new File([writeSafetensors(tensors)], "two words.safetensors");
    const [lora] = await pipeline.loadLora(file, { scale: 0.5 }, ignore, signal);
    expect(lora).toMatchObject({ name: "two words", scale: 0.5, layers: 1, unused: [] });
    const patched = loaded[0]!.patches.get("unet")!;
    expect(patched.get("layer.weight")).toMatchObject([{ scale: 0.5 }]);
    // Another one of a name that is given is refused, and the first stays.
    await expect(pipeline.loadLora(file, { name: "two words" }, ignore, signal)).rejects.toThrow(
      /already/,
    );
    await expect(pipeline.setAdapters({ other: 1 }, ignore, signal)).rejects.toThrow(/"other"/);
    expect(loaded[0]!.patches).toEqual(new Map([["unet", patched]]));

    loaded[0]!.failure = new DeviceLostError("the GPU was lost", "draw again");
    await pipeline.generate(toyRequest("x"), ignore, signal);
    expect(loaded).toHaveLength(2);
    expect(loaded[1]!.patches.get("unet")?.get("layer.weight")).toMatchObject([{ scale: 0.5 }]);
    watch(loaded[1]!);
    await pipeline.generate(toyRequest("x"), ignore, signal);
    await pipeline.setAdapters({}, ignore, signal);
    await pipeline.generate(toyRequest("x"), ignore, signal);
    expect(named).toEqual([[{ name: "two words", scale: 0.5, hash: lora!.hash }], []]);
    expect(loaded[1]!.patches.size).toBe(0);
    expect(await pipeline.unloadLora(undefined, ignore, signal)).toEqual([]);
  });
});

test("where memory runs out, the model is loaded once more in less memory", async () => {
  await withRecovering(async (pipeline, loaded, notices) => {
    loaded[0]!.nextError = new OutOfMemoryError("no room", "close tabs");
    const { image } = await pipeline.generate(toyRequest("x"), ignore, signal);
    expect((image as ImageData).width).toBe(2);
    expect(loaded[0]!.disposed).toBe(true);
    expect(loaded[1]!.options).toMatchObject({ offload: true, tiling: true });
    expect(notices).toEqual([expect.stringContaining("no room for the whole model")]);
    // Nothing is left to save the second time.
    loaded[1]!.nextError = new OutOfMemoryError("no room", "close tabs");
    await expect(pipeline.generate(toyRequest("x"), ignore, signal)).rejects.toThrow(
      OutOfMemoryError,
    );
    expect(loaded.length).toBe(2);
  });
});

test("where the GPU is lost, the next picture loads the model again", async () => {
  await withRecovering(async (pipeline, loaded, notices) => {
    const lost = new DeviceLostError("the GPU was lost", "draw again");
    loaded[0]!.nextError = lost;
    await expect(pipeline.generate(toyRequest("x"), ignore, signal)).rejects.toThrow(lost);
    loaded[0]!.failure = lost;
    await pipeline.generate(toyRequest("x"), ignore, signal);
    expect(loaded.length).toBe(2);
    expect(loaded[1]!.options.offload).toBeUndefined();
    expect(notices).toEqual(["The GPU was lost; the model is loaded again."]);
  });
});

test("a call that is cancelled while the model is loaded again leaves the reload to the next one", async () => {
  await withRecovering(async (pipeline, loaded, notices) => {
    let [loads, finish] = [0, ignore];
    let report: OnStage = ignore;
    registerPipeline("toy", async (source) => {
      loads += 1;
      report = source.options.onProgress!;
      await new Promise<void>((resolve) => (finish = resolve));
      return ToyPipeline.load(source);
    });
    loaded[0]!.failure = new DeviceLostError("the GPU was lost", "draw again");
    const controller = new AbortController();
    const one = pipeline.generate(toyRequest("one"), ignore, controller.signal);
    await vi.waitFor(() => expect(loads).toBe(1));
    controller.abort();
    await expect(one).rejects.toThrow(AbortError);
    const events: string[] = [];
    const two = pipeline.generate(toyRequest("two"), ({ stage }) => events.push(stage), signal);
    report({ stage: "pipelines", loaded: 1, total: 2 });
    finish();
    expect((await two).settings.prompt).toBe("two");
    expect([loads, notices.length]).toEqual([1, 1]);
    expect(events[0]).toBe("pipelines");
  });
});

test("what is disposed of is not loaded any further", async () => {
  await withRecovering(async (pipeline, loaded) => {
    let cancelled: AbortSignal | undefined;
    registerPipeline("toy", ({ options }) => {
      cancelled = options.signal!;
      return new Promise((_, reject) => {
        options.signal!.addEventListener("abort", () => reject(new AbortError()));
      });
    });
    loaded[0]!.failure = new DeviceLostError("the GPU was lost", "draw again");
    const drawing = pipeline.generate(toyRequest("one"), ignore, signal);
    await vi.waitFor(() => expect(cancelled).toBeDefined());
    pipeline.dispose();
    await expect(drawing).rejects.toThrow(AbortError);
    expect(cancelled!.aborted).toBe(true);
  });
});

test("where the browser gives no GPU any more, the hint says what to do", async () => {
  await withRecovering(async (pipeline, loaded) => {
    registerPipeline("toy", () => Promise.reject(new NoAdapterError("none", "turn it on")));
    loaded[0]!.failure = new DeviceLostError("the GPU was lost", "draw again");
    const failure = (await pipeline
      .generate(toyRequest("x"), ignore, signal)
      .catch((error: unknown) => error)) as UnsupportedError;
    expect(failure).toBeInstanceOf(UnsupportedError);
    expect(failure.message).toContain("gives this page no GPU any more");
    expect(failure.hint).toContain("restart the browser");
    expect(failure.hint).toContain("update the graphics driver");
  });
});

test("a GPU that was never there is not said to be lost", async () => {
  registerPipeline("toy", () => Promise.reject(new NoAdapterError("none", "turn it on")));
  await withToyBundle(BUNDLE, async (manifestUrl) => {
    const pipeline = new RecoveringPipeline(manifestUrl, {});
    await expect(pipeline.load(ignore, signal)).rejects.toThrow(/^none$/);
  });
});
