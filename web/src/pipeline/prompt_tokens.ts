/** Turns prompts into chunks of token ids with a weight each, as the text encoders take them. */

import type { PromptSyntax } from "../api/options";
import type { WeightedText } from "../settings/prompt_syntax";
import { parseWeights } from "../settings/prompt_syntax";
import { COMMA_BACKTRACK } from "../util/constants.generated";
import type { AddedToken } from "./added_tokens";
import type { TextTokenizer, Tokens } from "./clip_tokenizer";
import type { InversionWord } from "./inversion";

/** As much of a prompt as a text encoder takes at once. */
export interface Chunk extends Tokens {
  /** What each token's embedding is multiplied by; undefined if all of them stay as they are. */
  weights: Float32Array | undefined;
  /** Vectors that are read in place of those that the table has for their ids. */
  rows: Map<number, Float32Array>;
}

/** A prompt as token ids. */
export interface PromptTokens {
  /** At least one. */
  chunks: Chunk[];
  /**
   * How many tokens the text has, without those that begin and end a chunk; a chunk that others follow
   * counts as full. Some tokens may be cut.
   */
  count: number;
  /** The words that were cut. */
  cut: string;
}

/**
 * Turn a prompt into token ids and weights.
 *
 * In the a1111 syntax the parts of each weight are tokenized by themselves, and a long text becomes
 * several chunks, as in the web UI (modules/sd_hijack_clip.py): a chunk begins at `BREAK`, or where
 * the one before it is full, and then behind the last comma if that is near. A plain text has one.
 *
 * @param inversions words for which vectors stand.
 * @param most the most chunks; what is beyond them is cut.
 * @throws OptionError for a prompt that cannot be read in its syntax.
 */
export function tokenizePrompt(
  tokenizer: TextTokenizer,
  text: string,
  syntax: PromptSyntax,
  inversions: readonly InversionWord[] = [],
  most = 1,
): PromptTokens {
  const { capacity } = tokenizer;
  const words = inversions.map(({ token }, index) => addedToken(token, -1 - index));
  const read = (part: string): Place[][] =>
    tokenizer.encode(part, words).map((id) => {
      const inversion = inversions[-1 - id];
      if (inversion === undefined) return [id];
      return Array.from({ length: inversion.count }, (_, vector) => ({ inversion, vector }));
    });
  if (syntax === "plain") {
    const places = read(text).flat();
    const kept = weighed(places.slice(0, capacity), 1);
    return {
      chunks: [completeChunk(kept, tokenizer)],
      count: places.length,
      cut: describePlaces(places.slice(capacity), tokenizer),
    };
  }
  // AND was refused in prompts when the request was resolved; in negative ones it is a word.
  const parts = parseWeights(text, "prompt", "negative");
  const all = splitChunks(parts, read, tokenizer, most);
  const cut = all.slice(most).flatMap((chunk) => chunk.map(({ place }) => place));
  return {
    chunks: all.slice(0, most).map((chunk) => completeChunk(chunk, tokenizer)),
    count: (all.length - 1) * capacity + all.at(-1)!.length,
    cut: describePlaces(cut, tokenizer),
  };
}

/** A chunk of the empty text. */
export function emptyChunk(tokenizer: TextTokenizer): Chunk {
  return completeChunk([], tokenizer);
}

/** A token's id, or one of the vectors that stand for a word. */
type Place = number | { inversion: InversionWord; vector: number };

interface WeighedPlace {
  place: Place;
  weight: number;
}

function weighed(places: readonly Place[], weight: number): WeighedPlace[] {
  return places.map((place) => ({ place, weight }));
}

/**
 * Split a text into chunks of at most as many tokens as the encoder takes.
 *
 * @param read gives the places of each token of a text: several for a word of several vectors.
 * @param most in this one and what follows it nothing is moved, so that as much as possible is read.
 */
function splitChunks(
  parts: readonly WeightedText[],
  read: (text: string) => Place[][],
  { capacity, encode }: TextTokenizer,
  most: number,
): WeighedPlace[][] {
  const [comma, ...others] = encode(",");
  const all: WeighedPlace[][] = [[]];
  let current = all[0]!;
  let lastComma = -1;
  const begin = (places: WeighedPlace[] = []): void => {
    current = places;
    all.push(current);
    lastComma = -1;
  };
  for (const { text, weight, newChunk } of parts) {
    if (newChunk) begin();
    for (const places of read(text)) {
      const full = current.length === capacity;
      if (places[0] === comma && others.length === 0) {
        lastComma = current.length;
      } else if (full && lastComma >= 0 && all.length < most) {
        // The phrase behind the comma goes with what follows it.
        if (current.length - lastComma <= COMMA_BACKTRACK) begin(current.splice(lastComma + 1));
      }
      // A word of several vectors is not divided, unless no chunk has room for it.
      const needed = places.length <= capacity && all.length < most ? places.length : 1;
      if (current.length + needed > capacity) begin();
      for (const each of weighed(places, weight)) {
        if (current.length === capacity) begin();
        current.push(each);
      }
    }
  }
  // The web UI begins no chunk where there are no words for it.
  if (current.length === 0 && all.length > 1) all.pop();
  return all;
}

/** Add what begins, ends and fills a chunk, and weighs 1. */
function completeChunk(places: readonly WeighedPlace[], tokenizer: TextTokenizer): Chunk {
  const { ids, rows } = giveIds(
    places.map(({ place }) => place),
    tokenizer,
  );
  const tokens = tokenizer.complete(ids);
  const weights = new Float32Array(tokens.ids.length).fill(1);
  weights.set(
    places.map(({ weight }) => weight),
    tokenizer.begins,
  );
  const isWeighted = places.some(({ weight }) => weight !== 1);
  return { ...tokens, weights: isWeighted ? weights : undefined, rows };
}

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

/** The part of joined states that is of one encoder. */
export interface StatesBlock {
  /** Its columns: from this one up to the other. */
  from: number;
  to: number;
  /** Its first row; 0 unless given. */
  row?: number | undefined;
  /** Columns of the joined states; as many as make one row for each weight unless given. */
  width?: number | undefined;
}

/**
 * Multiply the states of a text encoder by the weights of its tokens, and bring their mean back to
 * what it was, as the web UI's emphasis "Original" does.
 *
 * @param states float32, (rows, width), flat; changed in place.
 * @param weights one for each token.
 * @param block the part of the states that is of the encoder; all of it unless given. Zeros in it,
 *   which pad the states of an encoder, change nothing.
 */
export function weighStates(
  states: Float32Array,
  weights: Float32Array,
  block: StatesBlock = { from: 0, to: states.length / weights.length },
): void {
  const { from, to, row: first = 0, width = states.length / weights.length } = block;
  let before = 0;
  let after = 0;
  for (const [row, weight] of weights.entries()) {
    const start = (first + row) * width;
    for (let at = start + from; at < start + to; at++) {
      before += states[at]!;
      states[at]! *= weight;
      after += states[at]!;
    }
  }
  const factor = before / after;
  // A mean of 0 cannot be brought back.
  if (!Number.isFinite(factor)) return;
  for (let row = first; row < first + weights.length; row++) {
    for (let at = row * width + from; at < row * width + to; at++) states[at]! *= factor;
  }
}
