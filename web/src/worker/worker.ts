/** The worker of the page and of the npm package: the entry point that the bundler builds. */

import { runWorker } from "./run_worker";
import { WorkerPipeline } from "./worker_pipeline";

runWorker(() => new WorkerPipeline());
