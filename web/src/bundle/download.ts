/**
 * Downloads files, and continues where a connection broke off.
 *
 * Retrying is written by hand: libraries such as p-retry repeat whole requests, while a shard
 * must continue at its last byte.
 */

import { AbortError, FetchError, throwIfAborted } from "../api/errors";
import { MAX_BYTES } from "../util/constants.generated";

/** Called with the bytes that have arrived since the last call; negative if some are discarded. */
export type OnBytes = (count: number) => void;

/** Milliseconds before each retry; when a try brings bytes, the list starts again. */
const PAUSES = [250, 1000, 3000];

/** A failure that may be temporary, so that trying again makes sense. */
class TemporaryError extends Error {}

/** The server could not be reached, or could not answer. */
export class UnreachableError extends FetchError {}

/**
 * Fetch a file whose length is known.
 *
 * After a connection broke off, the download continues at that byte if the server supports
 * ranges, and starts again otherwise.
 *
 * @param expected length in bytes.
 * @param reload whether to bypass the browser's HTTP cache.
 * @throws FetchError if the server cannot be reached, or sends something else.
 * @throws AbortError if the signal is aborted.
 */
export async function download(
  url: string,
  expected: number,
  onBytes: OnBytes,
  signal?: AbortSignal,
  reload = false,
): Promise<ArrayBuffer> {
  const data = allocate(url, expected);
  let length = 0;
  const take = (piece: Uint8Array): void => {
    if (length + piece.length > expected) throw wrongLength(url, expected);
    data.set(piece, length);
    length += piece.length;
    onBytes(piece.length);
  };
  for (let failures = 0; ;) {
    const before = length;
    try {
      const response = await request(url, length, signal, reload);
      if (length > 0 && response.status !== 206) {
        onBytes(-length);
        length = 0;
      }
      await readAll(response, take);
      if (length === expected) return data.buffer;
      throw new TemporaryError(`ended after ${length} of ${expected} bytes`);
    } catch (cause) {
      throwIfAborted(signal);
      if (!(cause instanceof TemporaryError)) throw cause;
      if (length > before) failures = 0;
      const pause = PAUSES[failures++];
      if (pause === undefined) {
        throw unreachable(url, cause);
      }
      await wait(pause, signal);
    }
  }
}

/** How a small file is fetched. */
export interface TextRequest {
  signal?: AbortSignal | undefined;
  /** Whether to bypass the browser's HTTP cache. */
  reload?: boolean;
  /** Whether to try again, after the same pauses as {@link download}, if the server is silent. */
  patient?: boolean;
}

/** Fetch a small file whose length is not known; errors are those of {@link download}. */
export async function downloadText(url: string, how: TextRequest = {}): Promise<ArrayBuffer> {
  const { signal, reload = false, patient = false } = how;
  for (let failures = 0; ; failures++) {
    try {
      return await downloadOnce(url, signal, reload);
    } catch (cause) {
      throwIfAborted(signal);
      if (!(cause instanceof TemporaryError)) throw cause;
      const pause = patient ? PAUSES[failures] : undefined;
      if (pause === undefined) throw unreachable(url, cause);
      await wait(pause, signal);
    }
  }
}

async function downloadOnce(
  url: string,
  signal: AbortSignal | undefined,
  reload: boolean,
): Promise<ArrayBuffer> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const take = (piece: Uint8Array<ArrayBuffer>): void => {
    length += piece.length;
    if (length > MAX_BYTES) throw wrongLength(url, MAX_BYTES);
    pieces.push(piece);
  };
  await readAll(await request(url, 0, signal, reload), take);
  return new Blob(pieces).arrayBuffer();
}

async function request(
  url: string,
  from: number,
  signal: AbortSignal | undefined,
  reload: boolean,
): Promise<Response> {
  const init: RequestInit = {
    ...(signal === undefined ? {} : { signal }),
    ...(from === 0 ? {} : { headers: { Range: `bytes=${from}-` } }),
    ...(reload ? { cache: "reload" } : {}),
  };
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (cause) {
    // Browsers do not say whether the server is down, CORS forbids it, or there is no network.
    throw new TemporaryError("could not be fetched", { cause });
  }
  const { status } = response;
  if (status >= 500 || status === 429) throw new TemporaryError(`the server answered ${status}`);
  if (!response.ok) {
    throw new FetchError(
      `${url}: the server answered ${status}`,
      "the bundle on the server is incomplete, or the address is wrong",
    );
  }
  if (/^text\/html\b/.test(response.headers.get("content-type") ?? "")) {
    throw new FetchError(
      `${url}: the server sent a web page`,
      "the address is wrong, or the server answers unknown addresses with its start page",
    );
  }
  return response;
}

async function readAll(
  response: Response,
  take: (piece: Uint8Array<ArrayBuffer>) => void,
): Promise<void> {
  const reader = response.body!.getReader();
  try {
    for (;;) {
      let piece: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>;
      try {
        piece = await reader.read();
      } catch (cause) {
        throw new TemporaryError("the connection broke off", { cause });
      }
      if (piece.done) return;
      take(piece.value);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function unreachable(url: string, cause: TemporaryError): UnreachableError {
  const hint = "check the network, then try again: finished files are kept";
  return new UnreachableError(`${url}: ${cause.message}`, hint, { cause });
}

/** @throws FetchError if a browser has no array of that length, or no memory for it. */
function allocate(url: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new FetchError(
      `${url}: this browser has no memory for its ${length} bytes`,
      "close other tabs and try again; if that does not help, choose a smaller model",
      { cause },
    );
  }
}

function wrongLength(url: string, expected: number): FetchError {
  return new FetchError(
    `${url}: more than the expected ${expected} bytes`,
    "the server's copy belongs to another bundle: deploy the bundle as a whole",
  );
}

function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, milliseconds);
    function done(): void {
      signal?.removeEventListener("abort", abort);
      resolve();
    }
    function abort(): void {
      clearTimeout(timer);
      reject(new AbortError());
    }
    signal?.addEventListener("abort", abort, { once: true });
  });
}
