/** Draws a request to its end: the pipeline's pass, a second one, and what is put back. */

import { toBlobs } from "../api/generated";
import { CallProgress } from "../api/progress";
import type { OnProgress, OnStage } from "../api/progress";
import type { GenerationResult, Timings } from "../api/types";
import type { Manifest, Role } from "../bundle/manifest";
import { layOver } from "../picture/overlay";
import type { Pipeline } from "../pipeline";
import { countSteps } from "../pipeline/generation_request";
import type { GenerationRequest } from "../pipeline/generation_request";
import { countEncodings } from "../pipeline/picture_latents";
import type { Costs, DrawingStages, ProgressMeter } from "../pipeline/progress_meter";
import { meterDrawing } from "../pipeline/progress_meter";
import { followFirstPass } from "../pipeline/second_pass";
import { throwIfAborted } from "../util/errors";

/**
 * Make a meter for each pass of a request. The events of the second one say that they are of it.
 *
 * @param evicted roles of the stages that load their parameters first.
 * @param costs measured in earlier calls.
 */
export function meterPasses(
  manifest: Manifest,
  request: GenerationRequest,
  evicted: readonly Role[],
  costs: Costs,
  report: OnProgress,
): [first: ProgressMeter, second?: ProgressMeter] {
  const { steps, size, picture, secondPass, safetyChecker } = request;
  const run =
    picture === undefined
      ? steps
      : countSteps(steps, picture.strength, manifest.noise_schedule.kind);
  const meter = (runSteps: number, each: OnProgress, more: DrawingStages): ProgressMeter =>
    meterDrawing(manifest, runSteps, evicted, costs, each, more);
  const encodings = countEncodings(manifest, request);
  if (secondPass === undefined) return [meter(run, report, { checks: safetyChecker, encodings })];
  const work = [
    run * size[0] * size[1],
    secondPass.runSteps * secondPass.size[0] * secondPass.size[1],
  ];
  const progress = new CallProgress(report);
  const first = progress.phase(work[0]! / (work[0]! + work[1]!));
  let second: OnProgress | undefined;
  return [
    meter(run, first, { encodings }),
    meter(
      secondPass.runSteps,
      // A phase begins where the one before it has ended.
      (event) => (second ??= progress.phase())({ ...event, pass: 2 }),
      {
        checks: safetyChecker,
        encodings: secondPass.upscale === "picture" ? request.indices.length : 0,
      },
    ),
  ];
}

/**
 * Draw a request: with its second pass, and with what a mask keeps of the given picture put back.
 *
 * @param onStage of the first pass, and of the second one.
 * @throws what `Pipeline.generate` throws.
 */
export async function drawAll(
  pipeline: Pick<Pipeline, "manifest" | "generate">,
  request: GenerationRequest,
  [onFirst, onSecond = onFirst]: readonly [OnStage, OnStage?],
  signal: AbortSignal,
): Promise<GenerationResult> {
  const { secondPass, overlay } = request;
  if (secondPass === undefined && overlay === undefined) {
    return pipeline.generate(request, onFirst, signal);
  }
  // Files are written when the pictures are finished.
  const pass: GenerationRequest = { ...request, output: "imageData" };
  let result = (await pipeline.generate(pass, onFirst, signal)) as GenerationResult<ImageData>;
  if (secondPass !== undefined) {
    throwIfAborted(signal);
    const follow = followFirstPass(pipeline.manifest, pass, result);
    const second = (await pipeline.generate(follow, onSecond, signal)) as typeof result;
    // The settings of the first pass name the second one too.
    const { settings, imageSettings } = result;
    const timings = addTimings(result.timings, second.timings);
    result = { ...second, timings, settings, imageSettings };
  }
  if (overlay !== undefined) {
    const images = result.images.map((image) => layOver(image, overlay));
    result = { ...result, images, image: images[0]! };
  }
  return request.output === "blob" ? toBlobs(result) : result;
}

/** Add the times of two passes; the first preview is that of the first pass that shows one. */
function addTimings(first: Timings, second: Timings): Timings {
  const { encode } = second;
  return {
    text: first.text + second.text,
    denoise: first.denoise + second.denoise,
    firstPreview:
      first.firstPreview ??
      (second.firstPreview === null ? null : first.total + second.firstPreview),
    decode: first.decode + second.decode,
    total: first.total + second.total,
    ...(encode === undefined ? {} : { encode }),
  };
}
