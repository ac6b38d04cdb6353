/**
 * Settings of inference: what a model's manifest says, what the page gave when it loaded the model,
 * and what a call gives, merged in this order and checked by one schema.
 */

import type { LoadOptions } from "../api/types";
import { MAX_STEPS, SCHEDULER_DEFAULTS } from "../util/constants.generated";
import { requireSchema } from "../util/schema_check";
import type { Schema } from "../util/schema_check";
import {
  DEFAULT_SETTINGS,
  SETTINGS_ROOT,
  SETTINGS_SCHEMA,
  STAGES,
} from "../util/settings_schema.generated";
import type { DiffusionSettings } from "../util/settings_schema.generated";
import { findEntryPoint } from "./manifest";
import type { Manifest, Role, Size } from "./manifest";
import { planPeak } from "./peak_memory";
import { canTile, ownTileSize, tileSizes } from "./tiles";

/** An object of which nothing is left out, however deep. */
export type Complete<Given> = {
  [Name in keyof Given]-?: NonNullable<Given[Name]> extends object
    ? NonNullable<Given[Name]> extends readonly unknown[]
      ? NonNullable<Given[Name]>
      : Complete<NonNullable<Given[Name]>>
    : NonNullable<Given[Name]>;
};

/** Who gave a setting; those that nobody gave are the manifest's. */
export type SettingsLayer = "manifest" | "page" | "call";

/** All settings of a picture. */
export interface MergedSettings {
  /** The object `inference.diffusion`, nothing of it left out. */
  diffusion: Complete<DiffusionSettings>;
  /** Path of each setting below `inference.diffusion`, and which layer it is of. */
  sources: Record<string, SettingsLayer>;
  /** The most bytes of GPU memory that drawing such a picture from text takes, as it is planned. */
  peakBytes: number;
}

/** Those of the settings that decide how much memory drawing takes, and not what is drawn. */
export interface MemorySettings {
  tiling: Complete<DiffusionSettings>["decode"]["tiling"];
  swapper: Complete<DiffusionSettings>["swapper"];
}

/** The names of the stages of a model, in the order in which they run. */
type Stage = (typeof STAGES)[number];

/** Return the settings that a page gave with its load options, of which the plain ones win. */
export function pageSettings({ settings, offload, tiling }: LoadOptions): DiffusionSettings {
  const plain = { decode: { tiling: { enabled: tiling } }, swapper: { enabled: offload } };
  return merge(settings ?? {}, plain);
}

/** Return the roles whose parameters leave the GPU while other stages run. */
export function evictedStages(swapper: DiffusionSettings["swapper"]): readonly Role[] {
  return swapper?.enabled === true ? (swapper.evict ?? STAGES) : [];
}

/** Pick what decides how much memory drawing takes. */
export function memoryOf({ decode, swapper }: Complete<DiffusionSettings>): MemorySettings {
  return { tiling: decode.tiling, swapper };
}

/** Return settings with which drawing takes the least memory. */
export function inLeastMemory({ tiling, swapper }: MemorySettings): MemorySettings {
  return {
    tiling: { ...tiling, enabled: true },
    swapper: { ...swapper, enabled: true, evict: [...STAGES] },
  };
}

/**
 * Merge the settings of the manifest, of the page, and of a call.
 *
 * @param size width and height of the picture that is drawn, where it is known: then a tile must not
 *   be larger.
 * @throws OptionError with the path of the first setting that the model cannot have.
 */
export function mergeSettings(
  manifest: Manifest,
  page: DiffusionSettings,
  call: DiffusionSettings,
  size?: Size,
): MergedSettings {
  const given = merge(page, call);
  const diffusion = merge(ownSettings(manifest), given) as Complete<DiffusionSettings>;
  requireSchema(SETTINGS_ROOT, given, narrowSchema(manifest, diffusion, size));
  const sources: Record<string, SettingsLayer> = {};
  const [ofCall, ofPage] = [new Set(pathsOf(call)), new Set(pathsOf(page))];
  for (const path of pathsOf(diffusion)) {
    sources[path] = ofCall.has(path) ? "call" : ofPage.has(path) ? "page" : "manifest";
  }
  const drawn = size ?? pictureSize(manifest, diffusion.latent) ?? manifest.defaults.size;
  const { enabled, tileSize } = diffusion.decode.tiling;
  const tile = enabled && canTile(manifest, drawn, tileSize) ? tileSize : undefined;
  const evict = evictedStages(diffusion.swapper);
  const peakBytes = planPeak(manifest, { size: drawn, evict, tile, image: false });
  return { diffusion, sources, peakBytes };
}

/** Return the size in pixels of the picture that latents of a size are of, if one was compiled. */
export function pictureSize(
  manifest: Manifest,
  { width, height }: { width?: number; height?: number },
): Size | undefined {
  return latentSizes(manifest).find(({ latent }) => latent[0] === width && latent[1] === height)
    ?.size;
}

/** Return the width and the height of the latents of a picture. */
export function latentSize(manifest: Manifest, size: Size): Size {
  const { shape } = findEntryPoint(manifest, "denoiser", size).inputs[0]!;
  return [shape[3]!, shape[2]!];
}

