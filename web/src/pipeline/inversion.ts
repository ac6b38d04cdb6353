/** Textual inversions: words for which learned vectors stand in the text encoders' tables. */

/** A textual inversion that was read. */
export interface Inversion {
  /** Its word; it is found anywhere in a text, in capital or small letters. */
  token: string;
  /** How many vectors each text encoder has of it. */
  count: number;
  /** By the text encoders' components: float32, (count, features), flat. */
  vectors: Record<string, Float32Array>;
  /** SHA-256 of its file, in lower-case hexadecimal. */
  sha256: string;
}

/** The same for one text encoder: float32, (count, features), flat. */
export type InversionWord = Pick<Inversion, "token" | "count"> & { vectors: Float32Array };
