/** Options that say how files are fetched, where the worker comes from, and what is logged. */

import type { Level } from "../util/log";

/** How the files of a model are fetched. */
export interface FetchOptions {
  /**
   * Called in place of the browser's `fetch`, for signed addresses and stores of your own. It gets
   * an address and `RequestInit` (`headers`, `credentials`, `cache` and `signal`), and resolves to
   * a `Response`. A request with the header `Range` may be answered with the whole file. It runs
   * where you made it, not in the worker, and what it gives is checked like any other file.
   */
  fetch?: FetchFunction | undefined;
  /**
   * Headers of every request, such as `Authorization`. A browser that is redirected to another origin
   * drops `Authorization`, and sends all others there.
   */
  headers?: HeadersInit | undefined;
  /** Whether cookies are sent; as for `fetch`: `same-origin` unless given. */
  credentials?: RequestCredentials | undefined;
}

/** What is called in place of the browser's `fetch`, which is one of these. */
export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>;

/** Where the worker comes from; without these options, from the file beside this module. */
export interface WorkerOptions {
  /**
   * Address of the package's `worker.js`, where a bundler does not move that file by itself. It may
   * be of another origin (a CDN) that sends CORS headers.
   */
  workerUrl?: string | URL | undefined;
  /**
   * A module worker that runs the package's `worker.js`, or a function that makes one. Only a
   * function can make another, if the first one had to be ended because it did not stop.
   */
  worker?: Worker | (() => Worker) | undefined;
}

/** Which messages go to the console, from none to all. */
export type LogLevel = Level;

/** What is written to the console. */
export interface LogOptions {
  /**
   * `warn` unless given: notices, if there is no `onNotice`. `info` adds what loading took, and
   * `debug` every file. It holds for the whole page.
   */
  logLevel?: LogLevel | undefined;
}
