/**
 * Downloads files, and continues where a connection broke off.
 *
 * Retrying is written by hand: libraries such as p-retry repeat whole requests, while a shard
 * must continue at its last byte.
 */

import { MAX_BYTES } from "../util/constants.generated";
import { FetchError, throwIfAborted, WsdError } from "../util/errors";
import { log } from "../util/log";
import { PolicyWatch } from "../util/policy_watch";
import { nameOf } from "../util/secrets";
import {
  checkAnswer,
  explainSilence,
  failedByCaller,
  isTemporary,
  openBody,
  refusedByPolicy,
  refusedByServer,
  webPageInstead,
  withoutSecretsOf,
} from "./fetch_faults";
import { makeTransport } from "./transport";
import type { Transport } from "./transport";

/** Called with the bytes that have arrived since the last call; negative if some are discarded. */
export type OnBytes = (count: number) => void;

/** Called with how many bytes of a file have arrived, of how many. */
export type OnLoaded = (loaded: number, total: number) => void;

/** Milliseconds before each retry; when a try brings bytes, the list starts again. */
const PAUSES = [250, 1000, 3000];

/** A failure that may be temporary, so that trying again makes sense. */
class TemporaryError extends Error {}

/** There was no answer at all. */
class SilentError extends TemporaryError {}

/** The server could not be reached, or could not answer. */
export class UnreachableError extends FetchError {}

/** How a file is fetched. */
export interface FileRequest {
  signal?: AbortSignal | undefined;
  /**
   * How the browser's HTTP cache is bypassed, if it is: by `reload` it keeps the new answer, by `no-store`
   * it keeps none.
   */
  bypass?: "reload" | "no-store" | undefined;
  /** The browser's fetch without headers, unless given. */
  transport?: Transport | undefined;
  /** Memory of the file's length that it may take. */
  into?: ArrayBuffer | undefined;
}

/** The same with defaults filled in. */
interface Sent {
  signal: AbortSignal | undefined;
  bypass: RequestCache | undefined;
  transport: Transport;
}

/**
 * Fetch a file whose length is known.
 *
 * After a connection broke off, the download continues at that byte if the server supports
 * ranges, and starts again otherwise.
 *
 * @param expected length in bytes.
 * @throws FetchError if the server cannot be reached, or sends something else.
 * @throws UnsupportedError if a Content-Security-Policy does not allow it.
 * @throws AbortError if the signal is aborted.
 */
export async function download(
  url: string,
  expected: number,
  onBytes: OnBytes,
  { signal, bypass, transport = makeTransport(), into }: FileRequest = {},
): Promise<ArrayBuffer> {
  const data = into === undefined ? allocate(url, expected) : new Uint8Array(into);
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
      const response = await request(url, length, { signal, bypass, transport });
      if (length > 0 && response.status !== 206) {
        onBytes(-length);
        length = 0;
      }
      await readAll(url, response, take, { signal, transport });
      if (length === expected) return data.buffer;
      throw new TemporaryError(`ended after ${length} of ${expected} bytes`);
    } catch (cause) {
      throwIfAborted(signal);
      if (!(cause instanceof TemporaryError)) throw cause;
      if (length > before) failures = 0;
      await pauseOrGiveUp(url, cause, failures++, { signal, transport });
    }
  }
}

/** How a small file is fetched. */
export interface TextRequest extends FileRequest {
  /** Whether to try again, after the same pauses as {@link download}, if the server is silent. */
  patient?: boolean;
  /** The most bytes that it may have; those of a text unless given. */
  most?: number;
  /**
   * Called with the bytes that have arrived and how many there are in all, if the server says that;
   * and once more when all have.
   */
  onLoaded?: OnLoaded | undefined;
}

/** Fetch a file whose length is not known; errors are those of {@link download}. */
export async function downloadText(url: string, how: TextRequest = {}): Promise<ArrayBuffer> {
  const { signal, bypass, patient = false, transport = makeTransport() } = how;
  const { most = MAX_BYTES, onLoaded } = how;
  for (let failures = 0; ; failures++) {
    try {
      return await downloadOnce(url, most, onLoaded, { signal, bypass, transport });
    } catch (cause) {
      throwIfAborted(signal);
      if (!(cause instanceof TemporaryError)) throw cause;
      // Without `patient` the caller has a kept copy, so the cause is not looked for.
      if (!patient) throw unreachable(url, cause, ANY_REASON);
      await pauseOrGiveUp(url, cause, failures, { signal, transport });
    }
  }
}

async function downloadOnce(
  url: string,
  most: number,
  onLoaded: OnLoaded | undefined,
  how: Sent,
): Promise<ArrayBuffer> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const response = await request(url, 0, how);
  // Not that of an answer that was compressed on its way: what arrives is longer.
  const total = Number(response.headers.get("content-length") ?? 0);
  const take = (piece: Uint8Array<ArrayBuffer>): void => {
    length += piece.length;
    if (length > most) throw tooLarge(url, most);
    pieces.push(piece);
    if (length < total) onLoaded?.(length, total);
  };
  await readAll(url, response, take, how);
  onLoaded?.(length, length);
  return new Blob(pieces).arrayBuffer();
}

