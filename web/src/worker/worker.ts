/** The page's worker: the entry point that the bundler builds. */

import * as Comlink from "comlink";

import { registerErrors } from "./error_transfer";
import { WorkerPipeline } from "./worker_pipeline";

registerErrors();
Comlink.expose(new WorkerPipeline());