/** The sizes that a model was compiled for: of the pictures, and of their latents. */
function latentSizes(manifest: Manifest): { size: Size; latent: Size }[] {
  return manifest.entry_points.flatMap(({ role, size }) =>
    role === "denoiser" && size !== null ? [{ size, latent: latentSize(manifest, size) }] : [],
  );
}

/** Everything that the manifest says or leaves to the defaults. */
function ownSettings(manifest: Manifest): Complete<DiffusionSettings> {
  const { defaults, schedulers, model, tokenizers, conditioning } = manifest;
  const [width, height] = latentSize(manifest, defaults.size);
  const { decode, swapper } = DEFAULT_SETTINGS;
  return {
    scheduler: {
      type: schedulers.default,
      numSteps: defaults.steps,
      guidanceScale: defaults.guidance_scale,
      // Older manifests have no default for eta.
      eta: (defaults as Partial<typeof defaults>).eta ?? 0,
    },
    latent: {
      width,
      height,
      channels: manifest.latent_space.channels,
      dtype: findEntryPoint(manifest, "denoiser", defaults.size).inputs[0]!.dtype,
    },
    textEncoder: { maxLength: tokenizers[conditioning.encoders[0]!]!.max_length },
    decode: {
      outputDtype: findEntryPoint(manifest, "vae_decoder", defaults.size).outputs[0]!.dtype,
      tiling: { ...decode.tiling, tileSize: ownTileSize(manifest) },
    },
    swapper: { ...swapper, evict: stagesOf(manifest) },
    quantization: {
      weightDtype: model.dtype,
      dequantize: model.dtype === "f32" ? "none" : "kernel",
    },
  };
}

/** The stages whose parameters a model has. */
function stagesOf({ components }: Manifest): Stage[] {
  const roles = new Set(Object.values(components).map(({ role }) => role));
  return STAGES.filter((stage) => roles.has(stage));
}

/** What a schema's parts are narrowed to, by their names. */
interface Limits {
  readonly [name: string]: Schema | Limits;
}

/**
 * Return the schema of settings with what a model can have.
 *
 * @param merged decides about what depends on other settings: the steps on the scheduler, a height
 *   on the width.
 */
function narrowSchema(
  manifest: Manifest,
  { scheduler, latent }: Complete<DiffusionSettings>,
  size: Size | undefined,
): Schema {
  const own = ownSettings(manifest);
  const only = (...values: unknown[]): Schema => ({ enum: [...new Set(values)] });
  const { available } = manifest.schedulers;
  const config = Object.hasOwn(available, scheduler.type) ? available[scheduler.type] : undefined;
  const steps = { max_steps: MAX_STEPS, ...SCHEDULER_DEFAULTS, ...config };
  const sizes = latentSizes(manifest).map((each) => each.latent);
  const alike = sizes.filter(([width]) => width === latent.width);
  return limit(SETTINGS_SCHEMA, {
    scheduler: {
      type: only(...Object.keys(available)),
      numSteps: { type: "integer", minimum: steps.min_steps, maximum: steps.max_steps },
    },
    latent: {
      width: only(...sizes.map(([width]) => width)),
      height: only(...(alike.length > 0 ? alike : sizes).map(([, height]) => height)),
      channels: only(own.latent.channels),
      dtype: only(own.latent.dtype),
    },
    textEncoder: { maxLength: only(own.textEncoder.maxLength) },
    decode: {
      outputDtype: only(own.decode.outputDtype),
      tiling: { tileSize: only(...tileSizes(manifest, size)) },
    },
    swapper: { evict: { type: "array", uniqueItems: true, items: only(...own.swapper.evict) } },
    quantization: {
      weightDtype: only(own.quantization.weightDtype),
      dequantize: only(own.quantization.dequantize),
    },
  });
}

function limit(schema: Schema, limits: Limits): Schema {
  const properties = Object.entries(schema.properties!).map(([name, part]) => [
    name,
    part.properties === undefined
      ? (limits[name] ?? part)
      : limit(part, (limits[name] ?? {}) as Limits),
  ]);
  return { ...schema, properties: Object.fromEntries(properties) as Record<string, Schema> };
}

/**
 * Return two objects as one: what the second gives wins, and lists are taken whole. What is undefined
 * or null was not given.
 */
export function merge<Given extends object>(first: Given, second: Given): Given {
  const merged: Record<string, unknown> = {};
  const values = [first, second].flatMap((table): [string, unknown][] => Object.entries(table));
  for (const [name, value] of values) {
    if (value === undefined || value === null) continue;
    const before = merged[name];
    merged[name] = isTable(value) ? merge<object>(isTable(before) ? before : {}, value) : value;
  }
  return merged as Given;
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** List the paths of all values of an object that are given. */
function pathsOf(table: object, place = ""): string[] {
  return Object.entries(table).flatMap(([name, value]: [string, unknown]) => {
    const path = place === "" ? name : `${place}.${name}`;
    if (value === undefined || value === null) return [];
    return isTable(value) ? pathsOf(value, path) : [path];
  });
}
