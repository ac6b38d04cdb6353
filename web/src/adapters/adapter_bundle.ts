/** Reads adapter.json, the small manifest of an adapter bundle that `wsd lora` makes. */

import type { FileEntry } from "../bundle/manifest";
import { isName } from "../bundle/paths";
import { LoraError } from "../util/errors";
import { nameOf } from "../util/secrets";
import { clipWords } from "./trigger_words";

/** The version of the format that this program reads. */
const VERSION = 1;
const SHA256 = /^[0-9a-f]{64}$/;

/** What a page needs of it. */
export interface AdapterBundle {
  name: string;
  /** The .safetensors file, beside it. */
  file: FileEntry;
  triggerWords: string[];
}

/** The largest file that is read, in bytes: what browsers give as one buffer. */
export const MOST_BYTES = 2 ** 31 - 1;

/**
 * Parse an adapter.json.
 *
 * @throws LoraError if the text is none, or names a file that cannot lie beside it.
 */
export function parseAdapterBundle(text: string, url: string): AdapterBundle {
  const { version, name, file, bytes, sha256, trigger_words: words } = parse(text, url);
  if (version !== VERSION) {
    throw new LoraError(
      `${nameOf(url)} is no adapter.json of version ${VERSION}`,
      "give the address of a .safetensors file, or of what wsd lora of this version made",
    );
  }
  const isPlaced =
    isName(file) &&
    Number.isSafeInteger(bytes) &&
    (bytes as number) > 0 &&
    (bytes as number) <= MOST_BYTES &&
    SHA256.test(String(sha256));
  if (!isPlaced || typeof name !== "string") {
    throw new LoraError(
      `${nameOf(url)} names a file that cannot lie beside it`,
      "do not use it: wsd verify says what is wrong with it",
    );
  }
  const texts = Array.isArray(words) ? words.filter((word) => typeof word === "string") : [];
  const triggerWords = clipWords(texts);
  const entry = { file, bytes: bytes as number, sha256: sha256 as string };
  return { name, file: entry, triggerWords };
}

function parse(text: string, url: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    // What browsers throw quotes the text, which may be a server's answer about a token.
    throw new LoraError(`${nameOf(url)} is not JSON`, "the address must be an adapter.json's");
  }
}
