/** Keeps in memory what the bundle has for the weights that LoRAs change, so that scales change quickly. */

import { log } from "../util/log";

/** Bytes that are kept at most, on any machine. */
const MOST_BYTES = 2 ** 32;

/**
 * Bytes that are kept at most: half of the machine's memory, and no more than 4 GiB. SDXL's weights in
 * int8 take 2.6 GB, so they fit from 8 GiB on, which many versions of Chromium say of all that have more.
 *
 * @param deviceMemory GiB, as `navigator.deviceMemory` says, also in workers. Only Chromium does, and
 *   only in secure contexts; elsewhere what fits is found out by allocating record after record.
 */
export function mostKeptBytes(deviceMemory: number | undefined): number {
  return deviceMemory === undefined ? MOST_BYTES : Math.min(MOST_BYTES, deviceMemory * 2 ** 29);
}

/** The records of components as the bundle has them, by component and index. */
export class UntouchedWeights {
  private readonly kept = new Map<string, Map<number, Uint8Array>>();
  private bytes = 0;

  /** @param most bytes that are kept; 0 keeps nothing. */
  constructor(private most: number) {}

  /** The bytes of a record; undefined if they are not kept. */
  find(component: string, index: number): Uint8Array | undefined {
    return this.kept.get(component)?.get(index);
  }

  /** Keep a copy of a record's bytes if there is room; else it is read from its shard again. */
  keep(component: string, index: number, bytes: Uint8Array): void {
    this.reserve(component, index, bytes.length)?.set(bytes);
  }

  /**
   * Make room for a record's bytes.
   *
   * @returns where the caller must write them; undefined if they are kept already or there is no room.
   */
  reserve(component: string, index: number, length: number): Uint8Array | undefined {
    if (this.find(component, index) !== undefined) return undefined;
    if (this.bytes + length > this.most) return undefined;
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(length);
    } catch {
      // Without memory, what is kept already stays and nothing is added.
      log("debug", `no memory to keep weights in, beyond ${this.bytes} bytes`);
      this.most = this.bytes;
      return undefined;
    }
    const records = this.kept.get(component) ?? new Map<number, Uint8Array>();
    this.kept.set(component, records);
    records.set(index, bytes);
    this.bytes += length;
    return bytes;
  }

  /** Forget a record. */
  forget(component: string, index: number): void {
    this.bytes -= this.find(component, index)?.length ?? 0;
    this.kept.get(component)?.delete(index);
  }

  /** Forget the records of a component that are not among these. */
  retain(component: string, indices: ReadonlySet<number>): void {
    const records = this.kept.get(component);
    if (records === undefined) return;
    for (const [index, bytes] of records) {
      if (indices.has(index)) continue;
      records.delete(index);
      this.bytes -= bytes.length;
    }
    if (records.size === 0) this.kept.delete(component);
  }
}
