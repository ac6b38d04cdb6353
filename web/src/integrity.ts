/** Fetching files whose digest the manifest states. */

import { FetchError, IntegrityError, throwIfAborted } from "./errors";
import type { FileEntry } from "./manifest";

/** Called with the bytes of a file that have arrived since the last call. */
export type OnBytes = (count: number) => void;

/** Lower-case hexadecimal SHA-256. */
export async function sha256(data: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Fetch a file and check its length and digest before anyone sees it. */
export async function fetchVerified(
  base: string,
  entry: FileEntry,
  onBytes: OnBytes,
  signal?: AbortSignal,
): Promise<ArrayBuffer> {
  const url = new URL(entry.file, base).href;
  const data = await fetchBytes(url, entry.bytes, onBytes, signal);
  const found = await sha256(data);
  if (found !== entry.sha256) {
    throw new IntegrityError(
      `${entry.file}: sha256 mismatch (expected ${entry.sha256.slice(0, 12)}…, ` +
        `got ${found.slice(0, 12)}…)`,
      "reload the page; if it happens again, the server's copy is damaged",
    );
  }
  return data;
}

/** Fetch a small text file. */
export async function fetchText(url: string, signal?: AbortSignal): Promise<string> {
  const response = await request(url, signal);
  return response.text();
}

async function request(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, signal === undefined ? {} : { signal });
  } catch (cause) {
    throwIfAborted(signal);
    throw new FetchError(`${url} could not be fetched`, "check the network, then try again", {
      cause,
    });
  }
  if (!response.ok) {
    throw new FetchError(
      `${url} answered ${response.status}`,
      "the bundle on the server is incomplete, or the address is wrong",
    );
  }
  return response;
}

async function fetchBytes(
  url: string,
  expected: number,
  onBytes: OnBytes,
  signal?: AbortSignal,
): Promise<ArrayBuffer> {
  const response = await request(url, signal);
  const data = new Uint8Array(expected);
  const reader = response.body!.getReader();
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (length + value.length <= expected) data.set(value, length);
      length += value.length;
      onBytes(value.length);
    }
  } catch (cause) {
    throwIfAborted(signal);
    throw new FetchError(
      `${url} broke off after ${length} of ${expected} bytes`,
      "check the network, then try again",
      { cause },
    );
  }
  if (length !== expected) {
    throw new IntegrityError(
      `${url}: ${length} bytes, expected ${expected}`,
      "reload the page; if it happens again, the server's copy is damaged",
    );
  }
  return data.buffer;
}
