/** The language of the page: which one is chosen, its sentences, and how the page is filled. */

import { readStored, writeStored } from "../local_storage";
import { arabic } from "./arabic";
import type { Strings } from "./english";
import { english } from "./english";
import { german } from "./german";
import type { Writer } from "./writer";
import { createWriter } from "./writer";

export type { Strings } from "./english";
export type { Writer } from "./writer";

/** The languages: their own names, their sentences, and the direction that they are written in. */
export const LANGUAGES = {
  en: { name: "English", make: english, direction: "ltr" },
  de: { name: "Deutsch", make: german, direction: "ltr" },
  ar: { name: "العربية", make: arabic, direction: "rtl" },
} as const satisfies Record<
  string,
  { name: string; make: (writer: Writer) => Strings; direction: "ltr" | "rtl" }
>;

export type Language = keyof typeof LANGUAGES;

/** Where the visitor's choice is kept in the browser. */
const KEPT = "wsd-language";

const listeners: (() => void)[] = [];
let language: Language = "en";
let writer = createWriter("en");
let sentences = english(writer);

/** The sentences of the language that is chosen now. */
export function text(): Strings {
  return sentences;
}

/** What writes numbers, sizes and times in the language that is chosen now. */
export function write(): Writer {
  return writer;
}

/** A sentence; a function writes it again when the visitor chooses another language. */
export type Sentence = string | (() => string);

/** Write a sentence in the language that is chosen now. */
export function inWords(sentence: Sentence): string {
  return typeof sentence === "string" ? sentence : sentence();
}

/** The language that is chosen now. */
export function currentLanguage(): Language {
  return language;
}

/** Call a function whenever the visitor chooses another language. */
export function onLanguage(listener: () => void): void {
  listeners.push(listener);
}

/**
 * Choose the first language that the page has of those that the visitor prefers.
 *
 * @param kept what the visitor chose on an earlier visit, if they did.
 * @param preferred the browser's languages, the preferred one first.
 * @returns the language, and the tag by which numbers are written, which may name a country too.
 */
export function findLanguage(
  kept: string | null,
  preferred: readonly string[],
): { language: Language; locale: string } {
  const wanted = kept === null ? preferred : [kept, ...preferred];
  const found = wanted.map((tag) => tag.toLowerCase().split("-")[0]!).find(isLanguage) ?? "en";
  const locale = preferred.find((tag) => tag.toLowerCase().split("-")[0] === found) ?? found;
  return { language: found, locale };
}

function isLanguage(tag: string): tag is Language {
  return Object.hasOwn(LANGUAGES, tag);
}

/** Take up the visitor's language; call it before anything is written. */
export function startLanguage(): void {
  use(findLanguage(readStored(KEPT), navigator.languages));
}

/** Change the language, and keep the choice for the next visit. */
export function chooseLanguage(chosen: Language): void {
  writeStored(KEPT, chosen);
  use(findLanguage(chosen, navigator.languages));
  for (const listener of listeners) listener();
}

function use(found: { language: Language; locale: string }): void {
  ({ language } = found);
  writer = createWriter(found.locale, LANGUAGES[language].direction);
  sentences = LANGUAGES[language].make(writer);
  document.documentElement.lang = language;
  document.documentElement.dir = LANGUAGES[language].direction;
  fillPage(document);
}

/** The attributes that take a sentence, by the data attribute that names the sentence. */
const ATTRIBUTES = { label: "aria-label", placeholder: "placeholder", title: "title" } as const;

/** Find a sentence by its name, for example `privacy` or `given.fits.cover`. */
function sentenceOf(name: string): unknown {
  let found: unknown = sentences;
  for (const key of name.split(".")) found = (found as Record<string, unknown> | undefined)?.[key];
  return found;
}

/** Write the sentences into the elements that name them, for example `<p data-text="privacy">`. */
export function fillPage(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-text]")) {
    const sentence = sentenceOf(element.dataset.text!);
    if (typeof sentence === "string") element.textContent = sentence;
  }
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of root.querySelectorAll<HTMLElement>(`[data-${name}]`)) {
      const sentence = sentenceOf(element.dataset[name]!);
      if (typeof sentence === "string") element.setAttribute(attribute, sentence);
    }
  }
}
