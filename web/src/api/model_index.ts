/** A bundle's list of models, and which of a model's precisions a GPU can take. */

import { besideAddress } from "../bundle/bundle_files";
import { openCache } from "../bundle/cache";
import { fetchIndex } from "../bundle/deployment";
import type { FoundIndex } from "../bundle/deployment";
import { makeTransport } from "../bundle/transport";
import type { WsdError } from "../util/errors";
import { OptionError, UnsupportedError } from "../util/errors";
import {
  CHOOSE_CHECKS,
  LIST_CHECKS,
  requireListedModel,
  requireOptions,
} from "../util/option_checks";
import { explainAddress, indexAddress } from "./addresses";
import { checkEnvironment } from "./environment";
import type { FetchOptions } from "./load_options";
import type { Preflight, PreflightOptions } from "./preflight";
import { preflight } from "./preflight";
import type { IntegrityOptions } from "./types";

/** One model of a bundle, in weights of one precision. */
export interface Variant {
  /** How its weights are stored: f32, f16, w8a16 or w4a16. */
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

/** How the manifests are fetched, what is left out, and what is chosen whatever the rules say. */
export interface ChooseOptions
  extends FetchOptions, Pick<PreflightOptions, "ignoredRules" | "textEncoder3"> {
  /**
   * The precision to take, `f32` for example, whatever the bundle's rules say of this GPU; for support
   * cases. It must be one of the model's.
   */
  dtype?: string | undefined;
}

/**
 * Choose the first precision of a model that this GPU can take, as the rules of the bundle say; if it
 * can take none, the first of all, with its problems.
 *
 * @param options how the manifests are fetched, and overrides for support cases.
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
  options: ChooseOptions = {},
): Promise<Choice> {
  checkEnvironment();
  const { dtype, ...how } = requireOptions("chooseVariant", options, CHOOSE_CHECKS);
  requireListedModel(model);
  const passedOver: Choice["passedOver"] = [];
  let first: Choice | undefined;
  for (const variant of dtype === undefined ? model.variants : [variantOf(model, dtype)]) {
    const { manifest, integrity, safetyChecker } = variant;
    const examined = await preflight(manifest, { ...how, integrity, safetyChecker });
    const found = { ...examined, variant, passedOver };
    if (examined.adapter !== undefined && examined.refusedBy === undefined) return found;
    passedOver.push({ variant, problem: problemOf(examined, variant) });
    first ??= found;
  }
  return { ...first!, passedOver: [] };
}

/** @throws OptionError if the model does not come in a precision. */
function variantOf({ name, variants }: ListedModel, dtype: string): Variant {
  const found = variants.find((variant) => variant.dtype === dtype);
  if (found !== undefined) return found;
  throw new OptionError(
    `dtype: ${name} does not come in "${dtype}"`,
    `give one of its precisions: ${variants.map((variant) => variant.dtype).join(", ")}`,
  );
}

/** Why a precision was passed over: what the GPU lacks, or else what the rule says. */
function problemOf({ problems, refusedBy }: Preflight, { dtype }: Variant): WsdError {
  const [problem] = problems;
  if (problem !== undefined) return problem;
  const { name, reason } = refusedBy!;
  return new UnsupportedError(
    `the bundle's rule ${name} passes ${dtype} over on this GPU: ${reason}`,
    `give ignoredRules: "${name}" to take it all the same`,
  );
}
