/** What the npm package's client calls in its worker: besides drawing, tuning on the visitor's GPU. */

import { readTuning } from "../bundle/kept_tuning";
import { tuneModel } from "../diagnostics/tune";
import { alsoRequest } from "../gpu/device";
import { findPreferencesBy } from "../gpu/model";
import { ProgressMeter } from "../pipeline/progress_meter";
import { WorkerPipeline } from "./worker_pipeline";
import type { Tune } from "./worker_pipeline";

/** A pipeline that can be tuned. What was found is applied whenever a model is loaded. */
export class TuningWorker extends WorkerPipeline {
  override readonly tune: Tune = (call, options, onProgress) =>
    this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.use(report, signal, (pipeline, each) => {
        const { onStage } = new ProgressMeter({}, each);
        return pipeline.withStages((stages) => tuneModel(stages, options, onStage, signal));
      }),
    );
}

/** Have the GPU's clock, and have models load with what was found for their kernels. */
export function prepareTuning(): void {
  alsoRequest("timestamp-query");
  findPreferencesBy(async ({ manifest, files }, gpu) => {
    const found = await readTuning(manifest, gpu, files.cache);
    return found && new Map(Object.entries(found.choices));
  });
}