async function request(
  url: string,
  from: number,
  { signal, bypass, transport }: Sent,
): Promise<Response> {
  throwIfAborted(signal); // not every fetch looks at a signal that is aborted already
  const { credentials } = transport;
  const headers = new Headers(transport.headers);
  if (from > 0) headers.set("Range", `bytes=${from}-`);
  const init: RequestInit = {
    headers,
    ...(signal === undefined ? {} : { signal }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(bypass === undefined ? {} : { cache: bypass }),
  };
  log("debug", `fetching ${nameOf(url)}${from > 0 ? ` from byte ${from}` : ""}`);
  const watch = new PolicyWatch();
  let answer: unknown;
  try {
    answer = await unlessAborted(transport.fetch(url, init), signal);
  } catch (thrown) {
    throwIfAborted(signal);
    if (thrown instanceof WsdError) throw thrown;
    const refusal = await watch.find(["connect-src"], [url]);
    if (refusal !== undefined) throw refusedByPolicy(url, refusal);
    const cause = withoutSecretsOf(url, thrown, transport);
    if (!isTemporary(thrown, transport)) throw failedByCaller(url, cause);
    throw new SilentError("could not be fetched", { cause });
  } finally {
    watch.stop();
  }
  const response = checkAnswer(url, answer, transport);
  const fault = faultOfAnswer(url, response, transport);
  if (fault === undefined) return response;
  // Its body is not read, and would keep the connection.
  if (!response.bodyUsed) void response.body?.cancel().catch(() => undefined);
  throw fault;
}

/** Return why a file cannot be read from an answer, if it cannot. */
function faultOfAnswer(
  url: string,
  response: Response,
  transport: Transport,
): FetchError | TemporaryError | undefined {
  const { status, ok, headers } = response;
  if (status >= 500 || status === 429) return new TemporaryError(`the server answered ${status}`);
  if (!ok) return refusedByServer(url, status, transport);
  const isPage = /^text\/html\b/.test(headers.get("content-type") ?? "");
  return isPage ? webPageInstead(url, response) : undefined;
}

/** Wait for an answer, and no longer when the signal is aborted: not every fetch heeds it. */
async function unlessAborted(
  answer: Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  if (signal === undefined) return answer;
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(new Error("aborted"));
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function readAll(
  url: string,
  response: Response,
  take: (piece: Uint8Array<ArrayBuffer>) => void,
  { signal, transport }: Omit<Sent, "bypass">,
): Promise<void> {
  const reader = openBody(url, response);
  if (reader === undefined) return; // an answer without a body, or of no bytes
  // The body of a caller's answer need not heed the signal.
  const abort = (): void => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    for (;;) {
      let piece: ReadableStreamReadResult<Uint8Array<ArrayBuffer>>;
      try {
        piece = await reader.read();
      } catch (thrown) {
        const cause = withoutSecretsOf(url, thrown, transport);
        throw new TemporaryError("the connection broke off", { cause });
      }
      if (piece.done) {
        // A body that was cancelled ends like one that is whole.
        throwIfAborted(signal);
        return;
      }
      if (!ArrayBuffer.isView(piece.value)) {
        throw failedByCaller(url, "its answer's body is not of bytes");
      }
      take(piece.value);
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    abort();
  }
}

const ANY_REASON = "check the network, then try again: finished files are kept";

/**
 * Wait before a file is tried again.
 *
 * @param failures how often it failed before since bytes last arrived.
 * @throws UnreachableError if it has failed too often, with what can be found out of the reason.
 */
async function pauseOrGiveUp(
  url: string,
  cause: TemporaryError,
  failures: number,
  { signal, transport }: Omit<Sent, "bypass">,
): Promise<void> {
  const pause = PAUSES[failures];
  if (pause !== undefined) {
    log("debug", `${nameOf(url)} ${cause.message}; it is tried again in ${pause} ms`);
    await wait(pause, signal);
    return;
  }
  if (!(cause instanceof SilentError)) throw unreachable(url, cause, ANY_REASON);
  const { message, hint } = await explainSilence(url, transport);
  throwIfAborted(signal);
  throw unreachable(url, new TemporaryError(message, { cause }), hint);
}

function unreachable(url: string, cause: TemporaryError, hint: string): UnreachableError {
  return new UnreachableError(`${nameOf(url)}: ${cause.message}`, hint, { cause });
}

/** @throws FetchError if a browser has no array of that length, or no memory for it. */
function allocate(url: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new FetchError(
      `${nameOf(url)}: this browser has no memory for its ${length} bytes`,
      "close other tabs and try again; if that does not help, choose a smaller model",
      { cause },
    );
  }
}

function wrongLength(url: string, expected: number): FetchError {
  return new FetchError(
    `${nameOf(url)}: more than the expected ${expected} bytes`,
    "the server's copy belongs to another bundle: deploy the bundle as a whole",
  );
}

function tooLarge(url: string, most: number): FetchError {
  return new FetchError(
    `${nameOf(url)}: it is larger than ${most} bytes`,
    "the address is of another kind of file, or of one that is too large for a browser",
  );
}

async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done, { once: true });
  });
  throwIfAborted(signal);
}
