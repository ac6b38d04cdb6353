/** Which build this is: a page and its worker must be of the same. */

import { VERSION } from "./constants.generated";

/** Replaced by the bundler (web/bundler.mjs) with a digest of the sources. */
declare const SOURCES_DIGEST: string | undefined;

/** The version and the digest of the sources; where nothing was bundled, the version alone. */
export const BUILD =
  typeof SOURCES_DIGEST === "undefined" ? VERSION : `${VERSION}+${SOURCES_DIGEST}`;
