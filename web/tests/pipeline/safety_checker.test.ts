import { expect, test, vi } from "vitest";

import "../image_data";
import { toyRequest } from "../toy_pipeline";
import type { ProgressEvent } from "../../src/api/progress";
import type { GenerationResult, SafetyReport } from "../../src/api/types";
import { drawingFiles, filesOf, hasSafetyChecker, textComponents } from "../../src/bundle/manifest";
import type { Manifest } from "../../src/bundle/manifest";
import { resolveRequest } from "../../src/pipeline/generation_request";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { meterDrawing, meterLoading } from "../../src/pipeline/progress_meter";
import { judge, requireSafetyChecker } from "../../src/pipeline/safety_checker";
import { UnsupportedError } from "../../src/util/errors";
import { drawChecked } from "../../src/worker/checked_drawing";

const shard = (file: string) => ({ file, bytes: 4, sha256: "0".repeat(64) });
const component = (role: string, bytes: number) => ({
  role,
  bytes,
  shards: [shard(`${role}.bin`)],
});
const PREPARATION = {
  ...{ resize: 224, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  ...{ source: "a-checker", license: "" },
};
const PLAIN = {
  model: { name: "toy" },
  library: shard("library.wasm"),
  tokenizers: {},
  components: {
    text_encoder: component("text_encoder", 10),
    unet: component("denoiser", 20),
    vae: component("vae_decoder", 30),
    vae_encoder: component("vae_encoder", 40),
  },
  conditioning: { encoders: ["text_encoder"], empty_negative: "encode" },
  defaults: { steps: 20, guidance_scale: 7.5, size: [2, 1] },
  schedulers: { default: "euler", available: { euler: { max_steps: 100 } } },
  entry_points: [
    {
      name: "denoiser_2x1",
      role: "denoiser",
      size: [2, 1],
      inputs: [{ shape: [1, 4, 1, 1] }],
      kernels: [],
    },
    { name: "text", role: "text_encoder", size: null, outputs: [], kernels: [] },
  ],
} as unknown as Manifest;
const CHECKED = {
  ...PLAIN,
  components: { ...PLAIN.components, safety_checker: component("safety_checker", 50) },
  safety_checker: PREPARATION,
} as unknown as Manifest;

const GOOD: SafetyReport = {
  ...{ flagged: false, concepts: [], conceptScores: [-0.1], specialScores: [-0.2] },
};

function drawn(count: number): GenerationResult<ImageData> {
  const images = Array.from({ length: count }, () => new ImageData(2, 1));
  const timings = { text: 1, denoise: 2, firstPreview: null, decode: 3, total: 6 };
  const settings = { prompt: "a", steps: 1 } as never;
  const imageSettings = images.map(() => settings);
  return {
    image: images[0]!,
    images,
    latents: new Float32Array(1),
    timings,
    settings,
    imageSettings,
  };
}

const QUIET = [() => undefined, () => undefined] as const;

test("a model has a safety checker, or the error says what to do", () => {
  expect([hasSafetyChecker(PLAIN), hasSafetyChecker(CHECKED)]).toEqual([false, true]);
  expect(requireSafetyChecker(CHECKED)).toBe(PREPARATION);
  expect(() => requireSafetyChecker(PLAIN)).toThrow(UnsupportedError);
  expect(() => requireSafetyChecker(PLAIN)).toThrow("toy has no safety checker in its bundle");
});

test("a request for a check is refused before anything is drawn if there is no checker", () => {
  expect(resolveRequest(CHECKED, "a", { safetyChecker: true }).safetyChecker).toBe(true);
  expect(resolveRequest(CHECKED, "a").safetyChecker).toBe(false);
  expect(resolveRequest(PLAIN, "a", { safetyChecker: false }).safetyChecker).toBe(false);
  expect(() => resolveRequest(PLAIN, "a", { safetyChecker: true })).toThrow(UnsupportedError);
});

test("drawing from text takes no file of the checker, and forgetting a model removes them", () => {
  expect(textComponents(CHECKED)).toEqual(textComponents(PLAIN));
  expect(drawingFiles(CHECKED)).toEqual(drawingFiles(PLAIN));
  const added = filesOf(CHECKED).filter((file) => !filesOf(PLAIN).includes(file));
  expect(added.map(({ file }) => file)).toContain("safety_checker.bin");
  // Where pictures are checked, it is fetched with the rest.
  const checking = drawingFiles(CHECKED, true).filter(
    (file) => !drawingFiles(CHECKED).includes(file),
  );
  expect(checking.map(({ file }) => file)).toEqual(["safety_checker.bin"]);
});

test("pictures that nobody asks to check are not checked", async () => {
  const checkPictures = vi.fn(() => Promise.resolve([GOOD]));
  const result = drawn(1);
  const draw = vi.fn(() => Promise.resolve<GenerationResult>(result));
  const request = toyRequest("a", { output: "blob" });
  expect(await drawChecked({ checkPictures }, request, draw, QUIET)).toBe(result);
  expect(draw).toHaveBeenCalledWith(request);
  expect(checkPictures).not.toHaveBeenCalled();
});

test("the finished pixels are checked, and become files afterwards", async () => {
  const result = drawn(2);
  const reports = [GOOD, { ...GOOD, flagged: true, concepts: [3] }];
  const checkPictures = vi.fn((images: readonly ImageData[]) => {
    calls.push(images);
    return Promise.resolve(images.length === 0 ? [] : reports);
  });
  const asked: GenerationRequest[] = [];
  const calls: unknown[] = [];
  const draw = (request: GenerationRequest): Promise<GenerationResult> => {
    // The checker has been brought before.
    expect(calls).toEqual([[]]);
    asked.push(request);
    return Promise.resolve(result);
  };
  const request = toyRequest("a", { safetyChecker: true });
  const checked = await drawChecked({ checkPictures }, request, draw, QUIET);
  expect(checked.images).toEqual(result.images);
  expect(checked.safety).toEqual(reports);
  expect(checked.timings.safety).toBeGreaterThanOrEqual(0);
  expect(asked[0]!.output).toBe("imageData");
  expect(calls[1]).toBe(result.images);
});

test("without room for the checker beside the other stages, it is brought after drawing", async () => {
  const calls: number[] = [];
  const checkPictures = (images: readonly ImageData[]): Promise<SafetyReport[]> =>
    Promise.resolve([GOOD].slice(0, calls.push(images.length)));
  const draw = (): Promise<GenerationResult> => Promise.resolve(drawn(1));
  const request = toyRequest("a", { safetyChecker: true });
  await drawChecked({ checkPictures }, request, draw, [undefined, () => undefined]);
  expect(calls).toEqual([1]);
});

test("a checker that cannot be fetched ends the call before anything is drawn", async () => {
  const checkPictures = (): Promise<never> => Promise.reject(new Error("the network is away"));
  const draw = vi.fn(() => Promise.resolve<GenerationResult>(drawn(1)));
  const request = toyRequest("a", { safetyChecker: true });
  await expect(drawChecked({ checkPictures }, request, draw, QUIET)).rejects.toThrow("away");
  expect(draw).not.toHaveBeenCalled();
});

test("a check that is cancelled rejects the call", async () => {
  const checkPictures = (): Promise<never> => Promise.reject(new DOMException("no", "AbortError"));
  const draw = (): Promise<GenerationResult> => Promise.resolve(drawn(1));
  const request = toyRequest("a", { safetyChecker: true });
  await expect(drawChecked({ checkPictures }, request, draw, QUIET)).rejects.toThrow("no");
});

test("a concept of special care makes the checker stricter from the next one on", () => {
  const score = Math.fround(-0.005);
  expect(judge([score], [-0.1, -0.1, -0.1]).flagged).toBe(false);
  expect(judge([score], [-0.1, 0.1, score])).toEqual({
    ...{ flagged: true, concepts: [0], conceptScores: [Math.fround(0.005)] },
    specialScores: [-0.1, 0.1, 0.005].map(Math.fround),
  });
});

test("the bar is full when the last picture is checked, and not before", () => {
  const seen: ProgressEvent[] = [];
  const costs = { text: 0, denoise: 1, decode: 1, safety: 2 };
  const more = { checks: true };
  const meter = meterDrawing(CHECKED, 1, [], costs, (event) => seen.push(event), more);
  const at = { image: 0, images: 1, loaded: 1, total: 1 };
  meter.onStage({ stage: "denoise", ...at });
  meter.onStage({ stage: "decode", ...at });
  meter.onStage({ stage: "safety", ...at, loaded: 0 });
  meter.onStage({ stage: "safety", ...at });
  expect(seen.map(({ overall }) => overall)).toEqual([0.25, 0.5, 0.5, 1]);
});

test("loading with the checker counts its bytes", () => {
  const shares = [false, true].map((safetyChecker) => {
    const seen: number[] = [];
    const onProgress = ({ overall }: ProgressEvent): void => void seen.push(overall);
    const meter = meterLoading(CHECKED, { safetyChecker, onProgress });
    meter.onStage({ stage: "parameters", loaded: 60, total: 60 });
    return seen[0]!;
  });
  expect(shares[1]!).toBeLessThan(shares[0]!);
});
