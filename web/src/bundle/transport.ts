/** How a bundle's files are asked for: by the browser's `fetch` or by the caller's. */

import type { FetchFunction, FetchOptions } from "../api/load_options";
import { OptionError } from "../util/errors";

/** Sends requests, the same way for all files of a bundle. */
export interface Transport {
  fetch: FetchFunction;
  /** Whether it is the caller's own function. */
  custom: boolean;
  /** Headers of every request. */
  headers: [string, string][];
  credentials: RequestCredentials | undefined;
}

const CREDENTIALS: readonly unknown[] = ["omit", "same-origin", "include"];

/**
 * Check how files shall be fetched.
 *
 * @throws OptionError if an option is not what it must be.
 */
export function makeTransport({ fetch, headers, credentials }: FetchOptions = {}): Transport {
  if (fetch !== undefined && typeof fetch !== "function") {
    throw new OptionError(
      `fetch is of the type ${typeof fetch}`,
      "give a function that takes an address and RequestInit, and resolves to a Response",
    );
  }
  if (credentials !== undefined && !CREDENTIALS.includes(credentials)) {
    throw new OptionError(
      `credentials is ${JSON.stringify(credentials)}`,
      `it must be one of ${CREDENTIALS.join(", ")}`,
    );
  }
  return {
    fetch: fetch ?? ((url, init) => globalThis.fetch(url, init)),
    custom: fetch !== undefined,
    headers: plainHeaders(headers),
    credentials,
  };
}

/**
 * Return headers as pairs of names and values, which can be sent to a worker.
 *
 * @throws OptionError if they are no headers.
 */
export function plainHeaders(headers: HeadersInit | undefined): [string, string][] {
  try {
    return [...new Headers(headers)];
  } catch (cause) {
    throw new OptionError(
      `headers are not valid: ${cause instanceof Error ? cause.message : String(cause)}`,
      'give an object of names and values, such as { Authorization: "Bearer …" }',
      { cause },
    );
  }
}
