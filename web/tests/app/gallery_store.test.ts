/** The gallery's store: an IndexedDB of npm's fake-indexeddb, which follows the specification. */
import "fake-indexeddb/auto";

import fc from "fast-check";
import { createStore, keys, set } from "idb-keyval";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Collection } from "../../src/app/gallery/collection";
import type { Picture, PictureFiles } from "../../src/app/gallery/picture";
import { newId, readFiles, readPicture, safeName } from "../../src/app/gallery/picture";
import type { PictureStore } from "../../src/app/gallery/store";
import { LastingStore } from "../../src/app/gallery/store";
import { encodePng } from "../../src/settings/picture_file";
import { ImageData } from "../image_data";

const raw = createStore("wsd-pictures", "pictures");
const opened: Collection[] = [];

beforeEach(() => new LastingStore().clear());
afterEach(() => {
  for (const collection of opened.splice(0)) collection.close();
});

async function open(store: PictureStore | undefined = new LastingStore()): Promise<Collection> {
  const collection = new Collection(store, () => undefined);
  opened.push(collection);
  await collection.refresh();
  return collection;
}

let time = 1_700_000_000_000;

async function make(name = "a.png"): Promise<[Picture, PictureFiles]> {
  const now = time++; // in the order of the calls, whichever is encoded first
  const png = await encodePng(
    new ImageData(new Uint8ClampedArray(16).fill(255), 2, 2),
    "a cat\nSteps: 2, Seed: 5",
  );
  const picture = {
    ...{ id: newId(), time: now, name, text: "a cat\nSteps: 2, Seed: 5" },
    ...{ width: 2, height: 2, bytes: 2 * png.size },
  };
  return [picture, { png, thumbnail: png }];
}

const names = ({ pictures }: Collection): string[] => pictures.map(({ name }) => name);

test("pictures stay for the next visit, the newest first, with their files", async () => {
  const first = await open();
  const made = await make("old.png");
  await first.add(...made);
  await first.add(...(await make("new.png")));
  const second = await open();
  expect(names(second)).toEqual(["new.png", "old.png"]);
  const files = await second.read(made[0].id);
  expect(await files!.png.arrayBuffer()).toEqual(await made[1].png.arrayBuffer());
  expect([second.unkept, second.trouble, second.damaged]).toEqual([0, undefined, 0]);
});

test("a deleted picture comes back in its place, once", async () => {
  const collection = await open();
  for (const name of ["1.png", "2.png", "3.png"]) await collection.add(...(await make(name)));
  const [, middle] = collection.pictures;
  // Pressed twice.
  await Promise.all([collection.remove(middle!.id), collection.remove(middle!.id)]);
  expect(names(collection)).toEqual(["3.png", "1.png"]);
  expect(collection.deleted?.name).toBe("2.png");
  await Promise.all([collection.undo(), collection.undo()]);
  expect(names(collection)).toEqual(["3.png", "2.png", "1.png"]);
  expect(await collection.read(middle!.id)).toBeDefined();
  expect(names(await open())).toEqual(["3.png", "2.png", "1.png"]);
});

test("two tabs delete the same picture, and both bring it back", async () => {
  const one = await open();
  const [picture, files] = await make();
  await one.add(picture, files);
  const other = await open();
  await Promise.all([one.remove(picture.id), other.remove(picture.id)]);
  await vi.waitFor(() => {
    expect([one.pictures, other.pictures]).toEqual([[], []]);
  });
  await Promise.all([one.undo(), other.undo()]);
  await vi.waitFor(() => {
    expect([one.pictures, other.pictures]).toEqual([[picture], [picture]]);
  });
});

test("a tab sees what another one adds, and that it deletes all", async () => {
  const [one, other] = [await open(), await open()];
  await one.add(...(await make()));
  await vi.waitFor(() => {
    expect(other.pictures).toHaveLength(1);
  });
  await other.removeAll();
  await vi.waitFor(() => {
    expect(one.pictures).toHaveLength(0);
  });
});

/** A store of a browser that has room for so many pictures. */
class SmallStore extends LastingStore {
  constructor(public room: number) {
    super();
  }

  override async put(picture: Picture, files: PictureFiles): Promise<void> {
    const { pictures } = await this.list();
    if (pictures.length >= this.room) throw new DOMException("no room", "QuotaExceededError");
    await super.put(picture, files);
  }
}

