/** Turns prompts into token ids with a weight each, as the text encoders take them. */

import type { PromptSyntax } from "../api/options";
import { parseWeights } from "../settings/prompt_syntax";
import type { AddedToken } from "./added_tokens";
import type { TextTokenizer, Tokens } from "./clip_tokenizer";
import type { InversionWord } from "./inversion";

/** A prompt as token ids. */
export interface PromptTokens extends Tokens {
  /** What each token's embedding is multiplied by; undefined if all of them stay as they are. */
  weights: Float32Array | undefined;
  /** How many tokens the text has, without those that begin and end it; some may be cut. */
  count: number;
  /** The words that were cut. */
  cut: string;
  /** Vectors that are read in place of those that the table has for their ids. */
  rows: Map<number, Float32Array>;
}

/**
 * Turn a prompt into token ids and weights.
 *
 * In the a1111 syntax the parts of each weight are tokenized by themselves, as the web UI does.
 *
 * @param inversions words for which vectors stand.
 * @throws OptionError for a prompt that cannot be read in its syntax.
 */
export function tokenizePrompt(
  tokenizer: TextTokenizer,
  text: string,
  syntax: PromptSyntax,
  inversions: readonly InversionWord[] = [],
): PromptTokens {
  // AND was refused in prompts when the request was resolved; in negative ones it is a word.
  const parts =
    syntax === "plain" ? [{ text, weight: 1 }] : parseWeights(text, "prompt", "negative");
  const words = inversions.map(({ token }, index) => addedToken(token, -1 - index));
  const places: Place[] = [];
  const weights: number[] = [];
  for (const part of parts) {
    for (const id of tokenizer.encode(part.text, words)) {
      const inversion = inversions[-1 - id];
      const found: Place[] =
        inversion === undefined
          ? [id]
          : Array.from({ length: inversion.count }, (_, vector) => ({ inversion, vector }));
      places.push(...found);
      weights.push(...found.map(() => part.weight));
    }
  }
  const kept = weights.slice(0, tokenizer.capacity);
  const { ids, rows } = giveIds(places.slice(0, tokenizer.capacity), tokenizer);
  // One more than the encoder takes is cut, and the text ends there.
  const tokens = tokenizer.complete(places.length > ids.length ? [...ids, 0] : ids);
  const weighted = kept.some((weight) => weight !== 1);
  return {
    ...tokens,
    weights: weighted ? aroundText(kept, tokens.ids.length) : undefined,
    count: places.length,
    cut: describePlaces(places.slice(tokenizer.capacity), tokenizer),
    rows,
  };
}

/** A token's id, or one of the vectors that stand for a word. */
type Place = number | { inversion: InversionWord; vector: number };

function addedToken(content: string, id: number): AddedToken {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: true };
}

/**
 * Give vectors the ids of tokens that the text does not have: their rows in the table are free while
 * the text is encoded.
 */
function giveIds(
  places: readonly Place[],
  { complete }: TextTokenizer,
): { ids: number[]; rows: Map<number, Float32Array> } {
  const own = places.filter((place) => typeof place === "number");
  // What begins, ends and fills the text is used too.
  const used = new Set<number>([...own, ...complete([]).ids]);
  const rows = new Map<number, Float32Array>();
  const given = new Map<InversionWord, number[]>();
  let next = 0;
  const ids = places.map((place) => {
    if (typeof place === "number") return place;
    const { inversion, vector } = place;
    const known = given.get(inversion) ?? [];
    given.set(inversion, known);
    if (known[vector] !== undefined) return known[vector];
    while (used.has(next)) next += 1;
    const id = next;
    next += 1;
    known[vector] = id;
    const features = inversion.vectors.length / inversion.count;
    rows.set(id, inversion.vectors.subarray(vector * features, (vector + 1) * features));
    return id;
  });
  return { ids, rows };
}

/** Write places as words; a word for which vectors stand is written once. */
function describePlaces(places: readonly Place[], { decode }: TextTokenizer): string {
  const words: string[] = [];
  let ids: number[] = [];
  const flush = (): void => {
    if (ids.length > 0) words.push(decode(ids));
    ids = [];
  };
  for (const [at, place] of places.entries()) {
    if (typeof place === "number") ids.push(place);
    else if (place.vector === 0 || at === 0) {
      flush();
      words.push(place.inversion.token);
    }
  }
  flush();
  return words.join(" ");
}

/** What begins, ends and fills a text weighs 1. */
function aroundText(weights: number[], length: number): Float32Array {
  const all = new Float32Array(length).fill(1);
  all.set(weights, 1);
  return all;
}

/**
 * Multiply the states of a text encoder by the weights of its tokens, and bring their mean back to
 * what it was, as the web UI's emphasis "Original" does.
 *
 * @param states float32, (tokens, width), flat; changed in place.
 * @param weights one for each token.
 * @param columns the part of each row that is of the encoder; all of it unless given.
 */
export function weighStates(
  states: Float32Array,
  weights: Float32Array,
  columns: { from: number; to: number } = { from: 0, to: states.length / weights.length },
): void {
  const width = states.length / weights.length;
  let before = 0;
  let after = 0;
  for (const [row, weight] of weights.entries()) {
    for (let at = row * width + columns.from; at < row * width + columns.to; at++) {
      before += states[at]!;
      states[at]! *= weight;
      after += states[at]!;
    }
  }
  const factor = before / after;
  // A mean of 0 cannot be brought back.
  if (!Number.isFinite(factor)) return;
  for (let row = 0; row < weights.length; row++) {
    for (let at = row * width + columns.from; at < row * width + columns.to; at++) {
      states[at]! *= factor;
    }
  }
}
