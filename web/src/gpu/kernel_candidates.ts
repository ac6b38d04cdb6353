/** What may run in a kernel besides what runs: for tuning. */

import type { VariantChoice } from "../api/tuning";
import { AUTO, GENERATED } from "../util/constants.generated";
import { keyOf } from "./kernel_launcher";
import type { KernelLauncher } from "./kernel_launcher";
import type { Variant } from "./kernel_table";
import type { GpuContext } from "./tvm/gpu_context";
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

/**
 * Whether a variant that is written by hand may run in any kernel. On adapters that compute on the
 * processor rules refuse all of them.
 */
export function allowsWritten({ table, selection }: Selected): boolean {
  return Object.keys(table.kernels).some((kernel) =>
    allowedVariants(table, kernel, selection).some(({ problem }) => problem !== GENERATED),
  );
}

/** What runs in a kernel unless something else was found on this GPU. */
export function standardChoice(selected: Selected, kernel: string): VariantChoice {
  const { choice, standard } = selected.selection;
  const known = choice === AUTO ? standard?.get(kernel) : undefined;
  if (known !== undefined) return known;
  const variants = selected.table.kernels[kernel] ?? [];
  const untuned = findChoices(selected, kernel).find((each) =>
    runsUntuned(findVariant(variants, each)!),
  );
  return untuned ?? GENERATED_CHOICE;
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
 * Tell whether the GPU has room for the scratch buffers of a variant. To ask harms nothing, whereas the
 * device is destroyed if a kernel's own buffer has no room ({@link GpuContext.createBuffer}).
 */
export async function hasScratchFor(
  {
    context: { device },
    scratch,
  }: Pick<KernelLauncher, "scratch"> & { context: Pick<GpuContext, "device"> },
  variant: Variant,
): Promise<boolean> {
  const missing = variant.scratch_bytes.filter(
    (size, number) => size > (scratch[number]?.size ?? 0),
  );
  if (missing.length === 0) return true;
  device.pushErrorScope("out-of-memory");
  const tried = missing.map((size) => device.createBuffer({ size, usage: GPUBufferUsage.STORAGE }));
  const error = await device.popErrorScope();
  for (const buffer of tried) buffer.destroy();
  return error === null;
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
