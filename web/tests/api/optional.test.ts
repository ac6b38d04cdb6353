/**
 * Every option may be undefined, also for callers whose compiler tells that from a missing one
 * (exactOptionalPropertyTypes). `tsc -p tests` checks it.
 */

import { expect, test } from "vitest";

import type {
  DrawOptions,
  EncodeOptions,
  GenerateOptions,
  ListOptions,
  LoadOptions,
  PreflightOptions,
  Settings,
} from "../../src/index";

/** The names of a type's optional fields that refuse undefined. */
type Strict<Type> = {
  [Name in keyof Type]-?: Record<string, never> extends Pick<Type, Name>
    ? undefined extends Required<Type>[Name]
      ? never
      : Name
    : never;
}[keyof Type];

/** Whether all optional fields of a type may be undefined. */
type IsLenient<Type> = [Strict<Type>] extends [never] ? true : false;

test("options may be undefined", () => {
  const lenient: [
    IsLenient<DrawOptions>,
    IsLenient<EncodeOptions>,
    IsLenient<GenerateOptions>,
    IsLenient<ListOptions>,
    IsLenient<LoadOptions>,
    IsLenient<PreflightOptions>,
    IsLenient<Settings>,
  ] = [true, true, true, true, true, true, true];
  const strict: IsLenient<{ one?: number; other?: number | undefined }> = false;
  expect(lenient).not.toContain(strict);
});
