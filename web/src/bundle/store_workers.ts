/**
 * Workers that read and write what the browser keeps and compute digests, beside the worker that
 * brings files to the GPU. They run the same script as that one, under a name of their own: so whoever
 * moves worker.js to another place need not know of a second file.
 */

import * as Comlink from "comlink";

import { openCache } from "./cache";
import { keepFetchedFile, readKeptFile } from "./kept_file";
import type { FetchedFile, KeptFile } from "./kept_file";

/** The name of such a worker. */
export const STORE_WORKER = "wsd-store";

/** Each has a shard or two in memory; more were not measured. */
const MOST = 4;
/** Each worker is started for at least so many files. */
const FILES_EACH = 4;
/** Milliseconds after which a worker hangs that has not answered: reading a file takes tenths of a second. */
export const PATIENCE_MS = 60_000;

/** What a worker does. */
interface StoreFunctions {
  /** Answer, by which the other side knows that the worker can be asked. */
  run: () => Promise<void>;
  /** Read a kept file. */
  read: (key: string, into: ArrayBuffer | undefined) => Promise<KeptFile | undefined>;
  /** Compute the digest of a fetched file, and keep it if that is its key. */
  keep: (key: string, fetched: ArrayBuffer) => Promise<FetchedFile>;
}
type Remote = Comlink.Remote<StoreFunctions>;

interface StoreWorker {
  worker: Worker;
  remote: Remote;
  /** How many files it works on; undefined until it runs. */
  busy: number | undefined;
}

let startWorker: (() => Worker) | undefined;

/** Say how a worker is started that runs {@link serveStore}; without, there are none. */
export function provideWorkers(start: () => Worker): void {
  startWorker = start;
}

/**
 * How many workers are worth while: half of the processor's cores, because the page, the GPU's process
 * and the browser need theirs, and none on a machine of two.
 *
 * @param files how many are read or fetched.
 */
export function countWorkers(files: number): number {
  if (startWorker === undefined) return 0;
  const { hardwareConcurrency: cores } = navigator;
  return cores < 4 ? 0 : Math.floor(Math.min(MOST, cores / 2, files / FILES_EACH));
}

/**
 * Some workers. If one stops or hangs, all are ended, and what they were asked for rejects: whoever
 * asked does it in this worker.
 */
export class StoreWorkers {
  /** Called when the first one runs. */
  onRuns: (() => void) | undefined;
  private workers: StoreWorker[] = [];
  private end: (reason: Error) => void = () => undefined;
  /** Rejects when the workers end, because then no call is answered. */
  private readonly ended = new Promise<never>((_, reject) => (this.end = reject));

  constructor(count: number) {
    this.ended.catch(() => undefined); // it matters to the calls that are under way
    try {
      for (let number = 0; number < count; number++) this.start();
    } catch {
      this.dispose(); // a policy forbids workers
    }
  }

  /**
   * Read a kept file.
   *
   * @param into memory that is given to the worker.
   * @returns undefined if no worker runs, or not yet; else what rejects if the worker cannot read it.
   */
  read(key: string, into: ArrayBuffer | undefined): Promise<KeptFile | undefined> | undefined {
    return this.ask((remote) => remote.read(key, into && Comlink.transfer(into, [into])));
  }

  /**
   * Compute the digest of a fetched file, and keep it if that is its key.
   *
   * @param fetched is given to the worker.
   * @returns undefined if no worker runs, or not yet; else what rejects if the file is lost.
   */
  keep(key: string, fetched: ArrayBuffer): Promise<FetchedFile> | undefined {
    return this.ask((remote) => remote.keep(key, Comlink.transfer(fetched, [fetched])));
  }

  /** End the workers. */
  dispose(): void {
    for (const { worker } of this.workers) worker.terminate();
    this.workers = [];
    this.onRuns = undefined;
    this.end(new Error("the worker has ended"));
  }

  /** Give work to the worker that has the least to do. */
  private ask<Result>(work: (remote: Remote) => Promise<Result>): Promise<Result> | undefined {
    const running = this.workers.filter(({ busy }) => busy !== undefined);
    const [chosen] = running.sort((one, other) => one.busy! - other.busy!);
    if (chosen === undefined) return undefined;
    chosen.busy! += 1;
    const timer = setTimeout(() => this.dispose(), PATIENCE_MS);
    return Promise.race([work(chosen.remote), this.ended]).finally(() => {
      clearTimeout(timer);
      chosen.busy! -= 1;
    });
  }

  private start(): void {
    const worker = startWorker!();
    worker.onerror = (event) => {
      event.preventDefault();
      this.dispose();
    };
    const started: StoreWorker = { worker, remote: Comlink.wrap(worker), busy: undefined };
    this.workers.push(started);
    void started.remote.run().then(() => {
      started.busy = 0;
      this.onRuns?.();
      this.onRuns = undefined;
    });
  }
}

/**
 * The worker's side: do what the other side asks for.
 *
 * @param endpoint where it asks; the worker's own scope unless given.
 */
export function serveStore(endpoint?: Comlink.Endpoint): void {
  const opened = openCache();
  const functions: StoreFunctions = {
    async run() {
      await opened;
    },
    async read(key, into) {
      const found = await readKeptFile(await opened, key, into);
      return found && Comlink.transfer(found, [found.data]);
    },
    async keep(key, fetched) {
      const found = await keepFetchedFile(await opened, key, fetched);
      return Comlink.transfer(found, [found.data]);
    },
  };
  Comlink.expose(functions, endpoint);
}
