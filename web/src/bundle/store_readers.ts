/**
 * Workers that read kept files and compute their digests, beside the worker that brings them to the
 * GPU. They run the same script as that one, under a name of their own: so whoever moves worker.js
 * to another place need not know of a second file.
 */

import { log } from "../util/log";
import { openCache } from "./cache";
import { readKeptFile } from "./kept_file";
import type { KeptFile } from "./kept_file";

/** The name of such a worker. */
export const READER = "wsd-store-reader";

/** More read no faster: browsers compute the digests of a page's workers one after another. */
const MOST = 4;
/** Each worker is started for at least so many files. */
const FILES_EACH = 4;

/** What the worker's side uses of its global scope; TypeScript's types for pages lack it. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage: (answer: Answer, options?: StructuredSerializeOptions) => void;
}

/** Asks a worker for a file. */
interface Question {
  id: number;
  key: string;
  into: ArrayBuffer | undefined;
}

/** A worker's answer; before its first one it says that it runs. */
type Answer = { id: number; found: KeptFile | undefined } | { id: number; failed: true } | "runs";

/** How a worker's answer is waited for. */
interface Waiting {
  resolve: (found: KeptFile | undefined) => void;
  reject: (error: Error) => void;
}

interface Reader {
  worker: Worker;
  runs: boolean;
  waiting: Map<number, Waiting>;
}

let startWorker: (() => Worker) | undefined;

/** Say how a worker is started that runs {@link answerReads}; without, there are none. */
export function provideReaders(start: () => Worker): void {
  startWorker = start;
}

/**
 * How many workers are worth while: half of the processor's cores, because the page, the GPU's process
 * and the browser need theirs, and none on a machine of two.
 *
 * @param files how many are read.
 */
export function countReaders(files: number, cores: number | undefined): number {
  if (startWorker === undefined || cores === undefined || cores < 4) return 0;
  return Math.min(MOST, Math.floor(cores / 2), Math.floor(files / FILES_EACH));
}

/** Some workers; {@link StoreReaders.dispose} ends them. */
export class StoreReaders {
  private readonly readers: Reader[] = [];
  private last = 0;

  constructor(count: number) {
    for (let number = 0; number < count; number++) this.start();
  }

  /**
   * Read a file in the worker that has the least to do.
   *
   * @param into memory that is given to the worker.
   * @returns undefined if no worker runs, or not yet; else what rejects if the worker cannot read it.
   */
  read(key: string, into: ArrayBuffer | undefined): Promise<KeptFile | undefined> | undefined {
    const running = this.readers.filter(({ runs }) => runs);
    if (running.length === 0) return undefined;
    const reader = running.reduce((best, other) =>
      other.waiting.size < best.waiting.size ? other : best,
    );
    const question: Question = { id: ++this.last, key, into };
    return new Promise((resolve, reject) => {
      reader.waiting.set(question.id, { resolve, reject });
      reader.worker.postMessage(question, into === undefined ? [] : [into]);
    });
  }

  /** End the workers; what was asked for is never answered. */
  dispose(): void {
    for (const { worker } of this.readers.splice(0)) worker.terminate();
  }

  private start(): void {
    let worker: Worker;
    try {
      worker = startWorker!();
    } catch (error) {
      log("debug", `no worker reads kept files: ${String(error)}`);
      return;
    }
    const reader: Reader = { worker, runs: false, waiting: new Map() };
    this.readers.push(reader);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data === "runs") {
        reader.runs = true;
        return;
      }
      const waiting = reader.waiting.get(data.id);
      reader.waiting.delete(data.id);
      if ("failed" in data) waiting?.reject(new Error("the worker could not read it"));
      else waiting?.resolve(data.found);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      log("debug", "a worker that reads kept files could not start, or stopped");
      worker.terminate();
      const place = this.readers.indexOf(reader);
      if (place >= 0) this.readers.splice(place, 1);
      for (const { reject } of reader.waiting.values()) reject(new Error("the worker has ended"));
    };
  }
}

/** The worker's side: read the files that the other side asks for. */
export function answerReads(scope: WorkerScope): void {
  const cache = openCache();
  const answer = async ({ id, key, into }: Question): Promise<void> => {
    try {
      const found = await readKeptFile(await cache, key, into);
      scope.postMessage({ id, found }, { transfer: found === undefined ? [] : [found.data] });
    } catch {
      scope.postMessage({ id, failed: true });
    }
  };
  scope.onmessage = ({ data }) => void answer(data);
  scope.postMessage("runs");
}
