/** A bundle's list of models, and which of a model's precisions a GPU can take. */

import { besideAddress } from "../bundle/bundle_files";
import { openCache } from "../bundle/cache";
import { fetchIndex } from "../bundle/deployment";
import type { FoundIndex } from "../bundle/deployment";
import { makeTransport } from "../bundle/transport";
import type { WsdError } from "../util/errors";
import {
  FETCH_CHECKS,
  LIST_CHECKS,
  requireListedModel,
  requireOptions,
} from "../util/option_checks";
import { explainAddress, indexAddress } from "./addresses";
import { checkEnvironment } from "./environment";
import type { FetchOptions } from "./load_options";
import type { Preflight } from "./preflight";
import { preflight } from "./preflight";
import type { IntegrityOptions } from "./types";

/** One model of a bundle, in weights of one precision. */
export interface Variant {
  /** How its weights are stored: f32, f16 or w8a16. */
  dtype: string;
  /** Address of its manifest, with the query of the list's address. */
  manifest: string;
  /** Digest of its manifest; undefined in bundles of older versions. */
  integrity?: string | undefined;
  /**
   * True if the bundle's owner wants finished pictures to be checked: load it with `safetyChecker`,
   * and hide what is flagged. Absent otherwise.
   */
  safetyChecker?: true | undefined;
}

/** A model of a bundle. */
export interface ListedModel {
  name: string;
  title: string;
  /** The precisions that it comes in, the preferred one first. */
  variants: [Variant, ...Variant[]];
}

/** What a list of models must be, and how it is fetched. */
export interface ListOptions extends IntegrityOptions, FetchOptions {}

/**
 * List a bundle's models; if the server cannot be reached, as they were last listed.
 *
 * @param indexUrl address of the bundle's models/index.json, of its folder, or of the bundle; or of
 *   a deployment's stable-diffusion-config.json, beside which a bundle lies.
 * @param options the list's digest, as the bundle's SRI.json has it, if the caller knows it, and
 *   how it is fetched.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if an option or the address is not what it must be.
 * @throws FetchError if the list cannot be fetched.
 * @throws IntegrityError if it is another list than the digest says, or another version of it.
 */
export async function listModels(
  indexUrl: string | URL,
  options: ListOptions = {},
): Promise<ListedModel[]> {
  checkEnvironment();
  const { integrity, ...how } = requireOptions("listModels", options, LIST_CHECKS);
  const transport = makeTransport(how);
  const url = indexAddress(indexUrl, how);
  const cache = await openCache();
  let found: FoundIndex;
  try {
    found = await fetchIndex(url, cache, { integrity, transport });
  } catch (error) {
    throw explainAddress(error, indexUrl, url);
  }
  const models = new Map<string, ListedModel>();
  for (const entry of found.entries) {
    const { name, title, dtype, manifest, integrity: digest, safety_checker } = entry;
    const address = besideAddress(`${manifest}manifest.json`, found.url);
    const checked = safety_checker === true ? { safetyChecker: true as const } : {};
    const variant = { dtype, manifest: address, integrity: digest, ...checked };
    const listed = models.get(name);
    if (listed === undefined) models.set(name, { name, title, variants: [variant] });
    else listed.variants.push(variant);
  }
  return [...models.values()];
}

/** The variant to load, and why not the ones before it. */
export interface Choice extends Preflight {
  variant: Variant;
  /** Variants that were passed over, each with its first problem. */
  passedOver: { variant: Variant; problem: WsdError }[];
}

/**
 * Choose the first precision of a model that this GPU can take; if it can take none, the first
 * of all, with its problems.
 *
 * @param options how the manifests are fetched.
 * @throws UnsupportedError in Node.js and on pages of plain http.
 * @throws OptionError if the model or an option is not what it must be.
 * @throws FetchError if a manifest cannot be fetched.
 * @throws IntegrityError if one is not what the list of models says.
 *
 * @example
 * ```ts
 * const [model] = await listModels("models/index.json");
 * const { manifestUrl, integrity, safetyChecker, problems, bytes } = await chooseVariant(model!);
 * const [problem] = problems;
 * if (problem !== undefined) throw problem; // it has a message and a hint
 * console.log(`${bytes.total - bytes.kept} bytes are downloaded`);
 * const options = { integrity, safetyChecker };
 * const pipe = await StableDiffusionPipeline.fromPretrained(manifestUrl, options);
 * ```
 */
export async function chooseVariant(
  model: ListedModel,
  options: FetchOptions = {},
): Promise<Choice> {
  checkEnvironment();
  const how = requireOptions("chooseVariant", options, FETCH_CHECKS);
  requireListedModel(model);
  const passedOver: Choice["passedOver"] = [];
  let first: Choice | undefined;
  for (const variant of model.variants) {
    const { manifest, integrity, safetyChecker } = variant;
    const examined = await preflight(manifest, { ...how, integrity, safetyChecker });
    const found = { ...examined, variant, passedOver };
    const [problem] = found.problems;
    if (problem === undefined) return found;
    passedOver.push({ variant, problem });
    first ??= found;
  }
  return { ...first!, passedOver: [] };
}
