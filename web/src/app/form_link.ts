/** Addresses of the page that carry settings, after the `#`: browsers send that to no server. */

import type { LinkValues, Settings } from "../index";
import { formatLink, parseSettings, writeLoraTags } from "../index";
import type { Field } from "./dropped_settings";
import type { Sentence } from "./strings";
import { galleryText } from "./strings/gallery";

/** Make the page's address that fills the form with values. */
export function formLink(fields: Partial<Record<Field, string>>, model: string): string {
  const address = new URL(location.pathname, location.href);
  if (model !== "") address.searchParams.set("model", model);
  const { images = "1", image = "", ...others } = fields;
  const batch = images === "1" ? {} : { images, image };
  address.hash = formatLink({ ...others, ...batch });
  return address.href;
}

/** Make the page's address that fills the form with a picture's settings, as its PNG has them. */
export function pictureLink(text: string): string {
  const settings = parseSettings(text);
  return formLink(linkValues(settings), settings.model ?? "");
}

function linkValues(settings: Partial<Settings>): LinkValues {
  const { width, height, numImages = 1, imageIndex = 0 } = settings;
  const texts = {
    prompt: settings.prompt && writeLoraTags(settings.prompt, settings.loras ?? []),
    negative: settings.negativePrompt,
    promptSyntax: settings.promptSyntax === "a1111" ? "a1111" : undefined,
    prompt2: settings.prompt2,
    negative2: settings.negativePrompt2,
    prompt3: settings.prompt3,
    negative3: settings.negativePrompt3,
    clipSkip: settings.clipSkip?.toString(),
    cacheInterval: settings.cacheInterval?.toString(),
    seed: settings.seed?.toString(),
    steps: settings.steps?.toString(),
    guidance: settings.guidanceScale?.toString(),
    scheduler: settings.scheduler,
    size: width === undefined || height === undefined ? undefined : `${width}x${height}`,
    ...pictureValues(settings),
    ...(numImages > 1 ? { images: String(numImages), image: String(imageIndex + 1) } : {}),
  };
  const present = Object.entries(texts).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present);
}

/** What a link carries of a start picture, a second pass and a variation; never a picture. */
function pictureValues(settings: Partial<Settings>): LinkValues {
  const { secondPass: second } = settings;
  return {
    strength: settings.strength?.toString(),
    fit: settings.fit,
    maskBlur: settings.maskBlur?.toString(),
    maskedContent: settings.maskedContent,
    onlyMasked: settings.onlyMasked === true ? settings.onlyMaskedPadding?.toString() : undefined,
    // A picture's settings have it only if it is so; in a link, what is absent stays as it is.
    keepUnmasked:
      settings.maskedContent === undefined ? undefined : String(settings.keepUnmasked === true),
    variationSeed: settings.variationSeed?.toString(),
    variationStrength: settings.variationStrength?.toString(),
    ...(second === undefined
      ? {}
      : {
          secondPass: String(second.width / settings.width!),
          secondStrength: second.strength.toString(),
          secondSteps: second.steps.toString(),
          upscale: second.upscale,
        }),
  } as LinkValues;
}

/** Copy a link to the clipboard, and say whether the browser let the page do that. */
export async function copyToClipboard(
  link: string,
  say: (sentence: Sentence) => void,
): Promise<void> {
  try {
    await navigator.clipboard.writeText(link);
    say(() => galleryText().linkCopied);
  } catch {
    say(() => galleryText().linkFailed(link));
  }
}
