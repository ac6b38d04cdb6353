/** A denoiser that computes nothing: which functions a run calls, what they get, and what is freed. */

import type { EntryPoint, Manifest, Size } from "../../src/bundle/manifest";
import { Model } from "../../src/gpu/model";
import type { NamedTensors } from "../../src/gpu/model";
import { NoisePredictor } from "../../src/pipeline/guidance";
import type { Guidance } from "../../src/pipeline/guidance";
import { BLOCK_SCALES } from "../../src/util/constants.generated";

export const SIZE: Size = [8, 8];

const KEPT = ["deep_features"];
const BOTH_KEPT = ["deep_features", "negative_deep_features"];

/** A function of the denoiser that takes so many rows of the text's states; 0: it does not read the text. */
export function denoiserEntry(role: string, rows: number, outputs: readonly string[] = []) {
  const text = { name: "text_embeddings", shape: [1, rows, 4] };
  return {
    ...{ name: role, role, size: SIZE, largest_buffer_bytes: 8, outputs },
    inputs: [...(rows > 0 ? [text] : []), { name: BLOCK_SCALES, shape: [1, 3] }],
  };
}

/** A model for prompts of one chunk and of two, whose denoiser keeps deep features. */
export const MANIFEST = {
  model: { name: "toy" },
  entry_points: [
    denoiserEntry("denoiser", 77, KEPT),
    denoiserEntry("guided_denoiser", 77, BOTH_KEPT),
    denoiserEntry("chunked_denoiser", 154, KEPT),
    denoiserEntry("guided_chunked_denoiser", 154, BOTH_KEPT),
    denoiserEntry("shallow_denoiser", 77),
    denoiserEntry("guided_shallow_denoiser", 77),
    { ...denoiserEntry("shallow_denoiser", 154), name: "long_shallow" },
    { ...denoiserEntry("guided_shallow_denoiser", 154), name: "long_guided_shallow" },
  ],
} as unknown as Manifest;

/** What a run called and did. */
interface Called {
  /**
   * In their order: functions, with the features that each got, which are named by the call that made
   * them; `sync` where the GPU is waited for, and `release` where the workspace is freed.
   */
  calls: string[];
  /** Features that are held after the run. */
  left: number;
  /** Features that are held when the predictor has forgotten them. */
  leaked: number;
}

/**
 * Predict a run of so many predictions for each picture.
 *
 * @param pictures how many chunks each picture's prompt has.
 */
export async function callsOf(
  count: number,
  guidance: Partial<Guidance>,
  guided = true,
  pictures: readonly number[] = [1],
): Promise<Called> {
  const calls: string[] = [];
  const held = new Set<object>();
  const tensor = { dispose: () => undefined };
  let predicted = 0;
  const runtime = {
    ...{ tensor: () => tensor, scope: (work: () => unknown) => work() },
    keep: (kept: object) => {
      // Constants are kept too, for as long as the model is.
      if ("of" in kept) held.add(kept);
      return kept;
    },
    read: () => Promise.resolve(Float32Array.of(1, 2).buffer),
    sync: () => {
      calls.push("sync");
      return Promise.resolve();
    },
    releaseWorkspace: () => calls.push("release"),
  };
  const model = Object.create(Model.prototype, {
    manifest: { value: MANIFEST },
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
    cacheInterval: 1,
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
  return { calls, left, leaked: held.size };
}
