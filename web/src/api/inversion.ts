/** Textual inversions of a loaded model: what `loadTextualInversion` takes, and what is known of them. */

import type { OnProgress } from "./progress";

/** Options of `loadTextualInversion`. */
export interface InversionOptions {
  /**
   * The word that stands for its vectors in prompts, in capital or small letters. Unless given, the one
   * that the file states, or the file's name without its ending.
   */
  token?: string | undefined;
  /** SHA-256 that its file must have, in lower-case hexadecimal; a file from an address is then kept. */
  sha256?: string | undefined;
  /** Called with the progress of the call; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
  /** Cancels this call. */
  signal?: AbortSignal | undefined;
}

/** A textual inversion that is loaded. */
export interface LoadedInversion {
  /** The word that stands for it. */
  token: string;
  /** How many vectors it has: so many tokens of a prompt it takes. */
  vectors: number;
  /** SHA-256 of its file, in lower-case hexadecimal. */
  sha256: string;
}
