/** Tokenizers of CLIP and T5: turn a text into as many token ids as the text encoder takes. */

import { Tokenizer } from "@huggingface/tokenizers";

import type { TokenizerEntry } from "../bundle/manifest";
import type { AddedToken } from "./added_tokens";
import { splitAt } from "./added_tokens";
import { makePrecompiled, splitWords } from "./sentencepiece";

/** A text as token ids. */
export interface Tokens {
  /** Token ids, padded or cut to the length that the text encoder takes. */
  ids: Int32Array;
  /** Index of the first end-of-text token. */
  end: number;
}

/** Turns texts into token ids; {@link createTokenizer} makes it. */
export interface TextTokenizer {
  /** How many ids a text may have, without those that begin and end it. */
  readonly capacity: number;
  /** How many ids begin a text: 1 with CLIP, and 0 with T5. */
  readonly begins: number;
  /** Turn a text into ids: as many as it has, without those that begin and end a text. */
  encode: (text: string, more?: readonly AddedToken[]) => number[];
  /** Add what begins and ends a text to its ids, and pad or cut them. */
  complete: (ids: readonly number[]) => Tokens;
  /** Encode a text, and complete its ids. */
  tokenize: (text: string) => Tokens;
  /** Turn ids into words, as far as the tokenizer's normalisation lets them be known. */
  decode: (ids: readonly number[]) => string;
}

/** A normalizer of tokenizer.json. */
interface Normalizer {
  type: string;
  precompiled_charsmap?: string;
  normalizers?: Normalizer[];
}

/** A pre-tokenizer of tokenizer.json. */
interface PreTokenizer {
  type: string;
  pretokenizers?: PreTokenizer[];
  use_regex?: boolean;
  replacement?: string;
}

/** What is read of tokenizer.json here; the library reads the rest. */
interface TokenizerJson {
  added_tokens: AddedToken[];
  normalizer: Normalizer | null;
  pre_tokenizer: PreTokenizer;
}

/**
 * Make a tokenizer.
 *
 * @param json text of the bundle's tokenizer.json.
 * @param entry the manifest's entry of that file: length and special tokens.
 */
export function createTokenizer(json: string, entry: TokenizerEntry): TextTokenizer {
  const { encode, decode } = createCodec(JSON.parse(json) as TokenizerJson);
  const begin = entry.bos_token_id === undefined ? [] : [entry.bos_token_id];
  const complete = (inner: readonly number[]): Tokens => {
    const ids = [...begin, ...inner, entry.eos_token_id];
    const padded = new Int32Array(entry.max_length).fill(entry.pad_token_id);
    padded.set(ids.slice(0, entry.max_length));
    // A text that is cut still ends with the end-of-text token, as in transformers.
    if (ids.length > entry.max_length) padded[entry.max_length - 1] = entry.eos_token_id;
    return { ids: padded, end: padded.indexOf(entry.eos_token_id) };
  };
  return {
    capacity: entry.max_length - begin.length - 1,
    begins: begin.length,
    encode,
    complete,
    tokenize: (text) => complete(encode(text)),
    decode,
  };
}

/**
 * Return a function that gives a text's token ids, without those that begin and end a text, and one
 * that gives the words of ids.
 */
