/** Workers of this worker's own script that read and write what the browser keeps. */

import { provideWorkers, STORE_WORKER } from "../bundle/store_workers";
import { scriptUrl } from "./trusted_types";

/** Whether this worker is one of them. */
export function isStoreWorker(): boolean {
  return (globalThis as { name?: string }).name === STORE_WORKER;
}

/** Have them started where a worker may start others. */
export function provideOwnWorkers(): void {
  // A worker of Node.js has no address, and keeps nothing.
  if (!("Worker" in globalThis && "location" in globalThis)) return;
  const script = new URL(globalThis.location.href);
  provideWorkers(() => new Worker(scriptUrl(script), { type: "module", name: STORE_WORKER }));
}
