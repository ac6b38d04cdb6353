/**
 * Reads prompts in the syntax of AUTOMATIC1111's web UI: `(word:1.3)`, `(word)`, `[word]`, escapes.
 *
 * Source: AUTOMATIC1111/stable-diffusion-webui, modules/prompt_parser.py. wsd/runtime/prompt_syntax.py
 * is the same in Python, and a test compares the two. What the web UI does with a prompt and WSD does
 * not is refused by name, so that no picture is silently another one. Reading takes time in
 * proportion to the length of the text.
 */

import { MOST_NESTED_BRACKETS, MOST_PROMPT_WEIGHT } from "../util/constants.generated";
import { OptionError } from "../util/errors";
import { requireString, show } from "../util/option_checks";

/** A part of a prompt, and what its embeddings are multiplied by. */
export interface WeightedText {
  text: string;
  weight: number;
  /** Whether a `BREAK` is before it: it begins a chunk of its own. */
  newChunk: boolean;
}

/** By how much brackets without a number change a weight. */
const ROUND = 1.1;
const SQUARE = 1 / 1.1;

// White space as Python has it: JavaScript's \s has U+FEFF too, and neither U+0085 nor U+001C to
// U+001F. The two character classes of wsd/runtime/prompt_syntax.py are the same.
const SPACE = "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const LETTER = "[\\p{L}\\p{N}_]";
const PIECES = new RegExp(
  `\\\\[()[\\]\\\\]?|[()[\\]]|:${SPACE}*([+-]?[.0-9]+)${SPACE}*\\)|[^\\\\()[\\]:]+|:`,
  "gu",
);
const BREAK = new RegExp(`(?<!${LETTER})BREAK(?!${LETTER})`, "gu");
const AND = new RegExp(`(?<!${LETTER})AND(?!${LETTER})`, "u");
const BEGIN_SPACE = new RegExp(`^${SPACE}+`, "u");
const SPACES = new RegExp(SPACE, "u");
/** What names a LoRA or another network: `<lora:name:0.8>`. */
const TAG = /<([A-Za-z0-9_]+):[^<>]*>/u;
const NUMBER = new RegExp(
  `^${SPACE}*[+-]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?${SPACE}*$`,
  "u",
);
const PLAIN_NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$/u;
/** So many characters after a colon may be a number. */
const LONGEST_NUMBER = 64;

/**
 * Read a prompt with weights.
 *
 * @param name the option, for the error.
 * @param side the web UI joins prompts by `AND`; in negative prompts it is a word.
 * @returns its parts in their order; those beside each other have different weights, or `BREAK`
 *   between them.
 * @throws OptionError for what WSD does not draw: `AND`, LoRA tags, prompts that change between steps;
 *   for weights and brackets out of bounds.
 */
export function parseWeights(
  prompt: string,
  name: string,
  side: "positive" | "negative",
): WeightedText[] {
  refuseTag(prompt, name);
  if (side === "positive" && AND.test(prompt)) {
    throw new OptionError(
      `${name} joins prompts by AND, which this version does not draw`,
      "write one prompt; as a word, write and in small letters",
    );
  }
  refuseEditing(prompt, name);
  const parts = new Weights(name).read(prompt);
  return merge(beginChunks(parts));
}

/** Whether words follow a `BREAK`, so that they need a chunk of their own. */
export function needsChunks(parts: readonly WeightedText[]): boolean {
  const first = parts.findIndex(({ newChunk }) => newChunk);
  return first >= 0 && parts.slice(first).some(({ text }) => !isBlank(text));
}

/** A prompt without the tags of other networks, and the tags. */
export interface SplitPrompt {
  prompt: string;
  tags: string[];
}

/**
 * Take tags such as `<lora:name:0.8>` out of a prompt: the web UI does not read them as text.
 *
 * @throws OptionError if the prompt is not a string.
 */
export function splitTags(prompt: string): SplitPrompt {
  requireString("prompt", prompt);
  const tags: string[] = [];
  const rest = prompt.replaceAll(new RegExp(TAG, "gu"), (tag) => {
    tags.push(tag);
    return "";
  });
  return { prompt: tags.length === 0 ? prompt : rest.trim(), tags };
}

/**
 * Whether the a1111 syntax reads a prompt in another way than the plain one, or refuses it.
 *
 * @throws OptionError if the prompt is not a string.
 */
export function hasSyntax(prompt: string): boolean {
  requireString("prompt", prompt);
  if (/[()[\]\\]/u.test(prompt) || TAG.test(prompt) || AND.test(prompt)) return true;
  // BREAK has the state of a global pattern.
  return prompt.search(BREAK) >= 0;
}

/** A part while its brackets are read; a BREAK has the weight undefined. */
interface Part {
  text: string;
  weight: number | undefined;
}

class Weights {
  private readonly parts: Part[] = [];
  private readonly round: number[] = [];
  private readonly square: number[] = [];

  constructor(private readonly name: string) {}

