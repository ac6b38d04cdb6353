/** Textual inversions as the pipeline takes them: words for which learned vectors stand. */

/** A textual inversion: a word, and the vectors that stand for it. */
export interface Inversion {
  token: string;
  /** How many vectors each text encoder has of it. */
  count: number;
  /** By the text encoders' components: float32, (count, features), flat. */
  vectors: Record<string, Float32Array>;
}

/** A word for which vectors stand in a text encoder's table of embeddings. */
export interface InversionWord {
  /** It is found anywhere in a text, in capital or small letters; of two words, the longer one. */
  token: string;
  /** float32, (vectors, features), flat. */
  vectors: Float32Array;
  /** How many tokens stand for it. */
  count: number;
}
