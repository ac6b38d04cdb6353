/** What a worker of the package's script does: a pipeline's work, or that of a pipeline's own workers. */

import * as Comlink from "comlink";

import { provideWorkers, serveStore, STORE_WORKER } from "../bundle/store_workers";
import { registerErrors } from "./error_transfer";
import { scriptUrl } from "./trusted_types";
import { prepareTuning } from "./tuning";
import type { WorkerPipeline } from "./worker_pipeline";

/**
 * Answer the calls of whoever started this worker.
 *
 * @param makePipeline makes what a page calls.
 */
export function runWorker(makePipeline: () => WorkerPipeline): void {
  if ((globalThis as { name?: string }).name === STORE_WORKER) {
    serveStore();
    return;
  }
  registerErrors();
  prepareTuning();
  // A worker of Node.js has no address, and keeps nothing.
  if ("Worker" in globalThis && "location" in globalThis) {
    const script = new URL(globalThis.location.href);
    provideWorkers(() => new Worker(scriptUrl(script), { type: "module", name: STORE_WORKER }));
  }
  Comlink.expose(makePipeline());
}
