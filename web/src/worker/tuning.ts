/** What tuning needs of every model that is loaded: the GPU's clock, and what was found before. */

import { readTuning } from "../bundle/kept_tuning";
import { alsoRequest } from "../gpu/device";
import { findPreferencesBy } from "../gpu/model";

/** Have the GPU's clock, and have models load with what was found for their kernels. */
export function prepareTuning(): void {
  alsoRequest("timestamp-query");
  findPreferencesBy(async ({ manifest, files }, gpu) => {
    const found = await readTuning(manifest, gpu, files.cache);
    return found && new Map(Object.entries(found.choices));
  });
}
