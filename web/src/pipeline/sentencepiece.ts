/**
 * Normalizes and splits texts for Unigram models such as T5's, as Hugging Face's tokenizers does in
 * Rust. The JavaScript library has NFKC in place of a model's own table of characters, takes other
 * characters for white space, and does not split at a "▁" that a text already has.
 *
 * Sources: huggingface/spm_precompiled, src/lib.rs; huggingface/tokenizers,
 * tokenizers/src/normalizers/precompiled.rs and tokenizers/src/pre_tokenizers/metaspace.rs.
 */

/** Graphemes of at least this many bytes are looked up one character after the other. */
const LONG_GRAPHEME = 6;

/**
 * Make the normalizer of a "Precompiled" table.
 *
 * The table is a double array (Yata et al. 2007, as darts-clone stores it) of byte sequences, and
 * the texts that take their places, each with a zero at its end.
 *
 * @param charsmap of tokenizer.json, in base64: the array's length in bytes, the array, the texts.
 */
export function makePrecompiled(charsmap: string): (text: string) => string {
  const bytes = Uint8Array.from(atob(charsmap), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const length = view.getUint32(0, true);
  const units = Uint32Array.from({ length: length / 4 }, (_, at) =>
    view.getUint32(4 + 4 * at, true),
  );
  const texts = bytes.subarray(4 + length);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const graphemes = new Intl.Segmenter("und", { granularity: "grapheme" });

  /** Return what takes the place of a text's shortest beginning that the table has. */
  const lookUp = (key: Uint8Array): string | undefined => {
    let at = offsetOf(units[0]!);
    for (const byte of key) {
      if (byte === 0) return undefined;
      at ^= byte;
      const unit = units[at];
      if (unit === undefined || labelOf(unit) !== byte) return undefined;
      at ^= offsetOf(unit);
      if (((unit >>> 8) & 1) === 1) {
        const start = units[at]! & 0x7fffffff;
        const end = texts.indexOf(0, start);
        return decoder.decode(texts.subarray(start, end === -1 ? undefined : end));
      }
    }
    return undefined;
  };
  const replace = (grapheme: string): string => {
    const key = encoder.encode(grapheme);
    const whole = key.length < LONG_GRAPHEME ? lookUp(key) : undefined;
    if (whole !== undefined) return whole;
    return Array.from(grapheme, (one) => lookUp(encoder.encode(one)) ?? one).join("");
  };
  return (text) => Array.from(graphemes.segment(text), ({ segment }) => replace(segment)).join("");
}

function labelOf(unit: number): number {
  return (unit & 0x800000ff) >>> 0;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

/**
 * Split a text at white space and before each replacement of a space, with which each word begins:
 * "WhitespaceSplit" and "Metaspace" with the scheme "always".
 */
export function splitWords(text: string, replacement: string): string[] {
  return text
    .split(/\p{White_Space}+/u)
    .filter((word) => word !== "")
    .map((word) => (word.startsWith(replacement) ? word : replacement + word))
    .flatMap((word) =>
      word.split(replacement).flatMap((part, at) => (at === 0 ? [] : [replacement + part])),
    );
}
