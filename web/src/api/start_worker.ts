/**
 * Starts the worker, whatever the bundler, the origin of its script and the page's policy are, and
 * says why where it cannot be started.
 */

import { isCrossOrigin, ownOrigin } from "../bundle/fetch_faults";
import { VERSION } from "../util/constants.generated";
import { FetchError, OptionError, UnsupportedError, WsdError } from "../util/errors";
import { PolicyWatch } from "../util/policy_watch";
import type { Refusal } from "../util/policy_watch";
import { scriptUrl } from "../worker/trusted_types";
import { baseAddress, scriptAddress } from "./addresses";
import type { WorkerOptions } from "./load_options";

/** Replaced by the bundler with the worker's file name, relative to this module. */
declare const WORKER_URL: string;

/** How long a worker may take to send its first message, in milliseconds: a very slow network. */
const FIRST_MESSAGE_MS = 120_000;

/** What a page does whose bundler does not move the worker's file. */
const MOVE_HINT =
  "the page's bundler has to serve the package's file dist/worker.js: with the development server " +
  'of Vite 5 to 7 set optimizeDeps: { exclude: ["web-stable-diffusion"] }; with any other, copy ' +
  "that file to where the page is served, and give its address as the option workerUrl";

/** Directives of a Content-Security-Policy that can refuse a worker. */
const DIRECTIVES = ["worker-src", "script-src", "script-src-elem", "child-src", "default-src"];

/** A worker that may not have read its script yet. */
export interface StartedWorker {
  worker: Worker;
  /** Rejects when the worker cannot start, or stops; nothing need await it. */
  failed: Promise<never>;
}

/**
 * Start a worker that runs the package's worker.js.
 *
 * @throws OptionError if an option is not what it must be.
 * @throws UnsupportedError if there are no workers here, or a policy does not allow this one.
 * @throws FetchError if nothing says where the script is.
 */
export function startWorker({ worker, workerUrl }: WorkerOptions = {}): StartedWorker {
  if (worker !== undefined) {
    if (workerUrl !== undefined) {
      throw new OptionError("both worker and workerUrl are given", "give one of the two");
    }
    return watch(takeWorker(worker), undefined);
  }
  if (!("Worker" in globalThis)) {
    throw new UnsupportedError(
      "this browser gives no workers here",
      "call it in a page or a worker of its own, not in a service worker or a shared worker",
    );
  }
  const script = workerUrl === undefined ? ownScript() : scriptAddress(workerUrl);
  const policy = new PolicyWatch();
  return watch(construct(script), { script, policy });
}

/** What is known of a script when its worker does not start. */
interface Script {
  script: URL;
  policy: PolicyWatch;
}

/** The address of worker.js beside this module. */
function ownScript(): URL {
  const base = baseAddress();
  let script: URL;
  try {
    // Bundlers look for an expression of this form, copy the file, and write its new address here.
    const written = new URL(WORKER_URL, import.meta.url);
    // Turbopack writes one that is relative to the page.
    script = new URL(written.href, base);
  } catch (cause) {
    throw new FetchError("the address of the package's worker is not known", MOVE_HINT, { cause });
  }
  if (script.protocol === "file:" && base !== undefined && !base.startsWith("file:")) {
    throw new FetchError(`${script.href} is no address that a page can use`, MOVE_HINT);
  }
  return script;
}

/** Workers that were given, and belong to a pipeline. */
const taken = new WeakSet<Worker>();

/** @throws OptionError if a value is no worker, or was taken before. */
function takeWorker(given: NonNullable<WorkerOptions["worker"]>): Worker {
  const worker: unknown = typeof given === "function" ? given() : given;
  const { postMessage, addEventListener, terminate } = (worker ?? {}) as Partial<Worker>;
  if (![postMessage, addEventListener, terminate].every((part) => typeof part === "function")) {
    throw new OptionError(
      "worker is no Worker, nor a function that returns one",
      'give new Worker(address of the package\'s worker.js, { type: "module" }), or a function ' +
        "that returns it; a function that returns a promise is none of them",
    );
  }
  if (taken.has(worker as Worker)) {
    throw new OptionError(
      "the worker that was given belongs to another pipeline, or had to be ended",
      "give a function that makes a new worker each time it is called",
    );
  }
  taken.add(worker as Worker);
  return worker as Worker;
}

/** @throws UnsupportedError if the browser refuses at once. */
function construct(script: URL): Worker {
  try {
    return new Worker(scriptUrl(isOwn(script) ? script : relay(script)), { type: "module" });
  } catch (cause) {
    // Both are thrown before anything is fetched.
    if (cause instanceof TypeError) throw refusedByTrustedTypes(script, cause);
    throw refused(script, undefined, cause);
  }
}

/** Whether browsers take a script for a worker of this page as it is. */
function isOwn(script: URL): boolean {
  return !isCrossOrigin(script.href);
}

/**
 * Return the address of a script of this page that imports another one. Browsers start a worker
 * with a script of the page's own origin only, and such a script may import from everywhere.
 */
