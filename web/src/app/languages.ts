/** The choice of a language in the head of a page. */

import { element, fill } from "./dom";
import type { Language } from "./strings";
import { chooseLanguage, currentLanguage, LANGUAGES, startLanguage } from "./strings";

/** Take up the visitor's language, and let them choose another one. */
export function mountLanguages(): void {
  startLanguage();
  const listed = Object.entries(LANGUAGES).map(([code, { name }]) => [code, name] as const);
  fill("language", [...listed], currentLanguage());
  const select = element<HTMLSelectElement>("language");
  for (const option of select.options) option.lang = option.value;
  select.onchange = () => chooseLanguage(select.value as Language);
}
