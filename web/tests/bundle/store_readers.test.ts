/** Workers that read kept files. How browsers run them, tests/e2e/test_faults.py tests. */

import { afterEach, describe, expect, test, vi } from "vitest";

import { BundleFiles } from "../../src/bundle/bundle_files";
import type { FileEntry } from "../../src/bundle/manifest";
import { sha256 } from "../../src/bundle/sha256";
import { answerReads, countReaders, provideReaders } from "../../src/bundle/store_readers";
import { MemoryCache } from "../memory_cache";
import { status, whole, withServer } from "../server";

const store = new MemoryCache();
vi.mock(import("../../src/bundle/cache"), async (original) => ({
  ...(await original()),
  openCache: () => Promise.resolve(store),
}));

type Fault = "cannot start" | "stops" | undefined;

/** A worker in this thread: what is sent to it is transferred, as to a real one. */
class FakeWorker {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: { preventDefault: () => void }) => void) | null = null;
  asked = 0;
  ended = false;
  private readonly scope: Parameters<typeof answerReads>[0] = {
    onmessage: null,
    postMessage: (answer, options) => {
      const data: unknown = structuredClone(answer, options);
      queueMicrotask(() => !this.ended && this.onmessage?.({ data }));
    },
  };

  constructor(private readonly fault: Fault) {
    if (fault === "cannot start") throw new TypeError("refused");
    queueMicrotask(() => answerReads(this.scope));
  }

  postMessage(question: unknown, transfer: Transferable[]): void {
    this.asked += 1;
    const data = structuredClone(question, { transfer }) as never;
    if (this.fault === "stops") this.onerror?.({ preventDefault: () => undefined });
    else this.scope.onmessage?.(new MessageEvent("message", { data }));
  }

  terminate(): void {
    this.ended = true;
  }
}

let workers: FakeWorker[] = [];

function provide(fault?: Fault, cores = 8): void {
  vi.stubGlobal("navigator", { hardwareConcurrency: cores });
  provideReaders(() => {
    const worker = new FakeWorker(fault);
    workers.push(worker);
    return worker as unknown as Worker;
  });
}

afterEach(() => {
  vi.unstubAllGlobals();
  store.kept.clear();
  workers = [];
});

/** Files of the same length, each of its own bytes. */
async function makeFiles(count: number): Promise<{ entry: FileEntry; data: Uint8Array }[]> {
  const contents = Array.from({ length: count }, (_, index) => new Uint8Array(64).fill(index));
  return Promise.all(
    contents.map(async (data, index) => ({
      data,
      entry: { file: `${index}.bin`, bytes: 64, sha256: await sha256(data as BufferSource) },
    })),
  );
}

function open(address: string): { files: BundleFiles; notices: string[] } {
  const notices: string[] = [];
  const files = new BundleFiles(address, store, new Map(), (notice) => notices.push(notice));
  return { files, notices };
}

/** Read files as loading does, and compare them. */
async function readAll(
  files: BundleFiles,
  made: Awaited<ReturnType<typeof makeFiles>>,
): Promise<void> {
  files.expect(made.length);
  for (const { entry, data } of made) {
    const found = await files.getEarly(entry, () => undefined);
    expect(new Uint8Array(found)).toEqual(data);
    files.giveBack(found);
  }
}

test.each([
  [100, 2, 0],
  [100, 3, 0],
  [100, 4, 2],
  [100, 8, 4],
  [100, 64, 4],
  [9, 64, 2],
  [3, 64, 0],
  [100, undefined, 0],
])("%d files on %s cores are read by %d workers", (files, cores, count) => {
  provide();
  expect(countReaders(files, cores)).toBe(count);
});

describe("Kept files", () => {
  test("are read by workers, checked, and these are ended", async () => {
    provide();
    const made = await makeFiles(12);
    for (const { entry, data } of made) await store.write(entry.sha256, data.slice().buffer);
    const { files, notices } = open("http://localhost/");
    await readAll(files, made);
    expect(workers.length).toBe(3);
    expect(workers.reduce((sum, { asked }) => sum + asked, 0)).toBe(11); // the first one was read here
    await files.finish();
    expect(workers.every(({ ended }) => ended)).toBe(true);
    expect([files.bytes, notices]).toEqual([{ fetched: 0, kept: 12 * 64 }, []]);
  });

  test("one that is damaged is fetched, whoever read it", async () => {
    provide();
    const made = await makeFiles(12);
    for (const { entry, data } of made) await store.write(entry.sha256, data.slice().buffer);
    const bad = made[7]!;
    new Uint8Array(store.kept.get(bad.entry.sha256)!)[0]! ^= 1;
    await withServer([whole(bad.data)], async (address, requests) => {
      const { files, notices } = open(address);
      await readAll(files, made);
      await files.finish();
      expect(notices).toEqual(["7.bin was damaged in the browser's cache and is fetched again."]);
      expect(requests.length).toBe(1);
      expect(new Uint8Array(store.kept.get(bad.entry.sha256)!)).toEqual(bad.data);
    });
  });

  test.each(["cannot start", "stops"] as const)("are read here if a worker %s", async (fault) => {
    provide(fault);
    const made = await makeFiles(12);
    for (const { entry, data } of made) await store.write(entry.sha256, data.slice().buffer);
    const { files, notices } = open("http://localhost/");
    await readAll(files, made);
    await files.finish();
    expect([files.bytes.kept, notices]).toEqual([12 * 64, []]);
  });

  test("need no workers if nothing is kept, and none start after a failure", async () => {
    provide();
    const made = await makeFiles(12);
    await withServer([status(404)], async (address) => {
      const { files } = open(address);
      files.expect(12);
      await expect(files.getEarly(made[0]!.entry, () => undefined)).rejects.toThrow("0.bin");
      await files.finish();
      await store.write(made[1]!.entry.sha256, made[1]!.data.slice().buffer);
      await files.getEarly(made[1]!.entry, () => undefined);
      expect(workers).toEqual([]);
    });
  });
});

describe("Fetched files", () => {
  test("are there before they are kept, and kept at the end", async () => {
    const [{ entry, data }] = (await makeFiles(1)) as [{ entry: FileEntry; data: Uint8Array }];
    let keep: () => void = () => undefined;
    const written = new Promise<void>((resolve) => (keep = resolve));
    const write = store.write.bind(store);
    vi.spyOn(store, "write").mockImplementation(async (key, bytes) => {
      await written;
      await write(key, bytes);
    });
    await withServer([whole(data)], async (address, requests) => {
      const { files } = open(address);
      expect(new Uint8Array(await files.getEarly(entry, () => undefined))).toEqual(data);
      expect(store.kept.size).toBe(0);
      let finished = false;
      const finishing = files.finish().then(() => (finished = true));
      // Whoever asks again waits for what is being written, and does not fetch it a second time.
      const again = files.get(entry, () => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(finished).toBe(false);
      keep();
      await finishing;
      expect(new Uint8Array(store.kept.get(entry.sha256)!)).toEqual(data);
      expect(new Uint8Array(await again)).toEqual(data);
      expect(requests.length).toBe(1);
    });
    vi.restoreAllMocks();
  });
});
