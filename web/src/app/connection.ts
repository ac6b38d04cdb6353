/** The measured speed of the network, and the room that this browser has for the page. */

import { readStored, writeStored } from "./local_storage";

/** Where the speed of the last download is kept, in bytes a millisecond. */
const KEPT = "wsd-speed";
/** Downloads of fewer bytes, and shorter ones, say little about a connection. */
const LEAST_BYTES = 2 ** 20;
const LEAST_MS = 500;

/** What some browsers tell of the network; other browsers do not have it. */
interface NetworkInformation {
  /** Estimated megabits a second. */
  downlink?: number;
  /** Whether the visitor asked to save data. */
  saveData?: boolean;
}

function network(): NetworkInformation {
  return (navigator as { connection?: NetworkInformation }).connection ?? {};
}

/** Whether the visitor asked the browser to download no more than it must. */
export function savesData(): boolean {
  return network().saveData === true;
}

/**
 * Estimate how many bytes arrive in a millisecond: as the last download went, or as the browser
 * estimates, or as the page's own files came.
 *
 * @returns undefined if nothing is known.
 */
export function measuredSpeed(): number | undefined {
  const kept = Number(readStored(KEPT));
  if (kept > 0) return kept;
  const { downlink = 0 } = network();
  if (downlink > 0) return (downlink * 1e6) / 8 / 1000;
  const loads = performance
    .getEntriesByType("resource")
    .filter((entry) => entry instanceof PerformanceResourceTiming)
    .filter(({ transferSize }) => transferSize > 30_000)
    .map(({ transferSize, requestStart, responseEnd }) => {
      return transferSize / Math.max(1, responseEnd - requestStart);
    });
  return loads.length === 0 ? undefined : Math.max(...loads);
}

/** Watch a download from its first to its last bytes, and keep its speed for the next visit. */
export class DownloadWatch {
  private first: { bytes: number; time: number } | undefined;

  /** Take note of how many bytes have arrived. */
  arrived(bytes: number, now = performance.now()): void {
    this.first ??= { bytes, time: now };
    const [count, time] = [bytes - this.first.bytes, now - this.first.time];
    if (count < LEAST_BYTES || time < LEAST_MS) return;
    writeStored(KEPT, String(count / time));
  }
}

/**
 * Chromium reports no more room than this, so that pages cannot tell browsers apart by it; there
 * may be more.
 */
export const MOST_REPORTED_ROOM = 10 * 2 ** 30;

/** How many bytes this browser would still keep for the page; undefined if it does not say. */
export async function roomToKeep(): Promise<number | undefined> {
  try {
    const { quota, usage = 0 } = await navigator.storage.estimate();
    return quota === undefined ? undefined : Math.max(0, quota - usage);
  } catch {
    return undefined;
  }
}
