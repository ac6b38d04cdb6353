/** In which order a denoising loop records steps and reads previews. */

import { beforeEach, expect, test, vi } from "vitest";

import { DenoiseLoop } from "../../src/pipeline/denoise_loop";
import type { OnStep } from "../../src/pipeline/denoise_loop";

const LATENTS = [1, 4, 1, 1];
const WEIGHTS = { sample: 1, model: 1 };
const STEP = { timestep: 1, inputScale: 1, level: {}, denoised: WEIGHTS, next: WEIGHTS };
const STEPS = 3;

/** A read of a preview, which ends when it is told to. */
interface Reading {
  resolve: (latents: Float32Array) => void;
  reject: (error: Error) => void;
}

/** A loop of three steps whose GPU is as fast as can be, with a preview of each step or every second. */
function makeLoop(previewEvery = 1) {
  const tensor = (): object => ({ dispose: vi.fn() });
  const readings: Reading[] = [];
  const model = {
    manifest: { preview: { weights: [], bias: [] } },
    latentShape: () => LATENTS,
    combine: tensor,
    readAndDispose: () =>
      new Promise<Float32Array>((resolve, reject) => readings.push({ resolve, reject })),
    runtime: {
      scope: (work: () => unknown) => work(),
      tensor,
      sync: () => Promise.resolve(),
    },
  };
  const predictor = {
    predict: vi.fn(() => Promise.resolve(tensor())),
    makeConstants: () => ({}),
    forget: vi.fn(),
  };
  const run = { initNoiseSigma: 1, steps: Array.from({ length: STEPS }, () => STEP) };
  const noise = { take: () => new Float32Array(4) };
  const parts = [model, predictor, run, { size: [8, 8], previewEvery }, noise, undefined];
  const loop = new DenoiseLoop(...(parts as unknown as ConstructorParameters<typeof DenoiseLoop>));
  return { loop, model, predictor, readings };
}

/** Let everything happen that waits for nothing. */
const settle = async (): Promise<unknown> => new Promise((done) => setTimeout(done, 5));

beforeEach(() => {
  vi.stubGlobal("ImageData", Array); // browsers have it, Node.js does not
});

test("a step is recorded while the preview of the one before it is read", async () => {
  const { loop, predictor, readings } = makeLoop();
  const onStep = vi.fn<OnStep>();
  const drawing = loop.denoise(0, {} as never, onStep);
  await settle();
  expect(predictor.predict).toHaveBeenCalledTimes(2); // and no more than one
  expect(onStep.mock.calls.map(([{ loaded }]) => loaded)).toEqual([0]);
  readings[0]!.resolve(new Float32Array(4));
  await settle();
  expect(predictor.predict).toHaveBeenCalledTimes(3);
  for (const { resolve } of readings) resolve(new Float32Array(4));
  await drawing;
  expect(onStep.mock.calls.map(([{ loaded }]) => loaded)).toEqual([0, 1, 2, 3]);
  expect(onStep.mock.calls.map(([event]) => "preview" in event)).toEqual([false, true, true, true]);
});

test("a step that waits for its preview is reported before the next one, which has none", async () => {
  const { loop, readings } = makeLoop(2);
  const onStep = vi.fn<OnStep>();
  const drawing = loop.denoise(0, {} as never, onStep);
  await settle();
  expect(onStep.mock.calls.map(([{ loaded }]) => loaded)).toEqual([0, 1]);
  readings[0]!.resolve(new Float32Array(4));
  await drawing;
  expect(onStep.mock.calls.map(([{ loaded }]) => loaded)).toEqual([0, 1, 2, 3]);
});

test("a step that fails does not end the drawing while an earlier preview is read", async () => {
  const { loop, model, predictor, readings } = makeLoop(2);
  const combine = vi.fn(model.combine);
  model.combine = combine;
  predictor.predict.mockImplementation(() => {
    // The third step's latents cannot be computed.
    if (predictor.predict.mock.calls.length === 3)
      combine.mockImplementation(() => {
        throw new Error("no memory");
      });
    return Promise.resolve({ dispose: vi.fn() });
  });
  const ended = expect(loop.denoise(0, {} as never, () => undefined)).rejects.toThrow("no memory");
  await settle();
  expect(predictor.predict).toHaveBeenCalledTimes(3);
  expect(predictor.forget).not.toHaveBeenCalled();
  readings[0]!.resolve(new Float32Array(4));
  await ended;
  expect(predictor.forget).toHaveBeenCalledOnce();
});

test("a preview that cannot be read ends the drawing with its error", async () => {
  const { loop, readings, predictor } = makeLoop();
  const drawing = loop.denoise(0, {} as never, () => undefined);
  const ended = expect(drawing).rejects.toThrow("the GPU is lost");
  await settle();
  for (const { reject } of readings) reject(new Error("the GPU is lost"));
  await ended;
  expect(predictor.forget).toHaveBeenCalledOnce();
});

test("a drawing that was cancelled does not end while a preview is read", async () => {
  const { loop, readings, predictor } = makeLoop();
  const controller = new AbortController();
  const drawing = loop.denoise(0, {} as never, () => undefined, controller.signal);
  const ended = expect(drawing).rejects.toThrow("cancelled");
  await settle();
  controller.abort(new Error("cancelled"));
  readings[0]!.resolve(new Float32Array(4));
  await settle();
  expect(predictor.forget).not.toHaveBeenCalled();
  readings[1]!.resolve(new Float32Array(4));
  await ended;
  expect(predictor.forget).toHaveBeenCalledOnce();
});
