/** The settings that the pictures of a request carry. */

import type { Manifest } from "../bundle/manifest";
import type { SecondPassSettings, Settings } from "../settings/infotext";
import type { GenerationRequest, SecondPassRequest, SkipLayerGuidance } from "./generation_request";

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
  const { prompts, negativePrompts, prompts2, negativePrompts2, embeddings, latents } = request;
  const { prompts3, negativePrompts3 } = request;
  const { promptSyntax, conditions, guidanceRescale = 0, clipSkip = 0 } = request;
  const prompt = Math.floor(image / request.imagesPerPrompt);
  const [width, height] = request.size;
  const { picture, pictureSettings, variation, secondPass, loras = [], skipLayers } = request;
  const { guidanceInterval: interval, cacheInterval = 1 } = request;
  const given = [
    ...(latents === undefined ? [] : ["latents"]),
    ...Object.keys(embeddings),
    ...(pictureSettings === undefined ? [] : ["image"]),
    ...(picture?.mask === undefined ? [] : ["mask"]),
    ...usedInversions(request, prompt).map((token) => `textual inversion ${token}`),
  ];
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
    ...(promptSyntax === undefined || promptSyntax === "plain" ? {} : { promptSyntax }),
    ...(prompts2 && { prompt2: prompts2[prompt] }),
    ...(negativePrompts2 && { negativePrompt2: negativePrompts2[prompt] }),
    ...(prompts3 && { prompt3: prompts3[prompt] }),
    ...(negativePrompts3 && { negativePrompt3: negativePrompts3[prompt] }),
    ...(guidanceRescale > 0 ? { guidanceRescale } : {}),
    ...(interval && { guidanceStart: interval.start, guidanceStop: interval.stop }),
    ...(cacheInterval > 1 ? { cacheInterval } : {}),
    ...(skipLayers && describeSkipLayers(skipLayers)),
    ...(clipSkip > 0 ? { clipSkip } : {}),
    ...(conditions && { conditions }),
    ...pictureSettings,
    ...(variation && { variationSeed: variation.seed, variationStrength: variation.strength }),
    ...(secondPass && { secondPass: describeSecondPass(secondPass) }),
    ...(loras.length === 0 ? {} : { loras }),
    ...(given.length === 0 ? {} : { given }),
  };
}

/** The words of textual inversions that a prompt or its negative one has. */
function usedInversions(request: GenerationRequest, prompt: number): string[] {
  const { prompts, prompts2, negativePrompts, negativePrompts2, inversions = [] } = request;
  let text = [prompts, prompts2, negativePrompts, negativePrompts2]
    .map((each) => (each?.[prompt] ?? "").toLowerCase())
    .join("\n");
  const tokens = inversions.map(({ token }) => token);
  // A word that is a part of a longer one counts only where it is not found as that one.
  return tokens
    .sort((one, other) => other.length - one.length)
    .filter((token) => {
      const parts = text.split(token.toLowerCase());
      text = parts.join("\n");
      return parts.length > 1;
    });
}

function describeSkipLayers({ layers, scale, start, stop }: SkipLayerGuidance): Partial<Settings> {
  return {
    skipGuidanceLayers: layers,
    skipLayerGuidanceScale: scale,
    skipLayerGuidanceStart: start,
    skipLayerGuidanceStop: stop,
  };
}

function describeSecondPass(pass: SecondPassRequest): SecondPassSettings {
  const [width, height] = pass.size;
  const { strength, runSteps, upscale } = pass;
  return { width, height, strength, steps: runSteps, upscale };
}