test("three pictures finish while the store is full: none is lost, the oldest are offered", async () => {
  const collection = await open(new SmallStore(2));
  for (const name of ["1.png", "2.png"]) await collection.add(...(await make(name)));
  const more = await Promise.all(["3.png", "4.png", "5.png"].map(make));
  await Promise.all(more.map((each) => collection.add(...each)));
  expect(names(collection)).toEqual(["5.png", "4.png", "3.png", "2.png", "1.png"]);
  expect([collection.trouble, collection.unkept]).toEqual(["full", 3]);
  for (const [{ id }] of more) expect(await collection.read(id)).toBeDefined();
  // All of the store, the oldest first, is as large as two of the three.
  expect(collection.oldest().map(({ name }) => name)).toEqual(["1.png", "2.png"]);
  await collection.makeRoom(collection.oldest());
  expect(names(collection)).toEqual(["5.png", "4.png", "3.png"]);
  expect([collection.trouble, collection.unkept]).toEqual(["full", 1]);
  // A picture that is deleted by hand makes room as well.
  await collection.remove(collection.pictures.at(-1)!.id);
  expect([collection.trouble, collection.unkept]).toEqual([undefined, 0]);
  // Brought back, it has no room any more, and is held nevertheless.
  await collection.undo();
  expect(names(collection)).toEqual(["5.png", "4.png", "3.png"]);
  expect([collection.trouble, collection.unkept]).toEqual(["full", 1]);
  expect((await new LastingStore().list()).pictures).toHaveLength(2);
});

test("a picture that finds room brings along those that are held", async () => {
  const store = new SmallStore(0);
  const collection = await open(store);
  await collection.add(...(await make("1.png")));
  expect([collection.trouble, collection.unkept, collection.oldest()]).toEqual(["full", 1, []]);
  store.room = 5;
  await collection.add(...(await make("2.png")));
  expect([collection.trouble, collection.unkept]).toEqual([undefined, 0]);
  expect(names(await open())).toEqual(["2.png", "1.png"]);
});

test("a picture that had no room is kept when another tab makes some", async () => {
  const one = await open(new SmallStore(1));
  await one.add(...(await make("1.png")));
  await one.add(...(await make("2.png")));
  const other = await open();
  expect(names(other)).toEqual(["1.png"]);
  await other.remove(other.pictures[0]!.id);
  await vi.waitFor(() => {
    expect([one.trouble, names(other)]).toEqual([undefined, ["2.png"]]);
  });
});

test("without a store, pictures are held until the page is left", async () => {
  // Not the default of the parameter.
  const collection = new Collection(undefined, () => undefined);
  opened.push(collection);
  await collection.refresh();
  const made = await make();
  await collection.add(...made);
  expect([collection.trouble, collection.unkept, names(collection)]).toEqual([
    "none",
    1,
    ["a.png"],
  ]);
  await collection.remove(made[0].id);
  expect(collection.pictures).toEqual([]);
  await collection.undo();
  expect(await collection.read(made[0].id)).toBeDefined();
  await collection.removeAll();
  expect([collection.pictures, collection.trouble]).toEqual([[], "none"]);
});

test("a store that fails is told, and tried again", async () => {
  const store = new LastingStore();
  const collection = await open(store);
  const failing = vi.spyOn(store, "put").mockRejectedValue(new Error("disk"));
  await collection.add(...(await make()));
  expect([collection.trouble, collection.unkept]).toEqual(["refused", 1]);
  failing.mockRestore();
  await collection.makeRoom([]);
  expect([collection.trouble, collection.unkept]).toEqual([undefined, 0]);

  const unreadable = vi.spyOn(store, "list").mockRejectedValue(new Error("disk"));
  const blind = await open(store);
  expect([blind.trouble, blind.pictures]).toEqual(["refused", []]);
  unreadable.mockRestore();
  await blind.makeRoom([]);
  expect([blind.trouble, names(blind)]).toEqual([undefined, ["a.png"]]);

  // What the store does not delete stays in the list.
  const undeletable = vi.spyOn(store, "remove").mockRejectedValue(new Error("disk"));
  await expect(blind.remove(blind.pictures[0]!.id)).rejects.toThrow("disk");
  expect([names(blind), blind.deleted]).toEqual([["a.png"], undefined]);
  undeletable.mockRestore();
  await blind.remove(blind.pictures[0]!.id);
  expect(names(blind)).toEqual([]);
});

