/** Turns prompts into token ids with a weight each, as the text encoders take them. */

import type { PromptSyntax } from "../api/options";
import { parseWeights } from "../settings/prompt_syntax";
import type { TextTokenizer, Tokens } from "./clip_tokenizer";

/** A prompt as token ids. */
export interface PromptTokens extends Tokens {
  /** What each token's embedding is multiplied by; undefined if all of them stay as they are. */
  weights: Float32Array | undefined;
  /** How many tokens the text has, without those that begin and end it; some may be cut. */
  count: number;
  /** The ids that were cut. */
  cut: number[];
}

/**
 * Turn a prompt into token ids and weights.
 *
 * In the a1111 syntax the parts of each weight are tokenized by themselves, as the web UI does.
 *
 * @throws OptionError for a prompt that cannot be read in its syntax.
 */
export function tokenizePrompt(
  tokenizer: TextTokenizer,
  text: string,
  syntax: PromptSyntax,
): PromptTokens {
  // AND was refused in prompts when the request was resolved; in negative ones it is a word.
  const parts =
    syntax === "plain" ? [{ text, weight: 1 }] : parseWeights(text, "prompt", "negative");
  const ids: number[] = [];
  const weights: number[] = [];
  for (const part of parts) {
    for (const id of tokenizer.encode(part.text)) {
      ids.push(id);
      weights.push(part.weight);
    }
  }
  const kept = weights.slice(0, tokenizer.capacity);
  const tokens = tokenizer.complete(ids);
  const weighted = kept.some((weight) => weight !== 1);
  return {
    ...tokens,
    weights: weighted ? aroundText(kept, tokens.ids.length) : undefined,
    count: ids.length,
    cut: ids.slice(tokenizer.capacity),
  };
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
