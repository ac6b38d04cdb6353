/** The settings that the pictures of a request carry. */

import type { Manifest } from "../bundle/manifest";
import type { Settings } from "../settings/infotext";
import type { GenerationRequest } from "./generation_request";

/**
 * Return the settings that one picture carries: all that is needed to draw it again.
 *
 * @param image its index in the batch.
 */
export function describeRequest(
  manifest: Manifest,
  request: GenerationRequest,
  image: number,
): Settings {
  const { prompts, negativePrompts, embeddings, latents } = request;
  const prompt = Math.floor(image / request.imagesPerPrompt);
  const [width, height] = request.size;
  const given = [...(latents === undefined ? [] : ["latents"]), ...Object.keys(embeddings)];
  return {
    prompt: prompts?.[prompt] ?? "",
    negativePrompt: negativePrompts?.[prompt],
    steps: request.steps,
    scheduler: request.scheduler,
    guidanceScale: request.guidanceScale,
    seed: request.seed,
    width,
    height,
    model: manifest.model.name,
    eta: request.eta,
    numImages: request.batch,
    imageIndex: image,
    ...(given.length === 0 ? {} : { given }),
  };
}
