/** Which kernels run in place of the library's generated ones: those asked for that no rule refuses. */

import type { VariantChoice } from "../api/tuning";
import type { Rule } from "../bundle/manifest";
import { AUTO, GENERATED, LEGACY_KERNEL_MODES, VARIANT_NAMES } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import type { KernelTable, Variant } from "./kernel_table";
import type { Facts, GpuFacts } from "./selection_rules";
import { findRefusal, writeMatrix } from "./selection_rules";

/** Names of the variants that may run, or `auto` for all; rules refuse some of them on a GPU. */
export type KernelChoice = typeof AUTO | ReadonlySet<string>;

/**
 * Read the option `kernels`: `auto`, `generated`, or names of variants separated by commas.
 *
 * @param onNotice called with a sentence if the option is one of the deprecated modes.
 * @throws OptionError if a name is not known.
 */
export function parseKernelChoice(
  option: string = AUTO,
  onNotice: (notice: string) => void = () => undefined,
): KernelChoice {
  if (option === AUTO) return AUTO;
  if (option === GENERATED) return new Set();
  if (Object.hasOwn(LEGACY_KERNEL_MODES, option)) {
    const names = LEGACY_KERNEL_MODES[option as keyof typeof LEGACY_KERNEL_MODES];
    onNotice(`kernels: "${option}" is deprecated; name the variants: "${names.join(",")}".`);
    return new Set(names);
  }
  const names = option.split(",").map((name) => name.trim());
  const known: readonly string[] = VARIANT_NAMES;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new OptionError(
      `kernels: there is no variant "${unknown}"`,
      `give ${AUTO}, ${GENERATED}, or names separated by commas: ${known.join(", ")}`,
    );
  }
  return new Set(names);
}

/** Kernel → what was found to be the fastest in it. */
export type Preferences = ReadonlyMap<string, VariantChoice>;

/** The kernel that TVM generated, as a choice. */
export const GENERATED_CHOICE: VariantChoice = { variant: GENERATED, index: 0 };

/** How the variants of a bundle's kernels are selected on one GPU. */
export interface Selection {
  gpu: GpuFacts;
  /** Rules of the bundle for kernels. */
  rules: readonly Rule[];
  choice: KernelChoice;
  /**
   * What the bundle says is the fastest on adapters of this class, as far as no rule refuses it. Like
   * the next, it has no effect where the caller named the kernels.
   */
  standard?: Preferences | undefined;
  /** What was found on this GPU, which wins. */
  preferences?: Preferences | undefined;
}

/**
 * Select the variant that is preferred in a kernel, or else the first of its variants that was asked for;
 * one that a rule refuses is passed over, and so is one for tuning alone.
 *
 * @returns undefined if the generated kernel runs.
 */
export function selectVariant(
  table: KernelTable | undefined,
  kernel: string,
  selection: Selection,
): Variant | undefined {
  const allowed = allowedVariants(table, kernel, selection);
  const { choice, preferences, standard } = selection;
  const known = preferences?.get(kernel) ?? standard?.get(kernel);
  const preferred = choice === AUTO ? known : undefined;
  if (preferred?.variant === GENERATED) return undefined;
  const found = preferred && findVariant(table?.kernels[kernel] ?? [], preferred);
  return found !== undefined && allowed.includes(found) ? found : allowed.find(runsUntuned);
}

/** Whether a variant may run where tuning has not chosen it. */
export function runsUntuned({ tuning_only: tuningOnly }: Variant): boolean {
  return tuningOnly !== true;
}

/**
 * Return the preferences that no rule refuses. If one for a kernel of an attention is refused, none for such
 * kernels stays: two of them are chosen together, and others would not fit each other.
 */
export function fitPreferences(
  table: KernelTable | undefined,
  preferences: Preferences | undefined,
  selection: Selection,
): Preferences | undefined {
  if (preferences === undefined) return undefined;
  const variantsOf = (kernel: string): readonly Variant[] => table?.kernels[kernel] ?? [];
  const fits = ([kernel, preferred]: readonly [string, VariantChoice]): boolean => {
    if (preferred.variant === GENERATED) return true;
    const found = findVariant(variantsOf(kernel), preferred);
    return found !== undefined && allowedVariants(table, kernel, selection).includes(found);
  };
  const isOfAttention = ([kernel]: readonly [string, VariantChoice]): boolean =>
    variantsOf(kernel).some(({ problem }) => problem === "attention");
  const given = [...preferences];
  const whole = given.filter(isOfAttention).every(fits);
  return new Map(given.filter((each) => fits(each) && (whole || !isOfAttention(each))));
}

/** Return a kernel's variants that were asked for and that no rule refuses, in the table's order. */
export function allowedVariants(
  table: KernelTable | undefined,
  kernel: string,
  { gpu, rules, choice }: Selection,
): Variant[] {
  const asked = { named: choice !== AUTO };
  const variants = table?.kernels[kernel] ?? [];
  return variants.filter((variant) => {
    if (choice !== AUTO && !choice.has(variant.name)) return false;
    const problem = describeProblem(table!, kernel, variant);
    const facts = { ...gpu, problem, candidate: describeVariant(variant), asked };
    return findRefusal(rules, facts) === undefined;
  });
}

/** Find the variant that a choice names among a kernel's; undefined if there is none. */
export function findVariant(
  variants: readonly Variant[],
  { variant, index }: VariantChoice,
): Variant | undefined {
  return variants.filter(({ name }) => name === variant)[index];
}

function describeProblem(
  { bytes }: KernelTable,
  kernel: string,
  { problem: kind, operations }: Variant,
): Facts["problem"] {
  return { kind, kernel, operations, bytes: bytes[kernel] ?? 0 };
}

/** What a variant requires, as rules ask for it. */
function describeVariant(variant: Variant): Facts["candidate"] {
  const { name, features, threads, shared_bytes } = variant;
  const [smallest, largest] = variant.subgroup_size ?? [0, Infinity];
  const matrix = variant.subgroup_matrix;
  const adapterClasses = variant.adapter_classes ?? [];
  return {
    ...{ name, features, threads, shared_bytes },
    subgroup_min_size: smallest,
    subgroup_max_size: largest,
    subgroup_matrices: matrix === null ? [] : [writeMatrix(matrix)],
    adapter_classes: adapterClasses,
    tuned: adapterClasses.length > 0,
  };
}
