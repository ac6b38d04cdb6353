/**
 * Which kernel variant and which precision of a model runs: rules in data, which a bundle carries
 * (wsd/spec/selection.py), evaluated by one function.
 */

import type { Condition, Manifest, Rule, SelectionRules } from "../bundle/manifest";
import { SELECTION_RULES, SELECTION_TESTS } from "../util/constants.generated";
import { OptionError, UnsupportedError } from "../util/errors";
import { nearestName } from "../util/nearest";

/** What a condition compares: a truth value, a number, a text, texts, or numbers by their names. */
export type Fact = boolean | number | string | readonly string[] | Readonly<Record<string, number>>;

/** What is known of the GPU, as far as rules may ask for it; Python's module describes each. */
export interface GpuFacts {
  features: readonly string[];
  /** WebGPU's own object, whose limits are getters of its class, or an object with numbers. */
  limits: object;
  adapter: Readonly<Record<string, Fact>>;
}

/** What is known of one candidate for one problem on one GPU. */
export interface Facts extends GpuFacts {
  problem: Readonly<Record<string, Fact>>;
  candidate: Readonly<Record<string, Fact>>;
  asked: { readonly named: boolean };
}

/** Rules of a bundle that were not ignored, in their order. */
export interface ActiveRules {
  kernels: readonly Rule[];
  precisions: readonly Rule[];
}