function relay(script: URL): URL {
  const code = `import ${JSON.stringify(script.href)};\n`;
  // It is never revoked: browsers differ in when they have read it, and it is a line.
  return new URL(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
}

/** Watch a worker for errors, and for being silent. */
function watch(worker: Worker, from: Script | undefined): StartedWorker {
  let spoke = false;
  const failed = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(silent(from)), FIRST_MESSAGE_MS);
    const settle = (): void => {
      clearTimeout(timer);
      from?.policy.stop();
    };
    worker.addEventListener(
      "message",
      () => {
        spoke = true;
        settle();
      },
      { once: true },
    );
    worker.addEventListener("error", (event: Partial<ErrorEvent>) => {
      settle();
      void explain(from, event.message, spoke).then(reject);
    });
    worker.addEventListener("messageerror", () => {
      settle();
      reject(stopped("a message could not be read"));
    });
  });
  failed.catch(() => undefined);
  return { worker, failed };
}

function silent(from: Script | undefined): WsdError {
  return new UnsupportedError(
    `the worker${from === undefined ? " that was given" : `, ${from.script.href},`} does not answer`,
    "it must run the package's worker.js, of the same version as the page's own module",
  );
}

/**
 * Make the error of a worker that runs another version than this module, as a copy of worker.js does
 * that was not made anew.
 *
 * @param found the version that it says; undefined if it says none.
 */
export function otherVersion(found = "unknown"): UnsupportedError {
  return new UnsupportedError(
    `the worker runs version ${found} of web-stable-diffusion, and the page ${VERSION}`,
    "copy dist/worker.js of the same package again, and clear the bundler's cache; if the page is " +
      "open since before an update, reload it",
  );
}

function stopped(said: string): WsdError {
  return new WsdError(
    `the pipeline's worker stopped: ${said}`,
    "call again: the model is loaded in a new worker",
  );
}

/** Find out why a worker stopped. @param said what the browser says, if it says something. */
async function explain(
  from: Script | undefined,
  said: string | undefined,
  spoke: boolean,
): Promise<WsdError> {
  if (spoke) return stopped(said ?? "the browser gives no reason");
  if (said !== undefined && said !== "") {
    return new UnsupportedError(
      `the pipeline's worker stopped: ${said}`,
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
  const refusal = await policy.find(...DIRECTIVES);
  return refusal === undefined ? explainScript(script) : refused(script, refusal, undefined);
}

/** Ask for a script that a worker could not read, and say what is wrong with the answer. */
async function explainScript(script: URL): Promise<WsdError> {
  const { href } = script;
  let answer: Response;
  try {
    answer = await fetch(href, { cache: "no-store" });
  } catch (cause) {
    const hint = isOwn(script)
      ? "check the network and reload the page; the server must send this file"
      : "check the network; if the server can be reached, it must send this file with the header " +
        `Access-Control-Allow-Origin: ${ownOrigin() ?? "*"}`;
    return new FetchError(`${href} could not be fetched`, hint, { cause });
  }
  void answer.body?.cancel().catch(() => undefined);
  const type = answer.headers.get("content-type") ?? "";
  if (!answer.ok) return new FetchError(`${href}: the server answered ${answer.status}`, MOVE_HINT);
  if (/^text\/html\b/.test(type)) {
    return new FetchError(`${href}: the server sent a web page, not the worker`, MOVE_HINT);
  }
  if (!/\b(java|ecma)script\b/.test(type)) {
    return new FetchError(
      `${href}: the server sent it as ${type === "" ? "a file without a type" : type}`,
      "it must send the header Content-Type: text/javascript",
    );
  }
  if (ownOrigin() === "null") {
    return new UnsupportedError(
      `${href}: a frame without an origin cannot start this worker`,
      "add allow-same-origin to the frame's sandbox attribute",
    );
  }
  if (!isOwn(script)) {
    // What a policy refuses inside of the worker, only the worker is told.
    return new FetchError(
      `${href} could not be run`,
      "if the page has a Content-Security-Policy, it must allow, besides what it allows already: " +
        policyFor(script),
    );
  }
  if (globalThis.crossOriginIsolated) {
    return new FetchError(
      `${href} could not be run`,
      "the page is isolated, so the server must send this file with the headers " +
        "Cross-Origin-Embedder-Policy: require-corp and Cross-Origin-Resource-Policy: same-origin",
    );
  }
  return new FetchError(
    `${href} could not be run`,
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

/** Make the error of a worker that a Content-Security-Policy does not allow. */
function refused(script: URL, refusal: Refusal | undefined, cause: unknown): UnsupportedError {
  const by = refusal === undefined ? "" : ` (${refusal.directive})`;
  return new UnsupportedError(
    `${script.href}: the page's Content-Security-Policy does not allow this worker${by}`,
    "send this header with the page, besides what it allows already: " +
      `Content-Security-Policy: ${policyFor(script)}` +
      (isOwn(script) ? "" : "; or serve worker.js from the page's own origin, as workerUrl"),
    { cause },
  );
}

function refusedByTrustedTypes(script: URL, cause: unknown): UnsupportedError {
  return new UnsupportedError(
    `${script.href}: the page's Content-Security-Policy requires Trusted Types, and does not allow ` +
      "the package's policy",
    "send this header with the page, besides what it allows already: Content-Security-Policy: " +
      "trusted-types wsd; if another copy or an older version of the package runs in the page too: " +
      "trusted-types wsd 'allow-duplicates'",
    { cause },
  );
}
