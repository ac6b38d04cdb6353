/** Which kernels of a function are tuned, and what may run in each. */

import type { VariantChoice } from "../api/tuning";
import { chooseStandard } from "../gpu/kernel_candidates";
import type { KernelTable, Variant } from "../gpu/kernel_table";
import { findVariant, GENERATED_CHOICE } from "../gpu/kernel_variants";
import { GENERATED } from "../util/constants.generated";

/** A call of a kernel by a function: tvmjs's numbers of its buffers, then scalars and the grid. */
export interface KernelCall {
  kernel: string;
  args: readonly number[];
}

/** Kernels of which one choice is made, with the arguments of a call of each. */
export interface TuningUnit {
  /** In the order in which they run; one, or those of an attention. */
  calls: readonly KernelCall[];
  /** What may run: for each a choice for every kernel, in the order of the calls. The first is the default. */
  candidates: readonly (readonly VariantChoice[])[];
  /** How often the function runs it. */
  count: number;
}

/** What may run in a kernel on this GPU besides the generated one, in the table's order. */
type FindChoices = (kernel: string) => readonly VariantChoice[];

/**
 * Find the kernels of a function in which several things may run.
 *
 * Attention is two kernels, of which written variants leave the first out: one choice is made for both,
 * as the second one's generated kernel needs what the first computes.
 *
 * @param calls of the function, in their order.
 * @param choices finds what may run.
 * @param decided kernels that are left as they are.
 */
export function planUnits(
  calls: readonly KernelCall[],
  table: KernelTable,
  choices: FindChoices,
  decided: ReadonlySet<string>,
): TuningUnit[] {
  const first = new Map<string, KernelCall>();
  const counts = new Map<string, number>();
  for (const call of calls) {
    if (!first.has(call.kernel)) first.set(call.kernel, call);
    counts.set(call.kernel, (counts.get(call.kernel) ?? 0) + 1);
  }
  const groups = groupAttention(calls, table).filter(
    (kernels) => !kernels.some((kernel) => decided.has(kernel)),
  );
  return groups.flatMap((kernels) => {
    // Statistics whose attention is not in the function: without it, leaving them out is the fastest.
    if (kernels.length === 1 && isLeftOut(table, kernels[0]!)) return [];
    const candidates = findCandidates(kernels, table, choices);
    if (candidates.length < 2) return [];
    const count = Math.max(...kernels.map((kernel) => counts.get(kernel)!));
    return [{ calls: kernels.map((kernel) => first.get(kernel)!), candidates, count }];
  });
}

/** Sort kernels into groups: one each, or those whose attention is computed together. */
function groupAttention(calls: readonly KernelCall[], table: KernelTable): string[][] {
  const group = new Map<string, string[]>();
  for (const [index, call] of calls.entries()) {
    const own = group.get(call.kernel) ?? [call.kernel];
    group.set(call.kernel, own);
    if (!isLeftOut(table, call.kernel)) continue;
    const user = calls.slice(index + 1).find((other) => uses(other, call, table));
    if (user === undefined) continue;
    const others = group.get(user.kernel) ?? [user.kernel];
    if (others === own) continue;
    const joined = [...own, ...others];
    for (const kernel of joined) group.set(kernel, joined);
  }
  return [...new Set(group.values())];
}

/** Whether another kernel's variant does a kernel's work. */
function isLeftOut({ kernels }: KernelTable, kernel: string): boolean {
  return kernels[kernel]?.some(({ launches }) => launches.length === 0) ?? false;
}

/** Whether a call computes the attention of whose statistics another one is. */
function uses(user: KernelCall, statistics: KernelCall, table: KernelTable): boolean {
  const variants = table.kernels[user.kernel] ?? [];
  const isAttention = variants.some((each) => each.problem === "attention" && isWhole(each));
  return isAttention && user.args.some((number) => statistics.args.includes(number));
}

function isWhole({ launches }: Variant): boolean {
  return launches.length > 0;
}

/** What may run in the kernels of a group, the default first; without candidates that are the same. */
function findCandidates(
  kernels: readonly string[],
  table: KernelTable,
  choices: FindChoices,
): VariantChoice[][] {
  const found = kernels.map(choices);
  const single = kernels.length === 1;
  const written = found[0]!
    .filter(({ variant }) => single || isWritten(table, kernels[0]!, variant))
    .map((choice) => found.map((own) => own.find((each) => isSame(each, choice))));
  const complete = written.filter((each) => each.every((choice) => choice !== undefined));
  const tuned = found.map((own, index) =>
    single ? undefined : own.find(({ variant }) => !isWritten(table, kernels[index]!, variant)),
  );
  const mixed = tuned.some((choice) => choice !== undefined)
    ? [tuned.map((choice) => choice ?? GENERATED_CHOICE)]
    : [];
  const standard = found.map((own, index) =>
    chooseStandard(table.kernels[kernels[index]!] ?? [], own),
  );
  const candidates = [standard, ...complete, ...mixed, kernels.map(() => GENERATED_CHOICE)];
  const seen = new Set<string>();
  return candidates.filter((candidate) => {
    const text = JSON.stringify(
      candidate.map((choice, index) => findVariant(table.kernels[kernels[index]!] ?? [], choice)),
    );
    return !seen.has(text) && seen.add(text);
  });
}

/** Whether a variant is one that replaces the attention as a whole, and not a generated kernel. */
function isWritten({ kernels }: KernelTable, kernel: string, name: string): boolean {
  return kernels[kernel]!.some(
    ({ name: other, problem }) => other === name && problem !== GENERATED,
  );
}

function isSame(one: VariantChoice, other: VariantChoice): boolean {
  return one.variant === other.variant && one.index === other.index;
}
