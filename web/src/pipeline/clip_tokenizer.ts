/** CLIP's tokenizer: text to exactly as many ids as the text encoder takes. */

import { Tokenizer } from "@huggingface/tokenizers";

import type { TokenizerEntry } from "../bundle/manifest";

export interface Tokens {
  /** As many as the text encoder takes. */
  ids: Int32Array;
  /** Index of the first end token. */
  end: number;
}

export type Tokenize = (text: string) => Tokens;

/** Make a tokenizer from the bundle's tokenizer.json. */
export function createTokenizer(json: string, entry: TokenizerEntry): Tokenize {
  const tokenizer = new Tokenizer(JSON.parse(json) as object, {});
  return (text) => {
    const ids = tokenizer.encode(text).ids;
    const padded = new Int32Array(entry.max_length).fill(entry.pad_token_id);
    padded.set(ids.slice(0, entry.max_length));
    // A text cut short still ends with the end token, as in transformers.
    if (ids.length > entry.max_length) padded[entry.max_length - 1] = entry.eos_token_id;
    return { ids: padded, end: padded.indexOf(entry.eos_token_id) };
  };
}
