/** Whether WebAssembly may run here: a Content-Security-Policy can forbid it. */

import { UnsupportedError } from "../util/errors";

/** The smallest module: a magic number and a version. */
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/**
 * Check that WebAssembly may be compiled here, before megabytes are fetched for it.
 *
 * @throws UnsupportedError if it may not, with the header that allows it.
 */
export function checkWebAssembly(): void {
  try {
    new WebAssembly.Module(EMPTY_MODULE);
  } catch (cause) {
    throw new UnsupportedError(
      "a Content-Security-Policy does not allow WebAssembly here",
      "send this header with the worker's script and with the page, besides what it allows already: " +
        "Content-Security-Policy: script-src 'self' 'wasm-unsafe-eval'",
      { cause },
    );
  }
}