test("damaged records are counted, and the others are shown", async () => {
  const collection = await open();
  const [picture, files] = await make();
  await collection.add(picture, files);
  const hostile = [
    undefined,
    null,
    "picture",
    [],
    { ...picture, id: "../x" },
    { ...picture, time: NaN },
    { ...picture, time: 1e300 },
    { ...picture, name: 5 },
    { ...picture, text: "x".repeat(1e6) },
    { ...picture, width: -1 },
    { ...picture, bytes: 2 ** 40 },
  ];
  for (const [index, value] of hostile.entries()) await set(`picture/x${index}`, value, raw);
  await set("somebody's key", 1, raw);
  await set(7, 1, raw);
  await collection.refresh();
  expect(names(collection)).toEqual(["a.png"]);
  expect(collection.damaged).toBe(hostile.length - 1); // undefined is as good as nothing
  await collection.removeAll();
  expect(await keys(raw)).toEqual([]);
});

test("any value of a store is a picture or none", () => {
  const some = fc.record(
    {
      ...{ id: fc.oneof(fc.constant(record.id), fc.anything()), name: fc.string() },
      ...{ time: fc.oneof(fc.double(), fc.nat()), text: fc.oneof(fc.string(), fc.anything()) },
      ...{ width: fc.double(), height: fc.nat(70_000), bytes: fc.maxSafeInteger() },
    },
    { requiredKeys: [] },
  );
  const good = { ...record, name: "a" };
  fc.assert(
    fc.property(
      fc.oneof(
        fc.anything(),
        some,
        some.map((each) => ({ ...good, ...each })),
      ),
      (value) => {
        const picture = readPicture(value);
        if (picture === undefined) return;
        expect(picture.name).toMatch(/^[A-Za-z0-9-][\w.-]*\.png$/);
        for (const side of [picture.width, picture.height]) expect(side).toBeGreaterThan(0);
        expect(Number.isNaN(new Date(picture.time).getTime())).toBe(false);
      },
    ),
  );
  expect(readPicture(good)).toEqual({ ...good, name: "a.png" });
});

test("a picture whose file is damaged can be deleted", async () => {
  const collection = await open();
  const [picture, files] = await make();
  await collection.add(picture, files);
  await set(`files/${picture.id}`, { png: new Blob(["<script>"]), thumbnail: null }, raw);
  expect(await collection.read(picture.id)).toBeUndefined();
  await collection.remove(picture.id);
  expect([collection.pictures, collection.deleted]).toEqual([[], undefined]);
});

test("a file is a PNG whatever the store says, and so is opened as one", async () => {
  const [, { png }] = await make();
  const page = new Blob([png], { type: "text/html" });
  const files = await readFiles({ png: page, thumbnail: page });
  expect([files?.png.type, files?.thumbnail.type]).toEqual(["image/png", "image/png"]);
  const small = new Blob([png], { type: "image/webp" });
  expect((await readFiles({ png, thumbnail: small }))?.thumbnail).toBe(small);
  const lost = new Blob([png]);
  lost.slice = () => ({ arrayBuffer: () => Promise.reject(new Error("lost")) }) as unknown as Blob;
  for (const value of [
    undefined,
    null,
    {},
    { png: "x" },
    { png: new Blob(["GIF"]) },
    { png: lost },
  ]) {
    expect(await readFiles(value)).toBeUndefined();
  }
});

test.each([
  ["cat.png", "cat.png"],
  ["../../etc/passwd", "etc_passwd.png"],
  ["..\\C:\\cat.exe", "C_cat.exe.png"],
  [".png", "picture.png"],
  ["猫.PNG", "picture.png"],
  ["x".repeat(1000), `${"x".repeat(120)}.png`],
  ["a\n\u202egnp.exe", "a_gnp.exe.png"],
])("the name %.20j is safe as %.20j", (name, safe) => {
  expect(safeName(name)).toBe(safe);
  expect(readPicture(JSON.parse(JSON.stringify({ ...record, name })))?.name).toBe(safe);
});

const record = {
  ...{ id: newId(), time: 1, name: "", text: "", width: 1, height: 1, bytes: 1 },
};
