/** The npm package's worker: it has a pipeline, and tunes it. */

import { runWorker } from "./run_worker";
import { prepareTuning, TuningWorker } from "./tuning_worker";

runWorker(() => {
  prepareTuning();
  return new TuningWorker();
});
