/** CLIP's tokenizer: turns a text into exactly as many token ids as the text encoder takes. */

import { Tokenizer } from "@huggingface/tokenizers";

import type { TokenizerEntry } from "../bundle/manifest";

/** A text as token ids. */
export interface Tokens {
  /** Token ids, padded or cut to the length that the text encoder takes. */
  ids: Int32Array;
  /** Index of the first end-of-text token. */
  end: number;
}

/** Turns a text into token ids. */
export type Tokenize = (text: string) => Tokens;

/**
 * Make a tokenizer.
 *
 * @param json text of the bundle's tokenizer.json.
 * @param entry the manifest's entry of that file: length and special tokens.
 */
export function createTokenizer(json: string, entry: TokenizerEntry): Tokenize {
  const tokenizer = new Tokenizer(JSON.parse(json) as object, {});
  return (text) => {
    const ids = tokenizer.encode(text).ids;
    const padded = new Int32Array(entry.max_length).fill(entry.pad_token_id);
    padded.set(ids.slice(0, entry.max_length));
    // A text that is cut still ends with the end-of-text token, as in transformers.
    if (ids.length > entry.max_length) padded[entry.max_length - 1] = entry.eos_token_id;
    return { ids: padded, end: padded.indexOf(entry.eos_token_id) };
  };
}
