/** The page's worker: the entry point that the bundler builds. */

import { runWorker } from "./run_worker";
import { WorkerPipeline } from "./worker_pipeline";

runWorker(() => new WorkerPipeline());
