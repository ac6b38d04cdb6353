/** Parameters are loaded from shards that cut them anywhere. The GPU's buffers are arrays here. */

import { expect, test } from "vitest";

import { BundleFiles } from "../../src/bundle/bundle_files";
import type { ComponentEntry, FileEntry } from "../../src/bundle/manifest";
import { sha256 } from "../../src/bundle/sha256";
import { countShardBytes, loadParameters, restoreParameters } from "../../src/gpu/parameters";
import type { Parameters, Runtime } from "../../src/gpu/tvm/runtime";
import { MemoryCache } from "../memory_cache";

/** A tensor on the GPU. */
interface Buffer {
  words: Uint8Array;
  disposed: boolean;
  dispose: () => void;
}

const made: Buffer[] = [];
/** What `Runtime` does with tensors, which are never in the way of a command here. */
const runtime = {
  scope: <Result>(work: () => Result): Result => work(),
  empty(shape: number[]): Buffer {
    const count = shape.reduce((product, length) => product * length, 1);
    const buffer = {
      words: new Uint8Array(4 * count),
      disposed: false,
      dispose: () => (buffer.disposed = true),
    };
    made.push(buffer);
    return buffer;
  },
  writePart: ({ words }: Buffer, at: number, bytes: Uint8Array) => words.set(bytes, at),
  write({ words }: Buffer, bytes: Uint8Array) {
    expect(bytes.length).toBe(words.length);
    words.set(bytes);
  },
  bundle: (tensors: Buffer[]) => tensors.map(({ words }) => words),
  unbundle: (parameters: Uint8Array[], index: number) => ({ words: parameters[index]! }),
} as unknown as Runtime;

const cache = new MemoryCache();
const ignore = (): void => undefined;

/** Records of so many words, in shards of so many words. */
async function makeComponent(
  words: number[],
  shardWords: number,
): Promise<{ component: ComponentEntry; records: Uint8Array[] }> {
  const total = words.reduce((sum, count) => sum + count, 0);
  const stream = crypto.getRandomValues(new Uint8Array(4 * total));
  const shards: FileEntry[] = [];
  for (let from = 0; from < stream.length; from += 4 * shardWords) {
    const data = stream.slice(from, from + 4 * shardWords);
    const digest = await sha256(data);
    await cache.write(digest, data.buffer);
    shards.push({ file: `${shards.length}.bin`, bytes: data.length, sha256: digest });
  }
  let offset = 0;
  const records = words.map((count, index) => {
    const dtype = index % 2 === 0 ? ("float32" as const) : ("int8" as const);
    const shape = dtype === "float32" ? [count] : [4 * count];
    offset += 4 * count;
    return { name: `${index}`, shape, dtype, offset: offset - 4 * count, bytes: 4 * count };
  });
  const bytes = stream.length;
  return {
    component: { folder: "unet", role: "denoiser", bytes, shards, records },
    records: records.map((record) => stream.slice(record.offset, record.offset + record.bytes)),
  };
}

/** Records that lie in one shard, in two and in several, and that end with a shard. */
const WORDS = [3, 1, 1, 40, 2, 10, 1, 17];

test.each([1, 2, 5, 7, 64, 1000])("in shards of %d words", async (shardWords) => {
  const parts = [await makeComponent(WORDS, shardWords), await makeComponent([5, 6], shardWords)];
  const files = new BundleFiles("http://localhost/", cache, new Map(), ignore);
  const components = parts.map(({ component }, index) => [`${index}`, component] as const);
  let counted = 0;
  const onBytes = (count: number): void => void (counted += count);
  const loaded = new Map<string, Parameters>();
  for await (const [name, parameters] of loadParameters(runtime, components, files, onBytes)) {
    loaded.set(name, parameters);
  }
  expect(counted).toBe(4 * (75 + 11));
  expect([...loaded.values()]).toEqual(parts.map(({ records }) => records));
  expect(made.splice(0).every(({ disposed }) => disposed)).toBe(true);

  // Some records again, after they were changed.
  const [{ component, records }] = parts as [(typeof parts)[0]];
  const parameters = loaded.get("0")!;
  const tensors = parameters as unknown as Uint8Array[];
  for (const tensor of tensors) tensor.fill(0);
  const wanted = [1, 3, 5];
  const found: [number, Uint8Array][] = [];
  counted = 0;
  await restoreParameters(runtime, component, parameters, wanted, files, {
    onBytes,
    onRecord: (index, bytes) => found.push([index, bytes.slice()]),
    signal: undefined,
  });
  expect(counted).toBe(countShardBytes(component, wanted));
  expect(found).toEqual(wanted.map((index) => [index, records[index]]));
  const expected = records.map((bytes, index) => (wanted.includes(index) ? bytes : bytes.fill(0)));
  expect(tensors).toEqual(expected);
});
