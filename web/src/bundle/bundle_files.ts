/** A bundle's files: from the browser's store or the server, never unchecked. */

import type { OnNotice } from "../api/types";
import { download, downloadText, UnreachableError } from "./download";
import type { OnBytes } from "./download";
import { IntegrityError, throwIfAborted } from "../api/errors";
import { sha256 } from "./sha256";
import type { FileEntry, Manifest } from "./manifest";
import { parseManifest } from "./manifest";
import { isQuotaError } from "./cache";
import type { FileCache } from "./cache";

/** What keys of texts start with; other keys are digests. */
const TEXT = "text-";

export class BundleFiles {
  /** Set once nothing more fits: then nothing more is tried. */
  private full = false;

  /**
   * @param base address that files are siblings of.
   * @param keep digests that must stay when room is made.
   */
  constructor(
    private readonly base: string,
    private readonly store: FileCache,
    private readonly keep: ReadonlyMap<string, unknown>,
    private readonly notice: OnNotice,
  ) {}

  /** A file's bytes, checked. Bad ones are fetched once more, wherever they came from. */
  async get(entry: FileEntry, onBytes: OnBytes, signal?: AbortSignal): Promise<ArrayBuffer> {
    const kept = await this.fromStore(entry);
    if (kept !== undefined) {
      onBytes(entry.bytes);
      return kept;
    }
    throwIfAborted(signal);
    const data = await this.fromServer(entry, onBytes, signal);
    await this.toStore(entry, data);
    return data;
  }

  private async fromStore(entry: FileEntry): Promise<ArrayBuffer | undefined> {
    let data: ArrayBuffer | undefined;
    try {
      data = await this.store.read(entry.sha256);
    } catch {
      return undefined; // unreadable is as good as absent
    }
    if (data === undefined) return undefined;
    if (data.byteLength === entry.bytes && (await sha256(data)) === entry.sha256) return data;
    this.notice(`${entry.file} was damaged in the browser's cache and is fetched again.`);
    await this.store.remove(entry.sha256);
    return undefined;
  }

  private async fromServer(
    entry: FileEntry,
    onBytes: OnBytes,
    signal?: AbortSignal,
  ): Promise<ArrayBuffer> {
    const url = new URL(entry.file, this.base).href;
    let found = "";
    for (const reload of [false, true]) {
      const data = await download(url, entry.bytes, onBytes, signal, reload);
      found = await sha256(data);
      if (found === entry.sha256) return data;
      onBytes(-entry.bytes);
      if (!reload) this.notice(`${entry.file} arrived damaged and is fetched again.`);
    }
    throw new IntegrityError(
      `${entry.file}: sha256 mismatch (expected ${entry.sha256.slice(0, 12)}…, ` +
        `got ${found.slice(0, 12)}…), twice`,
      "the server's copy is damaged: deploy the bundle anew",
    );
  }

  private async toStore(entry: FileEntry, data: ArrayBuffer): Promise<void> {
    if (this.full) return;
    try {
      await this.store.write(entry.sha256, data);
    } catch (error) {
      if (!isQuotaError(error)) return; // another tab may be writing the same file
      if (await this.makeRoom()) return this.toStore(entry, data);
      this.full = true;
      this.notice(
        "The browser has no room to keep the model; it will be downloaded again next time.",
      );
    }
  }

  /** Drop what other models left. @returns whether there was anything. */
  private async makeRoom(): Promise<boolean> {
    const keys = await this.store.keys();
    const others = keys.filter((key) => !this.keep.has(key) && !key.startsWith(TEXT));
    for (const key of others) await this.store.remove(key);
    return others.length > 0;
  }
}

/** Bytes of each file that a manifest names, by digest: several names may be one file. */
export function fileSizes(manifest: Manifest): Map<string, number> {
  const entries: FileEntry[] = [
    manifest.library,
    ...Object.values(manifest.tokenizers),
    ...[manifest.kernels, manifest.self_test].filter((entry) => entry !== undefined),
    ...Object.values(manifest.components).flatMap(({ shards }) => shards),
  ];
  return new Map(entries.map(({ sha256, bytes }) => [sha256, bytes]));
}

/** A small text file; where the server cannot be reached, as it was when last fetched. */
export async function fetchText(url: string, store: FileCache, signal?: AbortSignal): Promise<string> {
  const key = await textKey(url);
  try {
    const text = await downloadText(url, signal);
    await store.write(key, new TextEncoder().encode(text).buffer).catch(() => undefined);
    return text;
  } catch (error) {
    const kept = error instanceof UnreachableError ? await store.read(key) : undefined;
    if (kept === undefined) throw error;
    return new TextDecoder().decode(kept);
  }
}

/** Forget a manifest and the files that it names; not those that another kept one names too. */
export async function forget(url: string, manifest: Manifest, store: FileCache): Promise<void> {
  await store.remove(await textKey(url));
  const shared = await namedFiles(store);
  for (const key of fileSizes(manifest).keys()) {
    if (!shared.has(key)) await store.remove(key);
  }
}

/** Digests of the files that the kept manifests name. */
async function namedFiles(store: FileCache): Promise<Set<string>> {
  const named = new Set<string>();
  for (const key of await store.keys()) {
    const data = key.startsWith(TEXT) ? await store.read(key) : undefined;
    if (data === undefined) continue;
    try {
      const text = new TextDecoder().decode(data);
      for (const file of fileSizes(parseManifest(text, key)).keys()) named.add(file);
    } catch {
      // A list of models, or a manifest of another version: names nothing.
    }
  }
  return named;
}

async function textKey(url: string): Promise<string> {
  return TEXT + (await sha256(new TextEncoder().encode(url).buffer));
}
