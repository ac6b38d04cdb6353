/** The page's worker: the entry point that the bundler builds. It also runs in workers of this one. */

import * as Comlink from "comlink";

import { serveStore } from "../bundle/store_workers";
import { registerErrors } from "./error_transfer";
import { isStoreWorker, provideOwnWorkers } from "./own_workers";
import { WorkerPipeline } from "./worker_pipeline";

if (isStoreWorker()) {
  serveStore();
} else {
  registerErrors();
  provideOwnWorkers();
  Comlink.expose(new WorkerPipeline());
}
