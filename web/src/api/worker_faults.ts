/** Says why a worker does not start, or stopped, and what to do. */

import { isCrossOrigin, ownOrigin } from "../bundle/fetch_faults";
import { FetchError, UnsupportedError, WsdError } from "../util/errors";
import type { PolicyWatch, Refusal } from "../util/policy_watch";
import { nameOf, redact, secretsOf, withoutSecrets } from "../util/secrets";
import { BUILD } from "../util/version";

/** What a page does whose bundler does not move the worker's file. */
export const MOVE_HINT =
  "the page's bundler has to serve the package's file dist/worker.js: with the development server " +
  'of Vite 5 to 7 set optimizeDeps: { exclude: ["web-stable-diffusion"] }; with any other, copy ' +
  "that file to where the page is served, and give its address as the option workerUrl";

/** Directives of a Content-Security-Policy that can refuse a worker. */
const DIRECTIVES = ["worker-src", "script-src", "script-src-elem", "child-src", "default-src"];

/** The script of a worker that this package starts, and the policies that may refuse it. */
export interface Script {
  script: URL;
  policy: PolicyWatch;
}

/** Whether browsers take a script for a worker of this page as it is. */
export function isOwn(script: URL): boolean {
  return !isCrossOrigin(script.href);
}

/** Make the error of a worker that sends nothing. @param script undefined for a given worker. */
export function silentWorker(script: URL | undefined): UnsupportedError {
  return new UnsupportedError(
    `the worker${script === undefined ? " that was given" : `, ${nameOf(script)},`} does not answer`,
    "it must run the package's worker.js, of the same version as the page's own module",
  );
}

/**
 * Make the error of a worker that is of another build than this module, as a copy of worker.js is
 * that was not made anew.
 *
 * @param found the build that it says; undefined if it says none.
 */
export function otherVersion(found = "unknown"): UnsupportedError {
  return new UnsupportedError(
    `the worker runs version ${found} of web-stable-diffusion, and the page ${BUILD}`,
    "copy dist/worker.js of the same package again, and clear the bundler's cache; if the page is " +
      "open since before an update, reload it",
  );
}

/** Make the error of a worker that ran, and stopped. @param said what is said of the reason. */
export function stoppedWorker(said: string): WsdError {
  return new WsdError(
    `the pipeline's worker stopped: ${redact(said)}`,
    "call again: the model is loaded in a new worker",
  );
}

/** Find out why a worker stopped. @param said what the browser says, if it says something. */
export async function explainStop(
  from: Script | undefined,
  said: string | undefined,
  spoke: boolean,
): Promise<WsdError> {
  if (spoke) return stoppedWorker(said ?? "the browser gives no reason");
  if (said !== undefined && said !== "") {
    return new UnsupportedError(
      `the pipeline's worker stopped: ${redact(said)}`,
      "use a current version of the browser" +
        (from === undefined ? ", and a worker that runs the package's worker.js" : ""),
    );
  }
  if (from === undefined) {
    return new FetchError(
      "the worker that was given could not read its script",
      "its address must be that of the package's worker.js, and its type must be module",
    );
  }
  const { script, policy } = from;
  // A script of another origin is imported by one of a blob: address.
  const addresses = isOwn(script) ? [script.href] : [script.href, "blob:"];
  const refusal = await policy.find(DIRECTIVES, addresses);
  return refusal === undefined ? explainScript(script) : refusedByContentPolicy(script, refusal);
}

/** Ask for a script that a worker could not read, and say what is wrong with the answer. */
async function explainScript(script: URL): Promise<WsdError> {
  const name = nameOf(script);
  let answer: Response;
  try {
    answer = await fetch(script.href, { cache: "no-store" });
  } catch (thrown) {
    const cause = withoutSecretsOf(script, thrown);
    const hint = isOwn(script)
      ? "check the network and reload the page; the server must send this file"
      : "check the network; if the server can be reached, it must send this file with the header " +
        `Access-Control-Allow-Origin: ${ownOrigin() ?? "*"}`;
    return new FetchError(`${name} could not be fetched`, hint, { cause });
  }
  void answer.body?.cancel().catch(() => undefined);
  const type = answer.headers.get("content-type") ?? "";
  if (!answer.ok) return new FetchError(`${name}: the server answered ${answer.status}`, MOVE_HINT);
  if (/^text\/html\b/.test(type)) {
    return new FetchError(`${name}: the server sent a web page, not the worker`, MOVE_HINT);
  }
  if (!/\b(java|ecma)script\b/.test(type)) {
    return new FetchError(
      `${name}: the server sent it as ${type === "" ? "a file without a type" : type}`,
      "it must send the header Content-Type: text/javascript",
    );
  }
  if (ownOrigin() === "null") {
    return new UnsupportedError(
      `${name}: a frame without an origin cannot start this worker`,
      "add allow-same-origin to the frame's sandbox attribute",
    );
  }
  if (!isOwn(script)) {
    // What a policy refuses inside of the worker, only the worker is told.
    return new FetchError(
      `${name} could not be run`,
      "if the page has a Content-Security-Policy, it must allow, besides what it allows already: " +
        policyFor(script),
    );
  }
  if (globalThis.crossOriginIsolated) {
    return new FetchError(
      `${name} could not be run`,
      "the page is isolated, so the server must send this file with the headers " +
        "Cross-Origin-Embedder-Policy: require-corp and Cross-Origin-Resource-Policy: same-origin",
    );
  }
  return new FetchError(
    `${name} could not be run`,
    "reload the page and use a current version of the browser: it must know module workers",
  );
}

/** The directives of a Content-Security-Policy that allow a worker's script. */
function policyFor(script: URL): string {
  const { origin } = script;
  return isOwn(script)
    ? "worker-src 'self'"
    : `worker-src blob: ${origin}; script-src 'self' 'wasm-unsafe-eval' ${origin}`;
}

/**
 * Make the error of a worker that a Content-Security-Policy does not allow.
 *
 * @param thrown what the browser threw, if it threw something.
 */
export function refusedByContentPolicy(
  script: URL,
  refusal: Refusal | undefined,
  thrown?: unknown,
): UnsupportedError {
  const by = refusal === undefined ? "" : ` (${refusal.directive})`;
  return new UnsupportedError(
    `${nameOf(script)}: the page's Content-Security-Policy does not allow this worker${by}`,
    "send this header with the page, besides what it allows already: " +
      `Content-Security-Policy: ${policyFor(script)}` +
      (isOwn(script) ? "" : "; or serve worker.js from the page's own origin, as workerUrl"),
    thrown === undefined ? {} : { cause: withoutSecretsOf(script, thrown) },
  );
}

/** Make the error of a worker whose address needs the package's policy of Trusted Types. */
export function refusedByTrustedTypes(script: URL, thrown: unknown): UnsupportedError {
  const cause = withoutSecretsOf(script, thrown);
  return new UnsupportedError(
    `${nameOf(script)}: the page's Content-Security-Policy requires Trusted Types, and does not allow ` +
      "the package's policy",
    "send this header with the page, besides what it allows already: Content-Security-Policy: " +
      "trusted-types wsd; if another copy or an older version of the package runs in the page too: " +
      "trusted-types wsd 'allow-duplicates'",
    { cause },
  );
}

function withoutSecretsOf(script: URL, thrown: unknown): unknown {
  return withoutSecrets(thrown, secretsOf(script.href, []));
}
