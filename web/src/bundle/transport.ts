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

/**
 * Say how files are fetched.
 *
 * @param options checked before, with `FETCH_CHECKS`; the headers are checked here.
 * @throws OptionError if the headers are not valid.
 */
export function makeTransport({ fetch, headers, credentials }: FetchOptions = {}): Transport {
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
 * @throws OptionError if they are not valid headers.
 */
export function plainHeaders(headers: HeadersInit | undefined): [string, string][] {
  try {
    return [...new Headers(headers)];
  } catch {
    // What browsers throw quotes the value, which may be a token.
    throw new OptionError(
      `headers are not valid${faultOfHeaders(headers)}`,
      'give an object of names and values, such as { Authorization: "Bearer …" }',
    );
  }
}

/** Say which header is not valid, without its value; nothing if that cannot be said. */
function faultOfHeaders(headers: unknown): string {
  if (typeof headers !== "object" || headers === null) return "";
  const pairs: unknown[] = Array.isArray(headers) ? headers : Object.entries(headers);
  const bad = pairs.findIndex((pair) => !isValid([pair]));
  const pair = pairs[bad];
  if (!Array.isArray(pair) || pair.length !== 2) return "";
  const name: unknown = pair[0];
  // A header whose name is not valid may have its value there.
  return isValid([[name, ""]])
    ? `: the value of ${String(name)} has characters that HTTP does not allow`
    : `: HTTP does not allow the name of header ${bad + 1}`;
}

function isValid(headers: unknown): boolean {
  try {
    new Headers(headers as HeadersInit);
    return true;
  } catch {
    return false;
  }
}
