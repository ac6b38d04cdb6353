/** Whether a model runs here, and what it takes, before anything of it is downloaded. */

import { openCache } from "../bundle/cache";
import { fetchManifest } from "../bundle/deployment";
import type { FoundManifest } from "../bundle/deployment";
import { chooseEncoders } from "../bundle/encoders";
import { countBytes } from "../bundle/kept";
import type { Manifest, Rule, Size } from "../bundle/manifest";
import { makeTransport } from "../bundle/transport";
import { drawableSizes, encodableSizes, fits, sizeProblem } from "../gpu/buffer_limits";
import { describeAdapter, findAdapter, findShortcomings } from "../gpu/device";
import { findPrecisionRefusal } from "../gpu/precision_choice";
import { readRules } from "../gpu/selection_rules";
import { guidesItself } from "../pipeline/guidance_embedding";
import type { WsdError } from "../util/errors";
import { PREFLIGHT_CHECKS, requireOptions } from "../util/option_checks";
import { explainAddress, manifestAddress } from "./addresses";
import { checkEnvironment } from "./environment";
import type { FetchOptions } from "./load_options";
import type { IntegrityOptions } from "./types";

/** What is known of a model on this GPU before it is downloaded. */
export interface Preflight {
  /** Absolute address of the manifest. */
  manifestUrl: string;
  /** Its digest, if it was given or its bundle states it. */
  integrity: string | undefined;
  /** Without the third text encoder if that is to be left out. */
  manifest: Manifest;
  /** Why the model cannot run here, each with a hint; empty if it can. */
  problems: WsdError[];
  /**
   * The rule of the bundle that refuses this precision on this GPU, and why; undefined if none does,
   * or if there is no GPU. `chooseVariant` takes the first precision that no rule refuses.
   */
  refusedBy: Pick<Rule, "name" | "reason"> | undefined;
  /** Picture sizes that the GPU has buffers for, the default one first. */
  sizes: Size[];
  /** Those of them in which it can begin with a picture; none if the model has no encoder. */
  pictureSizes: Size[];
  /** Whether pictures of the first of these sizes must be decoded in tiles. */
  tiling: boolean;
  /** Whether a negative prompt changes the picture; not for denoisers that guide themselves. */
  takesNegativePrompt: boolean;
  /** Vendor, architecture and description of the GPU, if there is one. */
  adapter: Record<string, string> | undefined;
  /** Whether the safety checker counts too, as it was asked for. */
  safetyChecker: boolean;
  /**
   * Whether the third text encoder counts: true unless the option is `false`; undefined if the model has
   * none that can be left out.
   */
  textEncoder3: boolean | undefined;
  /**
   * Bytes that loading and drawing from text take, and how many of them this browser keeps already.
   * The encoder does not count: it is fetched with the first picture that is given.
   */
  bytes: { total: number; kept: number };
}

/** What a manifest must be, how it is fetched, and how its model is to be loaded. */
export interface PreflightOptions extends IntegrityOptions, FetchOptions {
  /** Count the safety checker's bytes too, as loading with this option fetches it; false unless given. */
  safetyChecker?: boolean | undefined;
  /** As the option of `fromPretrained`: `false` leaves out what the third text encoder takes. */
  textEncoder3?: boolean | undefined;
  /**
   * Rules of the bundle that do not count, by their names, separated by commas; for support cases. See
   * the option of `fromPretrained`.
   */
  ignoredRules?: string | undefined;
}

/**
 * Compare a model's manifest with this browser's GPU. It can be called in a page or a worker.
 *
 * @param manifestUrl address of the model's manifest.json, or of its folder, or of a deployment's
 *   stable-diffusion-config.json, whose first model it is.
 * @param options its digest, from the list of models or from SRI.json, if the caller knows it, and
 *   how it is fetched.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if an option or the address is not what it must be.
 * @throws FetchError if the manifest cannot be fetched.
 * @throws IntegrityError if it is another manifest than the digest says, or another version of it.
 *
 * @example
 * ```ts
 * const { problems, sizes } = await preflight("models/sd15/");
 * for (const { message, hint } of problems) console.warn(`${message}; ${hint}`);
 * const [width, height] = sizes[0] ?? [512, 512];
 * ```
 */
export async function preflight(
  manifestUrl: string | URL,
  options: PreflightOptions = {},
): Promise<Preflight> {
  checkEnvironment();
  const given = requireOptions("preflight", options, PREFLIGHT_CHECKS);
  const { integrity, safetyChecker = false, textEncoder3, ignoredRules, ...how } = given;
  const transport = makeTransport(how);
  const url = manifestAddress(manifestUrl, how);
  const cache = await openCache();
  let found: FoundManifest;
  try {
    found = await fetchManifest(url, cache, { integrity, transport });
  } catch (error) {
    throw explainAddress(error, manifestUrl, url);
  }
  const manifest = chooseEncoders(found.manifest, textEncoder3);
  // A name that no rule has is an error of the caller, and none of the GPU.
  readRules(manifest, ignoredRules);
  const bytes = countBytes(manifest, new Set(await cache.keys()), safetyChecker);
  const takesNegativePrompt = !guidesItself(manifest, manifest.defaults.size);
  const asked = { manifestUrl: found.url, integrity: found.integrity, safetyChecker };
  const hasThird = (found.manifest.conditioning.optional ?? []).length > 0;
  const encoders = { textEncoder3: hasThird ? textEncoder3 !== false : undefined };
  const known = { ...asked, ...encoders, manifest, bytes, takesNegativePrompt };
  try {
    const adapter = await findAdapter();
    const { limits } = adapter;
    const sizes = drawableSizes(manifest, limits);
    const least = chooseEncoders(manifest, false).requires;
    const problems: WsdError[] = findShortcomings(adapter, manifest.requires, least);
    if (sizes.length === 0) problems.push(sizeProblem(manifest, manifest.defaults.size, limits)!);
    const pictureSizes = encodableSizes(manifest, sizes, limits);
    const tiling = sizes.length > 0 && !fits(manifest, "vae_decoder", sizes[0]!, limits);
    const refusedBy = findPrecisionRefusal(manifest, adapter, ignoredRules);
    const offered = { sizes, pictureSizes, tiling, refusedBy };
    return { ...known, ...offered, problems, adapter: describeAdapter(adapter) };
  } catch (error) {
    return {
      ...known,
      problems: [error as WsdError],
      refusedBy: undefined,
      sizes: [],
      pictureSizes: [],
      tiling: false,
      adapter: undefined,
    };
  }
}