  read(prompt: string): Part[] {
    for (const { 0: piece, 1: weight } of prompt.matchAll(PIECES)) {
      if (piece.startsWith("\\")) this.parts.push({ text: piece.slice(1), weight: 1 });
      else if (piece === "(") this.open(this.round);
      else if (piece === "[") this.open(this.square);
      else if (weight !== undefined && this.round.length > 0)
        this.multiply(this.round.pop()!, this.toNumber(weight));
      else if (piece === ")" && this.round.length > 0) this.multiply(this.round.pop()!, ROUND);
      else if (piece === "]" && this.square.length > 0) this.multiply(this.square.pop()!, SQUARE);
      else this.addText(piece);
    }
    // What is not closed reaches to the end.
    for (const start of this.round) this.multiply(start, ROUND);
    for (const start of this.square) this.multiply(start, SQUARE);
    for (const { text, weight } of this.parts) this.checkWeight(text, weight);
    return this.parts;
  }

  private open(brackets: number[]): void {
    brackets.push(this.parts.length);
    if (brackets.length <= MOST_NESTED_BRACKETS) return;
    throw new OptionError(
      `${this.name} has more than ${MOST_NESTED_BRACKETS} brackets inside of each other`,
      "remove some; a bracket that is only a character is written with a backslash: \\(",
    );
  }

  private multiply(start: number, factor: number): void {
    for (let at = start; at < this.parts.length; at++) {
      const part = this.parts[at]!;
      if (part.weight !== undefined) part.weight *= factor;
    }
  }

  private addText(text: string): void {
    let start = 0;
    let before = "";
    for (const { index } of text.matchAll(BREAK)) {
      this.parts.push({ text: trimEnd(text.slice(start, index)), weight: 1 });
      this.parts.push({ text: "BREAK", weight: undefined });
      start = index + "BREAK".length;
      before = "BREAK";
    }
    const rest = text.slice(start);
    this.parts.push({ text: before === "" ? rest : rest.replace(BEGIN_SPACE, ""), weight: 1 });
  }

  private toNumber(text: string): number {
    if (PLAIN_NUMBER.test(text)) return Number(text);
    throw new OptionError(
      `${this.name} has the weight ${show(text)}, which is not a number`,
      "write a weight as in (word:1.3)",
    );
  }

  private checkWeight(text: string, weight: number | undefined): void {
    if (weight === undefined || Math.abs(weight) <= MOST_PROMPT_WEIGHT) return;
    throw new OptionError(
      `${this.name} weighs ${show(text)} by ${weight}`,
      `weights are from -${MOST_PROMPT_WEIGHT} to ${MOST_PROMPT_WEIGHT}; useful ones are about 1`,
    );
  }
}

/** Have the part behind each BREAK begin a chunk. */
function beginChunks(parts: readonly Part[]): WeightedText[] {
  const kept: WeightedText[] = [];
  let newChunk = false;
  for (const { text, weight } of parts) {
    if (weight !== undefined) kept.push({ text, weight, newChunk });
    newChunk = weight === undefined;
  }
  return kept;
}

/** Join parts of equal weights that are beside each other: they are one text for the tokenizer. */
function merge(parts: WeightedText[]): WeightedText[] {
  const merged: WeightedText[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (last?.weight === part.weight && !part.newChunk) last.text += part.text;
    else merged.push({ ...part });
  }
  return merged.length === 0 ? [{ text: "", weight: 1, newChunk: false }] : merged;
}

/** @throws OptionError for a tag of a LoRA or another network. */
function refuseTag(prompt: string, name: string): void {
  const tag = TAG.exec(prompt);
  if (tag === null) return;
  throw new OptionError(
    `${name} has the tag ${show(tag[0])}, which is not a part of the text`,
    "leave the tag out of the prompt",
  );
}

/**
 * @throws OptionError for what changes the prompt between steps: `[from:to:when]` and `[one|other]`.
 */
function refuseEditing(prompt: string, name: string): void {
  /** Open brackets: where they begin, and where the last colon is; -1 before the first one. */
  const open: { square: boolean; start: number; colon: number; bar: boolean }[] = [];
  for (let at = 0; at < prompt.length; at++) {
    const character = prompt[at]!;
    const inner = open.at(-1);
    if (character === "\\") at += 1;
    else if (character === "(" || character === "[")
      open.push({ square: character === "[", start: at, colon: -1, bar: false });
    else if (inner === undefined) continue;
    else if (character === ":") inner.colon = at;
    else if (character === "|") inner.bar = true;
    else if (character === (inner.square ? "]" : ")")) {
      open.pop();
      const { square, start, colon, bar } = inner;
      const timed = colon >= 0 && at - colon <= LONGEST_NUMBER;
      if (square && (bar || (timed && NUMBER.test(prompt.slice(colon + 1, at))))) {
        throw new OptionError(
          `${name} has ${show(prompt.slice(start, at + 1))}, which changes the prompt between steps`,
          "this version draws all steps with one prompt; write a weight as in (word:0.8)",
        );
      }
    }
  }
}

/** Whether a text has no token: nothing but white space. */
function isBlank(text: string): boolean {
  return trimEnd(text) === "";
}

/** Cut white space at the end; a pattern would look at each run of white space again and again. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.test(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}
