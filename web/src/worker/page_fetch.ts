/**
 * Calls the page's own `fetch` from the worker. A function cannot be sent there, and not every
 * browser can send a stream, so the worker asks for one piece of an answer after the other.
 */

import * as Comlink from "comlink";

import type { FetchFunction } from "../api/load_options";
import { checkAnswer, openBody } from "../bundle/fetch_faults";
import { makeTransport } from "../bundle/transport";
import { AbortError } from "../util/errors";

/** A request as it is sent to the page: its signal cannot be. */
export interface SentRequest {
  headers: [string, string][];
  credentials?: RequestCredentials;
  cache?: RequestCache;
}

/** An answer as it is sent to the worker, without its body. */
export interface SentAnswer {
  status: number;
  statusText: string;
  headers: [string, string][];
  /** Address after redirects, if there were any. */
  redirectedTo: string | undefined;
}

interface Running {
  controller: AbortController;
  reader?: ReadableStreamDefaultReader<Uint8Array> | undefined;
}

/** The page's side: requests that are running, by numbers that the worker gives them. */
export class PageFetch {
  private readonly running = new Map<number, Running>();
  private closed = false;

  constructor(private readonly fetch: FetchFunction) {}

  /**
   * Ask for a file.
   *
   * @throws FetchError if the answer cannot be read, AbortError if the request was ended meanwhile,
   *   and what the function throws.
   */
  async open(id: number, url: string, request: SentRequest): Promise<SentAnswer> {
    // The last messages of a worker arrive after it was ended.
    if (this.closed) throw new AbortError();
    const running: Running = { controller: new AbortController() };
    this.running.set(id, running);
    const headers = new Headers(request.headers);
    try {
      const transport = makeTransport({ fetch: this.fetch });
      const { signal } = running.controller;
      const given = await this.fetch(url, { ...request, headers, signal });
      const answer = checkAnswer(url, given, transport);
      running.reader = openBody(url, answer);
      if (!this.running.has(id)) {
        // The function did not heed the signal, and nobody waits for its answer any more.
        cancel(running);
        throw new AbortError();
      }
      const { status, statusText, redirected } = answer;
      const redirectedTo = redirected ? answer.url : undefined;
      return { status, statusText, headers: [...answer.headers], redirectedTo };
    } catch (error) {
      this.running.delete(id);
      throw error;
    }
  }

  /** Return the next piece of an answer's body; undefined at its end. */
  async read(id: number): Promise<Uint8Array | undefined> {
    try {
      const piece = await this.running.get(id)?.reader?.read();
      if (piece?.done === false) return sendable(piece.value);
    } catch (error) {
      this.running.delete(id);
      throw error;
    }
    this.running.delete(id);
    return undefined;
  }

  /** End a request, whose answer is not wanted any more. */
  close(id: number): void {
    const running = this.running.get(id);
    this.running.delete(id);
    if (running !== undefined) cancel(running);
  }

  /** End all requests, because the worker is gone: open ones would keep connections to the server. */
  closeAll(): void {
    this.closed = true;
    for (const id of [...this.running.keys()]) this.close(id);
  }
}

function cancel({ controller, reader }: Running): void {
  controller.abort();
  reader?.cancel().catch(() => undefined);
}

/** Copy a piece: to send a part of a buffer sends all of it, and a buffer may be the caller's own. */
function sendable(piece: Uint8Array): Uint8Array {
  if (!ArrayBuffer.isView(piece)) return piece; // the worker says that it is not of bytes
  const copy = piece.slice();
  return Comlink.transfer(copy, [copy.buffer]);
}

/** Numbers of the requests of this worker. */
let last = 0;

/** The worker's side: make a function that fetches as the page does. */
export function fetchOverPage(page: Comlink.Remote<PageFetch>): FetchFunction {
  return async (url, { headers, credentials, cache, signal }) => {
    const id = ++last;
    const close = (): void => void page.close(id);
    signal?.addEventListener("abort", close, { once: true });
    const finished = (): void => signal?.removeEventListener("abort", close);
    try {
      const answer = await page.open(id, url, {
        headers: [...new Headers(headers)],
        ...(credentials === undefined ? {} : { credentials }),
        ...(cache === undefined ? {} : { cache }),
      });
      if (EMPTY.includes(answer.status)) {
        finished();
        close();
        return makeResponse(answer, null);
      }
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
        {
          async pull(controller) {
            const piece = await page.read(id);
            if (piece === undefined) {
              finished();
              controller.close();
            } else {
              controller.enqueue(piece as Uint8Array<ArrayBuffer>);
            }
          },
          cancel() {
            finished();
            close();
          },
        },
        { highWaterMark: 2 }, // one piece is on its way while another is used
      );
      return makeResponse(answer, body);
    } catch (error) {
      finished();
      close();
      throw error;
    }
  };
}

/** Statuses whose answers have no body; a Response with one cannot be made. */
const EMPTY = [204, 205, 304];

function makeResponse(answer: SentAnswer, body: ReadableStream | null): Response {
  const { status, statusText, headers, redirectedTo } = answer;
  const response = new Response(body, { status, statusText, headers });
  if (redirectedTo !== undefined) {
    Object.defineProperty(response, "redirected", { value: true });
    Object.defineProperty(response, "url", { value: redirectedTo });
  }
  return response;
}
