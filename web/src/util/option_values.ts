/** Values and defaults of options that have names: the checks, the types and the page share them. */

export { FITS, LONGEST_SIDE, MOST_PIXELS, PROMPT_SYNTAXES } from "./constants.generated";

/** What drawing begins with where a mask is white. */
export const MASKED_CONTENTS = ["original", "noise", "fill"] as const;

/** What a second pass enlarges. */
export const UPSCALES = ["latent", "picture"] as const;

/** Pixels around the mask that are drawn too where only the masked part is: A1111's default. */
export const DEFAULT_MASKED_PADDING = 32;

/** How much a second pass draws anew, and how many times larger it makes each side: A1111's. */
export const DEFAULT_SECOND_STRENGTH = 0.7;
export const DEFAULT_SECOND_SCALE = 2;

/** The largest file of a picture that is read, in bytes. */
export const LARGEST_PICTURE_FILE = 256 * 2 ** 20;
/** The largest radius of a mask's blur, in pixels. */
export const LARGEST_BLUR = 1024;
