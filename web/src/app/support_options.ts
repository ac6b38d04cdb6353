/** Overrides in the page's address, for support cases: `?kernels=`, `?dtype=` and `?ignoredRules=`. */

import type { ChooseOptions, LoadOptions } from "../index";

/** What the address overrides; the calls that take these options check them. */
export type SupportOptions = Pick<ChooseOptions, "dtype" | "ignoredRules"> &
  Pick<LoadOptions, "kernels">;

/** Read the overrides of the page's address. */
export function supportOptions(search: string = location.search): SupportOptions {
  const given = new URLSearchParams(search);
  const read = (name: keyof SupportOptions): string | undefined => given.get(name) ?? undefined;
  return { kernels: read("kernels"), dtype: read("dtype"), ignoredRules: read("ignoredRules") };
}
