/** Workers that read and write what the browser keeps. How browsers run them, tests/e2e/test_faults.py tests. */

import { afterEach, describe, expect, test, vi } from "vitest";

import { BundleFiles } from "../../src/bundle/bundle_files";
import { NO_CACHE } from "../../src/bundle/cache";
import type { FileEntry } from "../../src/bundle/manifest";
import { sha256 } from "../../src/bundle/sha256";
import {
  countWorkers,
  PATIENCE_MS,
  provideWorkers,
  serveStore,
} from "../../src/bundle/store_workers";
import { MemoryCache } from "../memory_cache";
import { whole, withServer } from "../server";

const store = new MemoryCache();
vi.mock(import("../../src/bundle/cache"), async (original) => ({
  ...(await original()),
  openCache: () => Promise.resolve(store),
}));

/** What goes wrong with a worker: at its start, or when a function of its is called. */
type Fault = "cannot start" | "stops" | "hangs" | undefined;
type Call = "run" | "read" | "keep";

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

  constructor(
    private readonly fault: Fault,
    private readonly faulty: Call,
  ) {
    if (fault === "cannot start") throw new TypeError("refused");
    this.channel.port1.addEventListener("message", () => (this.runs = true));
    this.channel.port1.start();
    serveStore(this.channel.port2);
  }

  postMessage(message: { path: string[] }, transfer: Transferable[]): void {
    this.asked += 1;
    if (this.fault === undefined || message.path[0] !== this.faulty) {
      this.channel.port1.postMessage(message, transfer);
      return;
    }
    structuredClone(message, { transfer });
    if (this.fault === "stops") this.onerror?.({ preventDefault: ignore });
  }

  terminate(): void {
    this.ended = true;
    this.channel.port1.close();
  }
}

let workers: FakeWorker[] = [];

/**
 * Have workers of a machine, which fail at a call if a fault is given. The time after which one counts as
 * hanging passes quickly then, but not for good ones: on a busy machine they are slow.
 */
function provide(fault?: Fault, faulty: Call = "read", cores = 8): void {
  vi.stubGlobal("navigator", { hardwareConcurrency: cores });
  const { setTimeout } = globalThis;
  vi.stubGlobal("setTimeout", (work: () => void, delay: number) =>
    setTimeout(work, delay === PATIENCE_MS && fault !== undefined ? 20 : delay),
  );
  provideWorkers(() => {
    const worker = new FakeWorker(fault, faulty);
    workers.push(worker);
    return worker as unknown as Worker;
  });
}

