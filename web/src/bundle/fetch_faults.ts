/**
 * Says why a file could not be fetched, and what to do. A browser tells a page only that it failed,
 * so a page that wants to know asks again in ways that tell more.
 */

import { FetchError, UnsupportedError } from "../util/errors";
import type { WsdError } from "../util/errors";
import type { Refusal } from "../util/policy_watch";
import { nameOf, secretsOf, withoutSecrets } from "../util/secrets";
import type { Transport } from "./transport";

/** How long the server has for an answer that only tells why there was none, in milliseconds. */
const PROBE_MS = 5_000;

const AGAIN = "then try again: finished files are kept";

/** What can be said of a file that the browser could not fetch. */
export interface Silence {
  message: string;
  hint: string;
}

/** The origin of this page or worker; "null" where it has none, undefined in Node.js. */
export function ownOrigin(): string | undefined {
  return (globalThis as { origin?: string }).origin;
}

/** Whether a file lies on another origin than this page. */
export function isCrossOrigin(url: string): boolean {
  const origin = ownOrigin();
  return origin !== undefined && new URL(url).origin !== origin;
}

/** Find out why the browser got no answer for a file. */
export async function explainSilence(url: string, transport: Transport): Promise<Silence> {
  if ((globalThis.navigator as Partial<Navigator> | undefined)?.onLine === false) {
    return {
      message: "could not be fetched: the browser is offline",
      hint: `connect to the network, ${AGAIN}`,
    };
  }
  if (transport.custom) {
    return {
      message: "could not be fetched by the fetch that was given",
      hint: `check the network and what that function does, ${AGAIN}`,
    };
  }
  if (isMixedContent(url)) {
    return {
      message: "could not be fetched: a page of https may not fetch from http",
      hint: "serve the model over https",
    };
  }
  const crossOrigin = isCrossOrigin(url);
  if (crossOrigin && (await answers(url, { mode: "no-cors" })) !== undefined) {
    return {
      message: "could not be fetched: its server does not allow this page to read it (CORS)",
      hint: corsHint(transport),
    };
  }
  if (!crossOrigin) {
    const { credentials } = transport;
    const init = { redirect: "manual", ...(credentials && { credentials }) } as const;
    if ((await answers(url, init))?.type === "opaqueredirect") {
      return {
        message: "could not be fetched: the server redirects it to a place that cannot be read",
        hint:
          "redirects must end, and not at a log-in page: give `headers` or `credentials` if the " +
          `server must know who asks; another origin must send the header ${allowOrigin(transport)}`,
      };
    }
  }
  const cors = crossOrigin ? `; if the server can be reached, ${corsHint(transport)}` : "";
  return { message: "could not be fetched", hint: `check the network, ${AGAIN}${cors}` };
}

/** Ask a server for a file in another way, and return its answer, if it has one. */
async function answers(url: string, init: RequestInit): Promise<Response | undefined> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PROBE_MS);
  try {
    return await fetch(url, { ...init, cache: "no-store", signal: controller.signal });
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    controller.abort(); // the file itself is not wanted
  }
}

/** Whether a browser refuses an address of http because the page is of https. */
function isMixedContent(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  const local = /^(localhost|127\.[\d.]+|\[::1\]|.*\.localhost)$/.test(hostname);
  return protocol === "http:" && !local && ownOrigin()?.startsWith("https:") === true;
}

function allowOrigin({ credentials }: Transport): string {
  const credentialed = credentials === "include";
  // A page without an origin, such as one in a sandboxed frame, sends the word null.
  const origin = ownOrigin() ?? "*";
  return (
    `Access-Control-Allow-Origin: ${origin}` +
    (credentialed ? " and Access-Control-Allow-Credentials: true" : "")
  );
}

function corsHint(transport: Transport): string {
  const names = transport.headers.map(([name]) => name);
  const headers =
    names.length === 0
      ? ""
      : `; the headers that you give need Access-Control-Allow-Headers: ${names.join(", ")}, ` +
        "also in the answer to OPTIONS";
  return `it must answer with the header ${allowOrigin(transport)}${headers}`;
}

