/** Workers that read and write what the browser keeps. How browsers run them, tests/e2e/test_faults.py tests. */

import { afterEach, describe, expect, test, vi } from "vitest";

import { BundleFiles } from "../../src/bundle/bundle_files";
import { NO_CACHE } from "../../src/bundle/cache";
import type { FileEntry } from "../../src/bundle/manifest";
import { sha256 } from "../../src/bundle/sha256";
import { serveStore, countWorkers, provideWorkers } from "../../src/bundle/store_workers";
import { MemoryCache } from "../memory_cache";
import { whole, withServer } from "../server";

const store = new MemoryCache();
vi.mock(import("../../src/bundle/cache"), async (original) => ({
  ...(await original()),
  openCache: () => Promise.resolve(store),
}));

type Fault = "cannot start" | "stops" | undefined;

/** A worker in this thread: what is sent to it is transferred, as to a real one. */
class FakeWorker {
  onerror: ((event: { preventDefault: () => void }) => void) | null = null;
  /** How often it was asked for something, besides whether it runs. */
  asked = -1;
  ended = false;
  runs = false;
  private readonly channel = new MessageChannel();
  readonly addEventListener = this.channel.port1.addEventListener.bind(this.channel.port1);
  readonly removeEventListener = this.channel.port1.removeEventListener.bind(this.channel.port1);

  constructor(public fault: Fault) {
    if (fault === "cannot start") throw new TypeError("refused");
    this.channel.port1.addEventListener("message", () => (this.runs = true));
    this.channel.port1.start();
    serveStore(this.channel.port2);
  }

  postMessage(message: unknown, transfer: Transferable[]): void {
    this.asked += 1;
    if (this.fault === "stops" && this.asked > 0) {
      structuredClone(message, { transfer });
      this.onerror?.({ preventDefault: () => undefined });
    } else {
      this.channel.port1.postMessage(message, transfer);
    }
  }

  terminate(): void {
    this.ended = true;
    this.channel.port1.close();
  }
}

let workers: FakeWorker[] = [];

function provide(fault?: Fault, cores = 8): void {
  vi.stubGlobal("navigator", { hardwareConcurrency: cores });
  provideWorkers(() => {
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

/** Wait until all workers run, and those who started them know it. */
async function running(): Promise<void> {
  await vi.waitFor(() => expect(workers.map(({ runs }) => runs)).toEqual([true, true, true]));
  await new Promise((resolve) => setTimeout(resolve, 5));
}

/** How often all workers were asked for something. */
function asked(): number {
  return workers.reduce((sum, worker) => sum + worker.asked, 0);
}

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
])("%d files on %s cores are worth %d workers", (files, cores, count) => {
  provide();
  expect(countWorkers(files, cores)).toBe(count);
});

describe("Kept files", () => {
  test("are read by workers, checked, and these are ended", async () => {
    provide();
    const made = await makeFiles(12);
    for (const { entry, data } of made) await store.write(entry.sha256, data.slice().buffer);
    const { files, notices } = open("http://localhost/");
    files.expect(made.length);
    await running();
    await readAll(files, made);
    expect(workers.length).toBe(3);
    expect(asked()).toBe(12);
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

  test("are read ahead by workers, and what is not kept is fetched when it is asked for", async () => {
    provide();
    const made = await makeFiles(12);
    for (const { entry, data } of made.slice(1))
      await store.write(entry.sha256, data.slice().buffer);
    await withServer([whole(made[0]!.data)], async (address, requests) => {
      const { files, notices } = open(address);
      files.readAhead(made.map(({ entry }) => entry));
      await running();
      expect([asked(), requests.length, files.bytes.kept]).toEqual([5, 0, 0]);
      await readAll(files, made);
      // Each was looked for once, and the first one kept.
      expect([asked(), requests.length]).toEqual([13, 1]);
      await files.finish();
      expect([files.bytes, notices]).toEqual([{ fetched: 64, kept: 11 * 64 }, []]);
      expect(workers.length).toBe(3);
    });
  });

  test("are not read ahead once they are asked for", async () => {
    provide();
    const made = await makeFiles(12);
    for (const { entry, data } of made) await store.write(entry.sha256, data.slice().buffer);
    const { files } = open("http://localhost/");
    files.readAhead(made.map(({ entry }) => entry));
    files.expect(12); // before any worker runs
    await running();
    expect(asked()).toBe(0);
    await files.finish();
  });

  test("need no workers if there are few, or nothing is kept at all", async () => {
    provide();
    const [first, ...others] = await makeFiles(3);
    for (const { entry, data } of [first!, ...others]) {
      await store.write(entry.sha256, data.slice().buffer);
    }
    await readAll(open("http://localhost/").files, [first!, ...others]);
    const none = new BundleFiles("http://localhost/", NO_CACHE, new Map(), () => undefined);
    none.expect(100);
    expect(workers).toEqual([]);
  });
});

describe("Fetched files", () => {
  /** What became of a file; workers are asked for it once before it is fetched. */
  interface Fetched {
    notices: string[];
    requests: number;
    asked: number;
    /** What was kept when the bytes were there. */
    early: ArrayBuffer | undefined;
  }

  /** Fetch {@link data} once the workers run; the server answers so, and then as it should. */
  async function fetchOne(answers: Uint8Array[], fault?: Fault): Promise<Fetched> {
    provide();
    const entry = { file: "0.bin", bytes: 64, sha256: await sha256(data) };
    const fetched: Fetched[] = [];
    await withServer(
      [...answers, data].map((body) => whole(body)),
      async (address, requests) => {
        const { files, notices } = open(address);
        files.expect(12);
        await running();
        for (const worker of workers) worker.fault = fault;
        let counted = 0;
        const found = await files.getEarly(entry, (count) => (counted += count));
        expect(new Uint8Array(found)).toEqual(data);
        expect(counted).toBe(64);
        const early = store.kept.get(entry.sha256);
        await files.finish();
        fetched.push({ notices, requests: requests.length, asked: asked(), early });
      },
    );
    return fetched[0]!;
  }

  const data = new Uint8Array(64).fill(7);

  test("are checked and kept by workers", async () => {
    const early = data.buffer;
    expect(await fetchOne([])).toEqual({ notices: [], requests: 1, asked: 2, early });
  });

  test("one that arrives damaged is not kept, and fetched again", async () => {
    const notices = ["0.bin arrived damaged and is fetched again."];
    const found = await fetchOne([new Uint8Array(64).fill(9)]);
    expect(found).toEqual({ notices, requests: 2, asked: 3, early: data.buffer });
  });

  test("one whose worker ends is fetched again", async () => {
    const { notices, requests } = await fetchOne([], "stops");
    // One worker ends when it looks for the file, two with it; then it is checked and kept here.
    expect([notices, requests]).toEqual([[], 3]);
    expect(store.kept.size).toBe(1);
  });

  test("without room are used, and the visitor is told", async () => {
    const full = new DOMException("full", "QuotaExceededError");
    vi.spyOn(store, "write").mockRejectedValue(full);
    const { notices, requests } = await fetchOne([]);
    vi.restoreAllMocks();
    expect(requests).toBe(1);
    expect(notices).toEqual([
      "The browser has no room to keep the model; it will be downloaded again next time.",
    ]);
    expect(store.kept.size).toBe(0);
  });

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
