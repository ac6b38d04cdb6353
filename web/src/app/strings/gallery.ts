/** Sentences of the gallery, and of settings from elsewhere, in the language of the page. */

import { galleryArabic } from "./gallery_arabic";
import type { GalleryStrings } from "./gallery_english";
import { galleryEnglish } from "./gallery_english";
import { galleryGerman } from "./gallery_german";
import type { Language, Writer } from "./index";
import { currentLanguage, write } from "./index";

const MAKERS: Record<Language, (writer: Writer) => GalleryStrings> = {
  en: galleryEnglish,
  de: galleryGerman,
  ar: galleryArabic,
};

/** The sentences of the language that is chosen now. */
export function galleryText(): GalleryStrings {
  return MAKERS[currentLanguage()](write());
}
