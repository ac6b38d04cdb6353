/**
 * Finds a tokenizer's added tokens in a text, as Hugging Face's tokenizers does in Rust.
 *
 * The JavaScript library also finds a token in a text that equals its content only after
 * lowercasing, and it does not know `single_word`; both change token ids.
 *
 * Source: huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs.
 */

/** An entry of `added_tokens` in tokenizer.json. */
export interface AddedToken {
  id: number;
  content: string;
  /** The token matches only where no letter or digit touches it. */
  single_word: boolean;
  /** The token takes the white space on its left with it. */
  lstrip: boolean;
  /** The token takes the white space on its right with it. */
  rstrip: boolean;
  /** True if the token is looked for in the normalized text, false if in the text as it is. */
  normalized: boolean;
}

/** A token's id, or a text in which no added token is. */
type Piece = number | string;

/** Splits a text at added tokens. */
export type Split = (text: string) => Piece[];

const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/**
 * Make a function that splits a text at added tokens, from left to right, the longest first.
 *
 * @param tokens those to look for.
 * @param normalize changes a token's content as the texts that are split were changed.
 */
export function splitAt(tokens: AddedToken[], normalize = (text: string): string => text): Split {
  const sought = tokens
    .map((token) => ({ ...token, content: normalize(token.content) }))
    .filter(({ content }) => content !== "")
    .sort((one, other) => other.content.length - one.content.length);
  return (text) => {
    const pieces: Piece[] = [];
    let done = 0;
    let at = 0;
    while (at < text.length) {
      const found = sought.find(({ content }) => text.startsWith(content, at));
      if (found === undefined) {
        at += 1;
        continue;
      }
      let [start, end] = [at, at + found.content.length];
      at = end;
      if (found.single_word && touchesWord(text, start, end)) continue;
      if (found.lstrip) while (start > done && SPACE.test(text[start - 1]!)) start -= 1;
      if (found.rstrip) while (end < text.length && SPACE.test(text[end]!)) end += 1;
      if (done < start) pieces.push(text.slice(done, start));
      pieces.push(found.id);
      done = end;
    }
    if (done < text.length) pieces.push(text.slice(done));
    return pieces;
  };
}

/** Say whether a letter, digit or the like stands beside a part of a text. */
function touchesWord(text: string, start: number, end: number): boolean {
  // Two units on either side hold a whole character beyond the basic plane.
  const before = text.slice(Math.max(0, start - 2), start);
  return WORD_BEFORE.test(before) || WORD_AFTER.test(text.slice(end, end + 2));
}
