/** Draws a request, and checks what was drawn if the request asks for it. */

import { toBlobs } from "../api/generated";
import type { OnStage } from "../api/progress";
import type { GenerationResult } from "../api/types";
import type { Pipeline } from "../pipeline";
import type { GenerationRequest } from "../pipeline/generation_request";

/**
 * Draw, and check what was drawn if the request asks for it.
 *
 * @param draw draws a request to its end: what it gives is what is shown.
 * @param stages what follows the safety checker's loading, and what follows the check. The loading
 *   comes before drawing: nothing is drawn in vain where it cannot be fetched. The first is undefined
 *   where only one stage's parameters are on the GPU at a time; then it is loaded when it is needed.
 */
export async function drawChecked(
  pipeline: Pick<Pipeline, "checkPictures">,
  request: GenerationRequest,
  draw: (request: GenerationRequest) => Promise<GenerationResult>,
  stages: readonly [before: OnStage | undefined, onStage: OnStage],
  signal?: AbortSignal,
): Promise<GenerationResult> {
  if (request.safetyChecker !== true) return draw(request);
  const [before, onStage] = stages;
  const started = performance.now();
  if (before !== undefined) await pipeline.checkPictures([], before, signal);
  // PNG files are made of the pixels afterwards.
  const drawn = (await draw({ ...request, output: "imageData" })) as GenerationResult<ImageData>;
  const finished = performance.now();
  const safety = await pipeline.checkPictures(drawn.images, onStage, signal);
  const now = performance.now();
  const timings = { ...drawn.timings, safety: now - finished, total: now - started };
  const result = { ...drawn, timings, safety };
  return request.output === "blob" ? toBlobs(result) : result;
}
