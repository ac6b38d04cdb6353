/** What a bundle says of the fastest variants of its kernels, for some classes of adapters. */

import { CHOICES_VERSION } from "../util/constants.generated";
import type { ChoiceTable, KernelChoices } from "./manifest";

/**
 * Find what was the fastest in each kernel on adapters of a class.
 *
 * @param text of the file that the manifest's `kernel_choices` names.
 * @param classes those of the adapter at hand, as rules know them.
 * @param features those that it has, separated by spaces, as a table's `adapter` has them.
 * @returns undefined if there is no table for them, or the file is of a newer version. Nor is a table taken
 *   where the adapter has a feature that was lacking when it was made: that may be faster.
 */
export function readChoices(
  text: string,
  classes: readonly string[],
  features: string,
): ChoiceTable["choices"] | undefined {
  const { version, tables } = JSON.parse(text) as KernelChoices;
  if ((version as number) !== CHOICES_VERSION) return undefined;
  const found = tables.find((table) => classes.includes(table.adapter_class));
  const known = found?.adapter.features?.split(" ") ?? [];
  const isWhole = features.split(" ").every((name) => name === "" || known.includes(name));
  return isWhole ? found?.choices : undefined;
}
