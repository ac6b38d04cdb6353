/** The npm package's worker: it has a pipeline, and tunes it. */

import * as Comlink from "comlink";

import { registerErrors } from "./error_transfer";
import { prepareTuning, TuningWorker } from "./tuning_worker";

registerErrors();
prepareTuning();
Comlink.expose(new TuningWorker());
