/** The page's worker: the entry point that the bundler builds. It also reads kept files for itself. */

import * as Comlink from "comlink";

import { answerReads } from "../bundle/store_readers";
import { registerErrors } from "./error_transfer";
import { isReader, startReaders } from "./reader_workers";
import { WorkerPipeline } from "./worker_pipeline";

if (isReader()) {
  answerReads(self);
} else {
  registerErrors();
  startReaders();
  Comlink.expose(new WorkerPipeline());
}
