/**
 * Names of files in bundles: the rule of wsd/spec/paths.py. A name can neither leave its folder nor
 * be an address of another origin, so a manifest decides nothing but which file
 * beside it is fetched.
 */

import { MAX_NAME, NAME_PATTERN, RESERVED_NAMES } from "../util/constants.generated";

// eslint-disable-next-line security/detect-non-literal-regexp -- a constant of the program
const NAME = new RegExp(NAME_PATTERN, "u");
const RESERVED: ReadonlySet<string> = new Set(RESERVED_NAMES);

/** Whether a value is the name of a file or folder, without a folder before it. */
export function isName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length <= MAX_NAME &&
    NAME.test(value) &&
    !RESERVED.has(value.split(".", 1)[0]!.toLowerCase())
  );
}

/** Whether a value is a folder's name with a slash at its end. */
export function isFolder(value: unknown): value is string {
  return typeof value === "string" && value.endsWith("/") && isName(value.slice(0, -1));
}