function createCodec(table: TokenizerJson): Pick<TextTokenizer, "encode" | "decode"> {
  const { added_tokens: added } = table;
  const [charsmap, replacement] = [findCharsmap(table.normalizer), findMetaspace(table)];
  const tokenizer = new Tokenizer(
    {
      ...table,
      added_tokens: [],
      normalizer: charsmap === undefined ? lowercaseEachCharacter(table.normalizer) : null,
      pre_tokenizer: replacement === undefined ? splitAsRust(table.pre_tokenizer) : null,
    },
    {},
  );
  const { normalizer } = tokenizer;
  const normalize =
    charsmap === undefined
      ? (text: string): string => normalizer?.normalize(text) ?? text
      : makePrecompiled(charsmap);
  const splitPiece = (text: string): string[] =>
    replacement === undefined ? [text] : splitWords(text, replacement);
  // The texts between added tokens are normalized here and must not be normalized again, because
  // lowercasing can give characters that a second NFC would compose.
  tokenizer.normalizer = null;
  const splitText = splitAt(added.filter((token) => !token.normalized));
  const normalized = added.filter((token) => token.normalized);
  const splitNormalized = splitAt(normalized, normalize);
  const encode: TextTokenizer["encode"] = (text, more = []) => {
    const split =
      more.length === 0 ? splitNormalized : splitAt([...normalized, ...more], normalize);
    return splitText(text)
      .flatMap((piece) => (typeof piece === "number" ? piece : split(normalize(piece))))
      .flatMap((piece) =>
        typeof piece === "number"
          ? piece
          : splitPiece(piece).flatMap(
              (word) => tokenizer.encode(word, { add_special_tokens: false }).ids,
            ),
      );
  };
  const decode: TextTokenizer["decode"] = (ids) =>
    ids.length === 0
      ? ""
      : tokenizer
          .decode([...ids])
          .replaceAll("</w>", " ")
          .trim();
  return { encode, decode };
}

/** Return a Unigram tokenizer's table of characters; undefined for other tokenizers. */
function findCharsmap(normalizer: Normalizer | null): string | undefined {
  const inner = normalizer?.type === "Sequence" ? normalizer.normalizers! : [normalizer];
  return inner.length === 1 && inner[0]?.type === "Precompiled"
    ? inner[0].precompiled_charsmap
    : undefined;
}

/** Return what "Metaspace" puts in the place of spaces; undefined for other tokenizers. */
function findMetaspace({
  pre_tokenizer: { type, pretokenizers = [] },
}: TokenizerJson): string | undefined {
  const [first, second] = pretokenizers;
  const known = type === "Sequence" && pretokenizers.length === 2;
  return known && first!.type === "WhitespaceSplit" && second!.type === "Metaspace"
    ? second!.replacement
    : undefined;
}

/**
 * Have "Lowercase" treat every character alike, as Hugging Face's tokenizers does in Rust.
 *
 * JavaScript's toLowerCase makes a capital sigma at the end of a word a final sigma, and this is
 * its only rule that looks at the neighbours (Unicode, SpecialCasing.txt). So capital
 * sigmas are replaced by small ones first.
 */
function lowercaseEachCharacter(normalizer: Normalizer | null): Normalizer | null {
  if (normalizer?.type === "Lowercase") {
    const sigma = { type: "Replace", pattern: { String: "\u03a3" }, content: "\u03c3" };
    return { type: "Sequence", normalizers: [sigma, normalizer] };
  }
  const inner = normalizer?.normalizers;
  if (inner === undefined) return normalizer;
  return { type: "Sequence", normalizers: inner.map((each) => lowercaseEachCharacter(each)!) };
}

/** GPT-2's pattern, by which "ByteLevel" splits a text. */
const BYTE_LEVEL =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * Have "ByteLevel" split where it does in Rust: JavaScript's \s takes U+FEFF for white space and
 * U+0085 for none. The library translates \s in the patterns of tokenizer.json, but not in its own.
 */
function splitAsRust(preTokenizer: PreTokenizer): PreTokenizer {
  if (preTokenizer.type === "ByteLevel" && preTokenizer.use_regex !== false) {
    const split = { type: "Split", pattern: { Regex: BYTE_LEVEL }, behavior: "Isolated" };
    return { type: "Sequence", pretokenizers: [split, { ...preTokenizer, use_regex: false }] };
  }
  const inner = preTokenizer.pretokenizers;
  return inner === undefined
    ? preTokenizer
    : { type: "Sequence", pretokenizers: inner.map(splitAsRust) };
}