/** Make the error of a file that a Content-Security-Policy does not let this page fetch. */
export function refusedByPolicy(url: string, { directive }: Refusal): UnsupportedError {
  const { origin, protocol } = new URL(url);
  const source = origin === "null" ? protocol : origin;
  return new UnsupportedError(
    `${nameOf(url)}: a Content-Security-Policy does not allow it (${directive})`,
    "send this header with the page and with the worker's script, besides what it allows already: " +
      `Content-Security-Policy: connect-src 'self'${isCrossOrigin(url) ? ` ${source}` : ""}`,
  );
}

/** Make the error of an answer whose status says that the file does not come. */
export function refusedByServer(url: string, status: number, transport: Transport): FetchError {
  const message = `${nameOf(url)}: the server answered ${status}`;
  if (![401, 403, 407].includes(status)) {
    return new FetchError(
      message,
      "the bundle on the server is incomplete, or the address is wrong: it must be that of a " +
        "model's manifest.json or of its folder, such as models/NAME/ of a bundle",
    );
  }
  const { custom, headers, credentials } = transport;
  const given = [
    ...(custom ? ["fetch"] : []),
    ...(headers.length > 0 ? ["headers"] : []),
    ...(credentials === undefined ? [] : ["credentials"]),
    ...(new URL(url).search === "" ? [] : ["the query of the address"]),
  ];
  return new FetchError(
    message,
    given.length === 0
      ? 'the server wants to know who asks: give `headers` (such as { Authorization: "Bearer …" }), ' +
          '`credentials: "include"` for cookies of another origin, a signed address, or `fetch`'
      : `the server does not take what it was given by ${given.join(" and ")}: it may have expired, ` +
          "or not be for this file; every file of the model is asked for with the same",
  );
}

/**
 * Check that an answer is one that a file can be read from.
 *
 * @throws FetchError unless it is a Response whose body can be read.
 */
export function checkAnswer(url: string, answer: unknown, transport: Transport): Response {
  // A frame's or a polyfill's Response is not an instance of this page's.
  const { status, headers } = (answer ?? {}) as Partial<Response>;
  if (typeof status !== "number" || typeof headers?.get !== "function") {
    throw new FetchError(
      `${nameOf(url)}: the fetch that was given returned no Response`,
      "it must resolve to a Response, as the browser's fetch does",
    );
  }
  const response = answer as Response;
  if (response.type === "opaque" || response.type === "opaqueredirect") {
    throw new FetchError(
      `${nameOf(url)}: the fetch that was given returned an answer that cannot be read ` +
        `(${response.type})`,
      `do not use the mode no-cors, nor redirect: "manual"; ${corsHint(transport)}`,
    );
  }
  return response;
}

/**
 * Begin to read an answer's body; undefined if it has none.
 *
 * @throws FetchError if something else has read it, or is reading it.
 */
export function openBody(
  url: string,
  { body, bodyUsed }: Response,
): ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined {
  if (bodyUsed || body?.locked === true) {
    throw failedByCaller(url, "it has read the answer's body; give a clone of the answer");
  }
  return body?.getReader();
}

/** Make the error of a web page in a file's place. */
export function webPageInstead(url: string, { redirected, url: final }: Response): FetchError {
  return new FetchError(
    `${nameOf(url)}: the server sent a web page${redirected ? `, ${nameOf(final)}` : ""}`,
    "the address is wrong, or the server answers unknown addresses with its start page, or strangers " +
      "with a log-in page: then give `headers` or `credentials`",
  );
}

/** Whether what a fetch threw may be over soon, or is a fault of the caller's own function. */
export function isTemporary(thrown: unknown, transport: Transport): boolean {
  if (!transport.custom) return true;
  const { name } = (thrown ?? {}) as Partial<Error>;
  // What browsers throw without a network, and what ends a request that takes too long.
  return ["TypeError", "NetworkError", "AbortError", "TimeoutError"].includes(name ?? "");
}

/** Copy what a fetch threw, without what the request kept secret. */
export function withoutSecretsOf(url: string, thrown: unknown, transport: Transport): unknown {
  return withoutSecrets(thrown, secretsOf(url, transport.headers));
}

/**
 * Make the error of a caller's fetch that fails by itself.
 *
 * @param cause what it threw, without secrets, or a text that says what is wrong.
 */
export function failedByCaller(url: string, cause: unknown): WsdError {
  const said = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return new FetchError(
    `${nameOf(url)}: the fetch that was given failed: ${said}`,
    "fix that function; finished files are kept",
    { cause },
  );
}
