/** Brings settings and the options of a call together: a request with both. */

import type { GenerateOptions, OutputName, Prompt } from "../api/options";
import type { LoadOptions } from "../api/types";
import type { MergedSettings } from "../bundle/inference_settings";
import {
  latentSize,
  memoryOf,
  merge,
  mergeSettings,
  pageSettings,
  pictureSize,
} from "../bundle/inference_settings";
import type { Manifest, Size } from "../bundle/manifest";
import type { DiffusionSettings } from "../util/settings_schema.generated";
import { resolveScheduler, resolveSize } from "./generation_request";
import { prepareRequest } from "./picture_options";
import type { PreparedRequest } from "./picture_options";

/**
 * Merge the settings of a model, of the page, and of a call, whose plain options win.
 *
 * @param loaded options with which the model was loaded.
 * @param options of a call.
 * @param size that is drawn, where it is known.
 * @throws OptionError with the path of the first setting that the model cannot have.
 */
export function settleSettings(
  manifest: Manifest,
  loaded: LoadOptions,
  options: GenerateOptions,
  size?: Size,
): MergedSettings {
  const { scheduler, settings = {} } = options;
  const asked = withSettings(manifest, loaded, options);
  const drawn = isSized(options) ? askedSize(manifest, asked) : undefined;
  const latent = drawn && latentSize(manifest, drawn);
  const plain: DiffusionSettings = {
    scheduler: {
      ...(scheduler === undefined ? {} : { type: resolveScheduler(manifest, scheduler) }),
      ...pick("numSteps", options.numInferenceSteps),
      ...pick("guidanceScale", options.guidanceScale),
      ...pick("eta", options.eta),
    },
    ...(latent === undefined ? {} : { latent: { width: latent[0], height: latent[1] } }),
  };
  return mergeSettings(manifest, pageSettings(loaded), merge(settings, plain), size ?? drawn);
}

function pick<Name extends string>(name: Name, value: number | undefined) {
  return (value === undefined ? {} : { [name]: value }) as Partial<Record<Name, number>>;
}

/**
 * Resolve the options of `generate`, and settings where the page or the call has some.
 *
 * @param options checked before with `GENERATE_CHECKS`, and their settings by the schema.
 * @returns what `prepareRequest` returns, and throws what it throws.
 */
export function prepareSettled(
  manifest: Manifest,
  prompt: Prompt | null | undefined,
  options: GenerateOptions & { output?: OutputName | undefined },
  loaded: LoadOptions,
): PreparedRequest | Promise<PreparedRequest> {
  if (loaded.settings === undefined && options.settings === undefined) {
    return prepareRequest(manifest, prompt, options);
  }
  const asked = withSettings(manifest, loaded, options);
  // A picture that is given decides about the size, unless somebody says it.
  const known = asked.image === undefined || isSized(asked);
  const size = known ? askedSize(manifest, asked) : undefined;
  // What is wrong with the settings themselves is said before anything is decoded.
  const first = settleSettings(manifest, loaded, options, size);
  const prepared = prepareRequest(manifest, prompt, asked);
  const settle = ({ request, report }: PreparedRequest): PreparedRequest => {
    const { diffusion } = known ? first : settleSettings(manifest, loaded, options, request.size);
    return { request: { ...request, memory: memoryOf(diffusion) }, report };
  };
  return prepared instanceof Promise ? prepared.then(settle) : settle(prepared);
}

function isSized({ width, height }: GenerateOptions): boolean {
  return width !== undefined || height !== undefined;
}

/** Return the size that options ask for; what they leave open is the model's. */
function askedSize(manifest: Manifest, { width, height }: GenerateOptions): Size {
  const [wide, high] = manifest.defaults.size;
  return resolveSize(manifest, width ?? wide, height ?? high);
}

/** Return options of a call, and in the place of those that are left out what the settings say. */
function withSettings<Options extends GenerateOptions>(
  manifest: Manifest,
  loaded: LoadOptions,
  options: Options,
): Options {
  const given = merge(loaded.settings ?? {}, options.settings ?? {});
  return { ...asOptions(manifest, given), ...options };
}

/** Return settings as the options of `generate` that they stand for. */
function asOptions(manifest: Manifest, given: DiffusionSettings): GenerateOptions {
  const { scheduler = {}, latent = {} } = given;
  const { type, numSteps, guidanceScale, eta } = scheduler;
  const own = latentSize(manifest, manifest.defaults.size);
  const size =
    latent.width === undefined && latent.height === undefined
      ? undefined
      : pictureSize(manifest, { width: latent.width ?? own[0], height: latent.height ?? own[1] });
  const options = {
    ...{ scheduler: type, numInferenceSteps: numSteps, guidanceScale, eta },
    ...{ width: size?.[0], height: size?.[1] },
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
