/**
 * Workers that read and write what the browser keeps and compute digests, beside the worker that
 * brings files to the GPU. They run the same script as that one, under a name of their own: so whoever
 * moves worker.js to another place need not know of a second file.
 */

import * as Comlink from "comlink";

import { isQuotaError, openCache } from "./cache";
import type { FileCache } from "./cache";
import { readKeptFile } from "./kept_file";
import type { KeptFile } from "./kept_file";
import { sha256 } from "./sha256";

/** The name of such a worker. */
export const STORE_WORKER = "wsd-store";

/** More are no faster: browsers compute the digests of a page's workers one after another. */
const MOST = 4;
/** Each worker is started for at least so many files. */
const FILES_EACH = 4;

/** A file that was fetched. */
export interface FetchedFile {
  data: ArrayBuffer;
  /** SHA-256 in lower-case hexadecimal. */
  digest: string;
  /** Whether the worker has kept it; not if there is no room, or if it is another file. */
  kept: boolean;
  /** Milliseconds that the digest and writing took. */
  hash: number;
  write: number;
}

/** What a worker does. */
interface StoreFunctions {
  /** Answer, by which the other side knows that the worker's script runs. */
  run: () => void;
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
  /** Rejects when it ends by itself: then it answers nothing. */
  ended: Promise<never>;
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
export function countWorkers(files: number, cores: number | undefined): number {
  if (startWorker === undefined || cores === undefined || cores < 4) return 0;
  return Math.min(MOST, Math.floor(cores / 2), Math.floor(files / FILES_EACH));
}

/** Some workers; {@link StoreWorkers.dispose} ends them. */
export class StoreWorkers {
  /** Called when the first one runs. */
  onRuns: (() => void) | undefined;
  private readonly workers: StoreWorker[] = [];

  constructor(count: number) {
    for (let number = 0; number < count; number++) this.start();
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
   * @returns undefined if no worker runs, or not yet; else what rejects if the worker has ended.
   */
  keep(key: string, fetched: ArrayBuffer): Promise<FetchedFile> | undefined {
    return this.ask((remote) => remote.keep(key, Comlink.transfer(fetched, [fetched])));
  }

  /** End the workers; what was asked for is never answered. */
  dispose(): void {
    for (const { worker } of this.workers.splice(0)) worker.terminate();
  }

  /** Give work to the worker that has the least to do. */
  private ask<Result>(work: (remote: Remote) => Promise<Result>): Promise<Result> | undefined {
    const running = this.workers.filter(({ busy }) => busy !== undefined);
    const [chosen] = running.sort((one, other) => one.busy! - other.busy!);
    if (chosen === undefined) return undefined;
    chosen.busy! += 1;
    return Promise.race([work(chosen.remote), chosen.ended]).finally(() => (chosen.busy! -= 1));
  }

  private start(): void {
    let worker: Worker;
    try {
      worker = startWorker!();
    } catch {
      return; // a policy forbids it
    }
    const ended = new Promise<never>((_, reject) => {
      worker.onerror = (event) => {
        event.preventDefault();
        worker.terminate();
        const place = this.workers.indexOf(started);
        if (place >= 0) this.workers.splice(place, 1);
        reject(new Error());
      };
    });
    ended.catch(() => undefined);
    const remote = Comlink.wrap<StoreFunctions>(worker);
    const started: StoreWorker = { worker, remote, busy: undefined, ended };
    this.workers.push(started);
    void remote.run().then(() => {
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
    run: () => undefined,
    async read(key, into) {
      const found = await readKeptFile(await opened, key, into);
      return found && Comlink.transfer(found, [found.data]);
    },
    async keep(key, fetched) {
      const found = await keepFile(await opened, key, fetched);
      return Comlink.transfer(found, [found.data]);
    },
  };
  Comlink.expose(functions, endpoint);
}

async function keepFile(cache: FileCache, key: string, data: ArrayBuffer): Promise<FetchedFile> {
  const began = performance.now();
  const digest = await sha256(data);
  const hashed = performance.now();
  let kept = digest === key;
  try {
    if (kept) await cache.write(key, data);
  } catch (error) {
    kept = !isQuotaError(error); // else another tab may be writing the same file
  }
  return { data, digest, kept, hash: hashed - began, write: performance.now() - hashed };
}
