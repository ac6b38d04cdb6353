/** Sentences of the gallery, and of settings from elsewhere, in the language of the page. */

import type { Strings } from "./index";
import { text } from "./index";

export type GalleryStrings = Strings["gallery"];

/** The sentences of the language that is chosen now. */
export function galleryText(): GalleryStrings {
  return text().gallery;
}
