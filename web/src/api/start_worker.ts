/** Starts the worker, whatever the bundler, the origin of its script and the page's policy are. */

import { FetchError, OptionError, UnsupportedError } from "../util/errors";
import { PolicyWatch } from "../util/policy_watch";
import { nameOf } from "../util/secrets";
import { relayUrl, scriptUrl } from "../worker/trusted_types";
import { baseAddress, scriptAddress } from "./addresses";
import type { WorkerOptions } from "./load_options";
import {
  explainStop,
  isOwn,
  MOVE_HINT,
  refusedByContentPolicy,
  refusedByTrustedTypes,
  silentWorker,
  stoppedWorker,
} from "./worker_faults";
import type { Script } from "./worker_faults";

/** Replaced by the bundler with the worker's file name, relative to this module. */
declare const WORKER_URL: string;

/** How long a worker may take to send its first message, in milliseconds: a very slow network. */
const FIRST_MESSAGE_MS = 120_000;

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

/** The address of worker.js beside this module. */
function ownScript(): URL {
  const base = baseAddress();
  let script: URL;
  try {
    // Bundlers look for an expression of this form, copy the file, and write its new address here.
    const written = new URL(WORKER_URL, import.meta.url);
    // Turbopack writes one that is relative to the page.
    script = new URL(written.href, base);
  } catch {
    throw new FetchError("the address of the package's worker is not known", MOVE_HINT);
  }
  if (script.protocol === "file:" && base !== undefined && !base.startsWith("file:")) {
    throw new FetchError(`${nameOf(script)} is not an address that a page can use`, MOVE_HINT);
  }
  return script;
}

/** Workers that were given, and belong to a pipeline. */
const taken = new WeakSet<Worker>();

/** @throws OptionError if a value is not a worker, or was taken before. */
function takeWorker(given: NonNullable<WorkerOptions["worker"]>): Worker {
  const worker: unknown = typeof given === "function" ? given() : given;
  const { postMessage, addEventListener, terminate } = (worker ?? {}) as Partial<Worker>;
  if (![postMessage, addEventListener, terminate].every((part) => typeof part === "function")) {
    throw new OptionError(
      "worker is not a Worker, nor a function that returns one",
      'give new Worker(address of the package\'s worker.js, { type: "module" }), or a function ' +
        "that returns it; it must not return a promise",
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
    return new Worker(isOwn(script) ? scriptUrl(script) : relayUrl(script), { type: "module" });
  } catch (thrown) {
    // Both are thrown before anything is fetched.
    if (thrown instanceof TypeError) throw refusedByTrustedTypes(script, thrown);
    throw refusedByContentPolicy(script, undefined, thrown);
  }
}

/** Watch a worker for errors, and for being silent. */
function watch(worker: Worker, from: Script | undefined): StartedWorker {
  let spoke = false;
  const failed = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(silentWorker(from?.script)), FIRST_MESSAGE_MS);
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
      void explainStop(from, event.message, spoke).then(reject);
    });
    worker.addEventListener("messageerror", () => {
      settle();
      reject(stoppedWorker("a message could not be read"));
    });
  });
  failed.catch(() => undefined);
  return { worker, failed };
}
