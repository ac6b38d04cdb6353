/** What the npm package's client calls in its worker: besides drawing, tuning on the visitor's GPU. */

import type { OnProgress } from "../api/progress";
import type { TuneReport } from "../api/tuning";
import { readTuning } from "../bundle/kept_tuning";
import { tuneModel } from "../diagnostics/tune";
import type { TuningOptions } from "../diagnostics/tune";
import { alsoRequest } from "../gpu/device";
import { findPreferencesBy } from "../gpu/model";
import { ProgressMeter } from "../pipeline/progress_meter";
import { WorkerPipeline } from "./worker_pipeline";

/** A pipeline that can be tuned. What was found is applied whenever a model is loaded. */
export class TuningWorker extends WorkerPipeline {
  override async tune(
    call: number,
    options: TuningOptions,
    onProgress: OnProgress,
  ): Promise<TuneReport> {
    return this.reported(call, onProgress, (recovering, report, signal) =>
      recovering.use(report, signal, (pipeline, each) => {
        const { onStage } = new ProgressMeter({}, each);
        return pipeline.withStages((stages) => tuneModel(stages, options, onStage, signal));
      }),
    );
  }
}

/** Have the GPU's clock, and have models load with what was found for their kernels. */
export function prepareTuning(): void {
  alsoRequest("timestamp-query");
  findPreferencesBy(async ({ manifest, files }, gpu) => {
    const found = await readTuning(manifest, gpu, files.cache);
    return found && new Map(Object.entries(found.choices));
  });
}
