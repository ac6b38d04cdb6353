/**
 * Keeps LoRAs and textual inversions in the browser from one visit to the next; what is read is not
 * trusted.
 */

import { createStore, get, getMany, keys } from "idb-keyval";

import { isLoraName } from "../../index";
import { inTime } from "../gallery/store";

/**
 * What the page knows of a LoRA or a textual inversion; its file is kept beside this, or comes from its
 * address.
 */
export interface KeptLora {
  /** The family of models that it was loaded for. */
  family: string;
  name: string;
  /** The factor that the visitor has set, also while it is off. */
  scale: number;
  on: boolean;
  /** SHA-256 of its file: it is loaded only if it is the same file again. */
  sha256: string;
  /** By what AUTOMATIC1111's web UI knows it: the first 12 digits of the SHA-256 of its tensors. */
  hash: string;
  /** How many layers of the model it changes. */
  layers: number;
  /** How many of its tensors belong to layers that the model does not run. */
  unused: number;
  /** Size of its file. */
  bytes: number;
  triggerWords: string[];
  /** What it is of the LoRAs that were distilled for few steps; "" for others. */
  fastVariant: string;
  /** The word of a textual inversion; "" for a LoRA. */
  token: string;
  /** How many vectors a textual inversion has; 0 for a LoRA. */
  vectors: number;
  /** Address that it is fetched from; "" if its file is kept. */
  address: string;
  /** When it was added, in milliseconds; they are listed and applied in this order. */
  time: number;
}

/** Why a LoRA is not kept: the browser is full or refuses, or there are too many. */
export type KeepingProblem = "full" | "noStore" | "tooMany";

const DATABASE = "wsd-loras";
/** What is known of a LoRA, and its file: a key each, so that the list is read without the files. */
const LORA = "lora/";
const FILE = "file/";
/** Version of what is kept; other versions are ignored. */
const VERSION = 1;
/** So many LoRAs, and bytes of all of them, are kept. */
export const MOST_LORAS = 40;
const MOST_BYTES = 8e9;
/** The largest factor that the form takes, on either side of 0. */
export const MOST_SCALE = 100;
const MOST_WORDS = 20;
const LONGEST_TEXT = 2000;

/** Its key in the store: the same file is another LoRA for another family of models. */
export function keyOf({ family, sha256 }: KeptLora): string {
  return `${family}/${sha256}`;
}

/** Keeps LoRAs in IndexedDB; its methods reject where the browser refuses, unless they say else. */
export class LoraStore {
  // It opens the database at the first call.
  private readonly use = createStore(DATABASE, "loras");
  /** Additions and removals, one after the other: what is removed while it is written must be gone. */
  private last: Promise<unknown> = Promise.resolve();

  /** Read what is known of all LoRAs, those that were added first in front; none if that fails. */
  async list(): Promise<KeptLora[]> {
    try {
      const found = (await inTime(keys(this.use))).filter(
        (key) => typeof key === "string" && key.startsWith(LORA),
      );
      const loras = (await inTime(getMany<unknown>(found, this.use))).map(readLora);
      return loras
        .filter((lora) => lora !== undefined)
        .sort((one, other) => one.time - other.time)
        .slice(0, MOST_LORAS);
    } catch {
      return [];
    }
  }

  /** Read a LoRA's file; undefined if the browser does not have it any more. */
  async file(lora: KeptLora): Promise<Blob | undefined> {
    const found = await inTime(get<unknown>(FILE + keyOf(lora), this.use)).catch(() => undefined);
    return found instanceof Blob ? found : undefined;
  }

  /**
   * Keep a LoRA.
   *
   * @param file undefined for one that has an address.
   * @returns why it is not kept; undefined if it is.
   */
  add(lora: KeptLora, file: Blob | undefined): Promise<KeepingProblem | undefined> {
    return this.inTurn(() => this.addNow(lora, file));
  }

  private async addNow(
    lora: KeptLora,
    file: Blob | undefined,
  ): Promise<KeepingProblem | undefined> {
    const others = (await this.list()).filter((each) => keyOf(each) !== keyOf(lora));
    const bytes = others.reduce((sum, each) => sum + each.bytes, lora.bytes);
    if (others.length >= MOST_LORAS || bytes > MOST_BYTES) return "tooMany";
    try {
      // A large file takes a browser its time.
      await this.change((store) => {
        store.put({ version: VERSION, ...lora }, LORA + keyOf(lora));
        if (file !== undefined) store.put(file, FILE + keyOf(lora));
      });
      return undefined;
    } catch (error) {
      return error instanceof Error && error.name === "QuotaExceededError" ? "full" : "noStore";
    }
  }

  /** Keep what has changed of a LoRA, unless another tab has removed it. */
  update(lora: KeptLora): Promise<void> {
    const changed = this.change((store) => {
      const key = LORA + keyOf(lora);
      const found = store.getKey(key);
      found.onsuccess = () => {
        if (found.result !== undefined) store.put({ version: VERSION, ...lora }, key);
      };
    });
    return inTime(changed);
  }

  remove(lora: KeptLora): Promise<void> {
    return this.inTurn(() => {
      const changed = this.change((store) => {
        for (const kind of [LORA, FILE]) store.delete(kind + keyOf(lora));
      });
      return inTime(changed);
    });
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  /** Change the store in one transaction: all of it happens, or nothing. */
  private change(work: (store: IDBObjectStore) => void): Promise<void> {
    return this.use("readwrite", (store) => {
      const { transaction } = store;
      const finished = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        // Only now it is known why: a full store, for example.
        transaction.onabort = () => {
          reject(transaction.error ?? new Error("the browser did not keep the LoRA"));
        };
      });
      work(store);
      return finished;
    });
  }
}

/** Read a record; undefined if it is not one of ours. */
function readLora(value: unknown): KeptLora | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { version, ...lora } = value as Record<string, unknown>;
  const { family, name, scale, on, sha256, hash, bytes, triggerWords, address } = lora;
  // Earlier versions of the page kept none of them.
  const { fastVariant = "", token = "", vectors = 0 } = lora;
  const texts = [family, name, sha256, hash, address, fastVariant, token];
  if (version !== VERSION || !texts.every(isText)) return undefined;
  if (!isLoraName(name as string) || !/^[0-9a-f]{64}$/.test(sha256 as string)) return undefined;
  if (
    ![lora.layers, lora.unused, bytes, lora.time, vectors].every((count) =>
      isWithin(count, Number.MAX_SAFE_INTEGER),
    )
  )
    return undefined;
  if (!isWithin(scale, MOST_SCALE) || typeof on !== "boolean") return undefined;
  if (!Array.isArray(triggerWords) || !triggerWords.every(isText)) return undefined;
  return {
    ...({ ...lora, fastVariant, token, vectors } as unknown as KeptLora),
    triggerWords: triggerWords.slice(0, MOST_WORDS),
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= LONGEST_TEXT;
}

function isWithin(value: unknown, most: number): boolean {
  return typeof value === "number" && Math.abs(value) <= most;
}