afterEach(() => {
  vi.restoreAllMocks();
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

const ignore = (): void => undefined;

interface Made {
  entry: FileEntry;
  data: Uint8Array;
}

function entriesOf(made: Made[]): FileEntry[] {
  return made.map(({ entry }) => entry);
}

/** Files of the same length, each of its own bytes. */
async function makeFiles(count: number): Promise<Made[]> {
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

/** Start workers, and wait until they run. */
async function startWorkers(files: BundleFiles, made: Made[]): Promise<void> {
  files.getAll(entriesOf(made), ignore);
  await running();
}

/** Read files as loading does, and compare them. */
async function readAll(files: BundleFiles, made: Made[]): Promise<void> {
  const left = made.values();
  for await (const { file, data } of files.getAll(entriesOf(made), ignore)) {
    const { entry, data: expected } = left.next().value!;
    expect(file).toBe(entry.file);
    expect(new Uint8Array(data)).toEqual(expected);
    files.giveBack(data);
  }
  expect(left.next().done).toBe(true);
}

test.each([
  [100, 2, 0],
  [100, 3, 0],
  [100, 4, 2],
  [100, 8, 4],
  [100, 64, 4],
  [9, 64, 2],
  [3, 64, 0],
])("%d files on %s cores are worth %d workers", (files, cores, count) => {
  provide(undefined, "run", cores);
  expect(countWorkers(files)).toBe(count);
});

/** Make files that the browser keeps. */
async function keepFiles(count: number): ReturnType<typeof makeFiles> {
  const made = await makeFiles(count);
  for (const { entry, data } of made) await store.write(entry.sha256, data.slice().buffer);
  return made;
}

describe("Kept files", () => {
  test("are read by workers, checked, and these are ended", async () => {
    provide();
    const made = await keepFiles(12);
    const { files, notices } = open("http://localhost/");
    await startWorkers(files, made);
    await readAll(files, made);
    expect(workers.length).toBe(3);
    expect(asked()).toBe(12);
    await files.finish();
    expect(workers.every(({ ended }) => ended)).toBe(true);
    expect([files.bytes, notices]).toEqual([{ fetched: 0, kept: 12 * 64 }, []]);
  });

  test("one that is damaged is fetched, whoever read it", async () => {
    provide();
    const made = await keepFiles(12);
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

  test.each([
    ["cannot start", "run"],
    ["stops", "run"],
    ["hangs", "run"],
    ["stops", "read"],
    ["hangs", "read"],
  ] as const)("are read here if a worker %s when it shall %s", async (fault, faulty) => {
    provide(fault, faulty);
    const made = await keepFiles(12);
    const { files, notices } = open("http://localhost/");
    if (faulty === "read") await startWorkers(files, made);
    await readAll(files, made);
    await files.finish();
    expect(workers.every(({ ended }) => ended)).toBe(true);
    expect([files.bytes, notices]).toEqual([{ fetched: 0, kept: 12 * 64 }, []]);
  });

  test("that are being read when the workers end are read here", async () => {
    provide();
    const made = await keepFiles(12);
    const { files } = open("http://localhost/");
    await startWorkers(files, made);
    const reading = files.get(made[3]!.entry, ignore);
    await files.finish();
    expect(new Uint8Array(await reading)).toEqual(made[3]!.data);
  });

  test("are read ahead by workers, and what is not kept is fetched when it is asked for", async () => {
    provide();
    const made = await makeFiles(12);
    for (const { entry, data } of made.slice(1))
      await store.write(entry.sha256, data.slice().buffer);
    await withServer([whole(made[0]!.data)], async (address, requests) => {
      const { files, notices } = open(address);
      files.readAhead(entriesOf(made));
      await running();
      expect([asked(), requests.length, files.bytes.kept]).toEqual([6, 0, 0]);
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
    const made = await keepFiles(12);
    const { files } = open("http://localhost/");
    files.readAhead(entriesOf(made));
    await startWorkers(files, made);
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
    none.getAll(entriesOf(await makeFiles(100)), ignore);
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
    provide(fault, "keep");
    const entry = { file: "0.bin", bytes: 64, sha256: await sha256(data) };
    const fetched: Fetched[] = [];
    await withServer(
      [...answers, data].map((body) => whole(body)),
      async (address, requests) => {
        const { files, notices } = open(address);
        await startWorkers(files, await makeFiles(12));
        let counted = 0;
        for await (const found of files.getAll([entry], (count) => (counted += count))) {
          expect(new Uint8Array(found.data)).toEqual(data);
        }
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

  test.each(["stops", "hangs"] as const)("one whose worker %s is fetched again", async (fault) => {
    const { notices, requests } = await fetchOne([], fault);
    // Then it is checked and kept here.
    expect([notices, requests]).toEqual([[], 2]);
    expect(store.kept.size).toBe(1);
  });

  test("without room are used, and the visitor is told", async () => {
    const full = new DOMException("full", "QuotaExceededError");
    vi.spyOn(store, "write").mockRejectedValue(full);
    const { notices, requests } = await fetchOne([]);
    expect(requests).toBe(1);
    expect(notices).toEqual([
      "The browser has no room to keep the model; it will be downloaded again next time.",
    ]);
    expect(store.kept.size).toBe(0);
  });

  test("are there before they are kept, and kept at the end", async () => {
    provide(undefined, "run", 2);
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
      for await (const early of files.getAll([entry], ignore)) {
        expect(new Uint8Array(early.data)).toEqual(data);
        files.giveBack(early.data); // it is not used for another file while it is being written
      }
      let finished = false;
      const finishing = files.finish().then(() => (finished = true));
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect([finished, store.kept.size]).toEqual([false, 0]);
      keep();
      await finishing;
      expect(new Uint8Array(store.kept.get(entry.sha256)!)).toEqual(data);
      expect(requests.length).toBe(1);
    });
  });
});
