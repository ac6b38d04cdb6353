/**
 * Workers that read and write what the browser keeps and compute digests, beside the worker that
 * brings files to the GPU. They run the same script as that one, under a name of their own: so whoever
 * moves worker.js to another place need not know of a second file.
 */

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

/** What the worker's side uses of its global scope; TypeScript's types for pages lack it. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage: (answer: Answer, options?: StructuredSerializeOptions) => void;
}

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

/** What a worker does: read the file of a key, or keep a fetched one if that is its digest. */
type Work = { key: string; into: ArrayBuffer | undefined } | { key: string; fetched: ArrayBuffer };
type Question = Work & { id: number };
type Result = KeptFile | FetchedFile | undefined;
/** A worker's answer; before its first one it says that it runs. */
type Answer = { id: number; result: Result } | { id: number; failed: true } | "runs";

interface StoreWorker {
  worker: Worker;
  runs: boolean;
  /** How answers are waited for, by the numbers of the questions. */
  waiting: Map<number, { resolve: (result: Result) => void; reject: (error: Error) => void }>;
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
  private last = 0;

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
    const transfer = into === undefined ? [] : [into];
    return this.ask({ key, into }, transfer) as Promise<KeptFile | undefined> | undefined;
  }

  /**
   * Compute the digest of a fetched file, and keep it if that is its key.
   *
   * @param fetched is given to the worker.
   * @returns undefined if no worker runs, or not yet; else what rejects if the worker has ended.
   */
  keep(key: string, fetched: ArrayBuffer): Promise<FetchedFile> | undefined {
    return this.ask({ key, fetched }, [fetched]) as Promise<FetchedFile> | undefined;
  }

  /** End the workers; what was asked for is never answered. */
  dispose(): void {
    for (const { worker } of this.workers.splice(0)) worker.terminate();
  }

  /** Give work to the worker that has the least to do. */
  private ask(work: Work, transfer: Transferable[]): Promise<Result> | undefined {
    const running = this.workers.filter(({ runs }) => runs);
    if (running.length === 0) return undefined;
    const { worker, waiting } = running.reduce((best, other) =>
      other.waiting.size < best.waiting.size ? other : best,
    );
    const question: Question = { ...work, id: ++this.last };
    return new Promise((resolve, reject) => {
      waiting.set(question.id, { resolve, reject });
      worker.postMessage(question, transfer);
    });
  }

  private start(): void {
    let worker: Worker;
    try {
      worker = startWorker!();
    } catch {
      return; // a policy forbids it
    }
    const started: StoreWorker = { worker, runs: false, waiting: new Map() };
    this.workers.push(started);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data === "runs") {
        started.runs = true;
        this.onRuns?.();
        this.onRuns = undefined;
        return;
      }
      const waiting = started.waiting.get(data.id);
      started.waiting.delete(data.id);
      if ("failed" in data) waiting?.reject(new Error());
      else waiting?.resolve(data.result);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      const place = this.workers.indexOf(started);
      if (place >= 0) this.workers.splice(place, 1);
      for (const { reject } of started.waiting.values()) reject(new Error());
    };
  }
}

/** The worker's side: do what the other side asks for. */
export function serveStore(scope: WorkerScope): void {
  const opened = openCache();
  scope.onmessage = ({ data: question }) => {
    const { id } = question;
    const work = async (): Promise<Result> => {
      const cache = await opened;
      if ("fetched" in question) return keepFile(cache, question.key, question.fetched);
      return readKeptFile(cache, question.key, question.into);
    };
    work().then(
      (result) => scope.postMessage({ id, result }, { transfer: result ? [result.data] : [] }),
      () => scope.postMessage({ id, failed: true }),
    );
  };
  scope.postMessage("runs");
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