/** A GPU as WebGPU describes it: an adapter, or a device with its adapter's `info`. */
export interface DescribedGpu {
  features: Iterable<string>;
  limits: object;
  info: {
    vendor?: string;
    architecture?: string;
    description?: string;
    isFallbackAdapter?: boolean;
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
    /** Only with the experimental feature for subgroup matrices. */
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
}

interface SubgroupMatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** Describe a GPU as rules ask for it. */
export function describeGpu({ features, limits, info }: DescribedGpu): GpuFacts {
  const matrices = [...(info.subgroupMatrixConfigs ?? [])].filter(
    ({ componentType, resultComponentType }) =>
      componentType === "f16" && resultComponentType === "f32",
  );
  const { vendor = "", architecture = "" } = info;
  return {
    features: [...features],
    limits,
    adapter: {
      ...{ vendor, architecture },
      // As `adapter_class` of wsd/kernels/variant.py writes it.
      classes: vendor === "" ? [] : [`${vendor} ${architecture}`.trim()],
      description: info.description ?? "",
      fallback: info.isFallbackAdapter === true,
      subgroup_min_size: info.subgroupMinSize ?? 0,
      subgroup_max_size: info.subgroupMaxSize ?? 0,
      subgroup_matrices: matrices.map(({ M, N, K }) => writeMatrix([M, N, K])),
    },
  };
}

/** Write M, N and K of a subgroup matrix operation as facts have them. */
export function writeMatrix(sizes: readonly [number, number, number]): string {
  return sizes.join("x");
}

/**
 * Return a bundle's rules, or this version's own if it has none, without those that are ignored.
 *
 * @param ignored the option `ignoredRules`: names separated by commas, for support cases.
 * @throws OptionError if no rule has one of the names.
 * @throws UnsupportedError if a rule is not of a kind that this version knows.
 */
export function readRules(manifest: Pick<Manifest, "selection">, ignored = ""): ActiveRules {
  const given: SelectionRules = manifest.selection ?? readonlyRules();
  const { kernels, precisions } = given as Partial<Record<keyof SelectionRules, unknown>>;
  const rules = [...listOf(kernels), ...listOf(precisions)];
  rules.forEach(checkRule);
  const known = rules.map(({ name }) => name);
  const names = ignored.trim() === "" ? [] : ignored.split(",").map((name) => name.trim());
  for (const name of names) {
    if (known.includes(name)) continue;
    const nearest = nearestName(name, known);
    throw new OptionError(
      `ignoredRules: there is no rule "${name}"`,
      (nearest === undefined ? "" : `did you mean ${nearest}? `) +
        `give names separated by commas: ${known.join(", ")}`,
    );
  }
  const active = ({ name }: Rule): boolean => !names.includes(name);
  return { kernels: given.kernels.filter(active), precisions: given.precisions.filter(active) };
}

/** The generated constants are deeply readonly, and the types of a manifest are not. */
function readonlyRules(): SelectionRules {
  return SELECTION_RULES as unknown as SelectionRules;
}

function listOf(rules: unknown): Rule[] {
  if (Array.isArray(rules)) return rules as Rule[];
  throw unknownRule("the manifest's selection has no lists of rules");
}

const FACT =
  /^(features|limits|limits\.[A-Za-z]+|(adapter|problem|candidate)\.[a-z_]+|asked\.named)$/;

/** `wsd build` has checked the rules; a newer version's may be of a kind that is not known here. */
function checkRule(rule: Rule): void {
  const { name, when } = (rule as Partial<Rule> | null) ?? {};
  const shown = `the manifest's rule ${String(name).slice(0, 100)}`;
  if (typeof name !== "string" || !Array.isArray(when) || when.length === 0)
    throw unknownRule(`${shown} has no conditions`);
  for (const condition of when as (Partial<Condition> | null)[]) {
    const { fact, test, value, other } = condition ?? {};
    const good =
      isFact(fact) &&
      (SELECTION_TESTS as readonly unknown[]).includes(test) &&
      (value === undefined) !== (other === undefined) &&
      (other === undefined || isFact(other));
    if (!good) throw unknownRule(`${shown} has a condition that this version does not know`);
  }
}

function isFact(fact: unknown): boolean {
  return typeof fact === "string" && FACT.test(fact);
}

function unknownRule(message: string): UnsupportedError {
  return new UnsupportedError(message, "use the version of WSD that the bundle was built with");
}

/**
 * Evaluate rules for one candidate: this alone decides what runs.
 *
 * @returns the first rule that refuses the candidate; undefined if it may run.
 */
export function findRefusal(rules: readonly Rule[], facts: Facts): Rule | undefined {
  return rules.find(({ when }) => when.every((condition) => holds(condition, facts)));
}

/** Whether a condition holds. A fact that is not known, or is of another type, makes it false. */
function holds({ fact, test, value, other }: Condition, facts: Facts): boolean {
  const found = lookUp(fact, facts);
  const wanted = other === undefined ? value : lookUp(other, facts);
  switch (test) {
    case "is":
      return found !== undefined && found === wanted;
    case "below":
      return compares(found, wanted, (one, two) => one < two);
    case "above":
      return compares(found, wanted, (one, two) => one > two);
    case "lacks":
      return isTexts(found) && isTexts(wanted) && !wanted.every((text) => found.includes(text));
    case "mentions": {
      if (typeof found !== "string" || !isTexts(wanted)) return false;
      const text = found.toLowerCase();
      return wanted.some((word) => text.includes(word.toLowerCase()));
    }
  }
}

function lookUp(path: string, facts: Facts): unknown {
  const [group, name] = path.split(".") as [keyof Facts, string | undefined];
  const found: object = facts[group];
  return name === undefined ? found : valueOf(found, name);
}

/** What an object has under a name; nothing that every object has, such as `toString`. */
function valueOf(found: object, name: string): unknown {
  const value: unknown = found[name as keyof typeof found];
  return typeof value === "function" ? undefined : value;
}

type Comparison = (found: number, wanted: number) => boolean;

/** Compare two numbers; or those that a map wants, of which any decides, with another map's. */
function compares(found: unknown, wanted: unknown, compare: Comparison): boolean {
  if (typeof found === "number" && typeof wanted === "number") return compare(found, wanted);
  if (!isMap(found) || !isMap(wanted)) return false;
  return Object.entries(wanted).some(([name, number]) =>
    compares(valueOf(found, name), number, compare),
  );
}

function isTexts(fact: unknown): fact is readonly string[] {
  return Array.isArray(fact);
}

function isMap(fact: unknown): fact is object {
  return typeof fact === "object" && fact !== null && !Array.isArray(fact);
}
