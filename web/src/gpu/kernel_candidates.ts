/** What may run in a kernel besides what runs: for tuning, which the page does not have. */

import type { VariantChoice } from "../api/tuning";
import { keyOf } from "./kernel_launcher";
import type { KernelLauncher } from "./kernel_launcher";
import type { Variant } from "./kernel_table";
import { allowedVariants, findVariant, GENERATED_CHOICE, runsUntuned } from "./kernel_variants";

/** A bundle's variants, and how those that run are selected on a GPU. */
type Selected = Pick<KernelLauncher, "table" | "selection">;

/**
 * What may run in a kernel on this GPU besides the generated one, in the table's order.
 *
 * Of a kind that comes behind the one that runs, no tiles for tuning alone are tried: float32, for
 * example, where float16 may run. It is rarely faster, and each candidate takes time.
 */
export function findChoices({ table, selection }: Selected, kernel: string): VariantChoice[] {
  const counts = new Map<string, number>();
  const allowed = allowedVariants(table, kernel, selection);
  const variants = table.kernels[kernel] ?? [];
  const behind = findKindsBehind(variants, allowed.find(runsUntuned));
  return variants.flatMap((variant) => {
    const { name, tile } = variant;
    const index = counts.get(name) ?? 0;
    counts.set(name, index + 1);
    const isTried = allowed.includes(variant) && (runsUntuned(variant) || !behind.has(name));
    if (!isTried) return [];
    return [{ variant: name, index, ...(tile === undefined ? {} : { tile }) }];
  });
}

/** Names of the kinds that come behind the one of a variant, which are expected to be slower. */
function findKindsBehind(
  variants: readonly Variant[],
  standard: Variant | undefined,
): ReadonlySet<string> {
  if (standard === undefined) return new Set();
  const later = variants.slice(variants.indexOf(standard)).filter(runsUntuned);
  const names = later.map(({ name }) => name);
  return new Set(names.filter((name) => name !== standard.name));
}

/** What runs in a kernel unless something else is preferred. */
export function standardChoice(selected: Selected, kernel: string): VariantChoice {
  const variants = selected.table.kernels[kernel] ?? [];
  return chooseStandard(variants, findChoices(selected, kernel));
}

/** Which of some choices runs unless something else is preferred. */
export function chooseStandard(
  variants: readonly Variant[],
  choices: readonly VariantChoice[],
): VariantChoice {
  return choices.find((each) => runsUntuned(findVariant(variants, each)!)) ?? GENERATED_CHOICE;
}

/** The variant that a choice names; undefined for the generated kernel. */
export function variantOf(
  { table }: Selected,
  kernel: string,
  choice: VariantChoice,
): Variant | undefined {
  return findVariant(table.kernels[kernel] ?? [], choice);
}

/**
 * Free scratch buffers that are larger than what runs needs, and forget the pipelines of what does not
 * run.
 */
export function trimLauncher({ context, running, scratch, pipelines }: KernelLauncher): void {
  const variants = [...running.values()];
  context.flush();
  for (const [number, buffer] of scratch.entries()) {
    const size = Math.max(0, ...variants.map(({ scratch_bytes }) => scratch_bytes[number] ?? 0));
    if (size === buffer.size) continue;
    context.destroyBuffer(buffer);
    // A buffer of no bytes cannot be bound, and nothing that runs binds it.
    scratch[number] = context.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
  }
  const keys = new Set(variants.flatMap(({ launches }) => launches.map(keyOf)));
  for (const key of pipelines.keys()) if (!keys.has(key)) pipelines.delete(key);
}
