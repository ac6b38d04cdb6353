/** Workers of this worker's own script that read kept files. */

import { provideReaders, READER } from "../bundle/store_readers";
import { scriptUrl } from "./trusted_types";

/** Whether this worker is one of them. */
export function isReader(): boolean {
  return self.name === READER;
}

/** Have files read in such workers, where a worker may start others. */
export function startReaders(): void {
  if (!("Worker" in globalThis)) return;
  const script = new URL(globalThis.location.href);
  provideReaders(() => new Worker(scriptUrl(script), { type: "module", name: READER }));
}
