/** The gallery: finished pictures, which stay in the browser over visits. */

import type { Generated } from "../index";
import { formatSettings } from "../index";
import { Collection } from "./gallery/collection";
import { make, makeButton } from "./gallery/elements";
import type { Picture, PictureFiles } from "./gallery/picture";
import { newId, safeName } from "./gallery/picture";
import type { PictureStore } from "./gallery/store";
import { LastingStore } from "./gallery/store";
import type { PictureHost } from "./gallery/tools";
import { pictureTools } from "./gallery/tools";
import { promptOf, Viewer } from "./gallery/viewer";
import { packPictures, saveFile, zipName } from "./gallery/zip";
import { shrink } from "./png_files";
import { onLanguage } from "./strings";
import { galleryText } from "./strings/gallery";

/** What the page does for the gallery. */
export interface GalleryPage extends Omit<PictureHost, "leave"> {
  /** Where the buttons for the picture that was drawn last go. */
  actions: HTMLElement;
}

/** The gallery, for the page. */
export interface Gallery {
  /** Add finished pictures; the buttons of `actions` are for the last one. */
  add(generated: Pick<Generated, "images" | "imageSettings" | "toBlob">): Promise<void>;
  /** Take away the buttons of `actions`, when another picture takes the place of theirs. */
  clearActions(): void;
}

/** So many pictures are listed at first, and with every press of the button below them. */
const LISTED = 48;

/** Put the gallery into an element. */
export function mountGallery(
  root: HTMLElement,
  page: GalleryPage,
  store: PictureStore | undefined = openStore(),
): Gallery {
  return new MountedGallery(root, page, store);
}

/** Return the browser's store; undefined where it has none, or none for this page. */
function openStore(): PictureStore | undefined {
  try {
    // Reading it throws where a browser's settings forbid it.
    return (globalThis.indexedDB as IDBFactory | null | undefined) == null
      ? undefined
      : new LastingStore();
  } catch {
    return undefined;
  }
}

/** A picture's item in the list. */
interface Tile {
  item: HTMLLIElement;
  /** Addresses that the browser holds for it. */
  addresses: string[];
}

class MountedGallery implements Gallery {
  private readonly collection: Collection;
  private readonly viewer: Viewer;
  private readonly title = make("h2", { id: "gallery-title" });
  private readonly place = make("p", { class: "hint" });
  /** Screen readers say what is added here. */
  private readonly notices = make("div", { class: "gallery-notices", "aria-live": "polite" });
  private readonly noticesPlace = make("div");
  private readonly list = make("ul", { id: "pictures", "aria-labelledby": "gallery-title" });
  private readonly older = makeButton("", () => {
    this.shown += LISTED;
    this.write();
  });
  private readonly tools = make("div", { class: "tools" });
  private readonly question = make("dialog", {
    class: "question",
    "aria-labelledby": "delete-all",
  });
  private readonly tiles = new Map<string, Tile>();
  private shown = LISTED;
  private current: { picture: Picture; files: PictureFiles; address: string } | undefined;

  constructor(
    private readonly root: HTMLElement,
    private readonly page: GalleryPage,
    private readonly store: PictureStore | undefined,
  ) {
    this.collection = new Collection(store, () => {
      this.write();
    });
    this.viewer = new Viewer(this.collection, {
      ...{ take: page.take, draw: page.draw, say: page.say },
      remove: (picture) => this.remove(picture),
      closed: (id) => {
        this.noticesPlace.append(this.notices);
        const tile = this.tiles.get(id)?.item;
        this.focusTile(tile === undefined ? 0 : [...this.list.children].indexOf(tile));
      },
    });
    this.noticesPlace.append(this.notices);
    const { title, place, noticesPlace, list, older, tools, question, viewer } = this;
    root.replaceChildren(title, noticesPlace, list, older, place, tools, viewer.dialog, question);
    root.tabIndex = -1;
    list.onkeydown = (event) => {
      this.followKey(event);
    };
    onLanguage(() => {
      this.rewrite();
    });
    // Where tabs cannot tell each other, a tab that is looked at again reads the store.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") void this.collection.refresh();
    });
    void this.collection.refresh();
  }

  async add({
    images,
    imageSettings,
    toBlob,
  }: Pick<Generated, "images" | "imageSettings" | "toBlob">): Promise<void> {
    for (const [index, image] of images.entries()) {
      const settings = imageSettings[index]!;
      const png = await toBlob(index);
      const files = { png, thumbnail: (await shrink(image)) ?? png };
      const number = settings.imageIndex ?? index;
      const picture = {
        id: newId(),
        time: this.nextTime(),
        name: safeName(`${settings.model}-${settings.seed.toString()}-${number}.png`),
        text: formatSettings(settings),
        ...{ width: image.width, height: image.height },
        bytes: files.png.size + files.thumbnail.size,
      };
      this.clearActions();
      this.current = { picture, files, address: URL.createObjectURL(png) };
      this.writeActions();
      await this.collection.add(picture, files);
    }
  }

  clearActions(): void {
    this.page.actions.replaceChildren();
    if (this.current !== undefined) URL.revokeObjectURL(this.current.address);
    this.current = undefined;
  }

  private writeActions(): void {
    if (this.current === undefined) return;
    const { picture, files, address } = this.current;
    const leave = (): void => undefined;
    const tools = pictureTools(picture, files.png, address, { ...this.page, leave });
    this.page.actions.replaceChildren(...tools);
  }

  private lastTime = 0;

  /** The time of a new picture; pictures of one call follow each other. */
  private nextTime(): number {
    this.lastTime = Math.max(Date.now(), this.lastTime + 1);
    return this.lastTime;
  }

  /** Show a sentence where it is seen and heard: the dialog hides the page's own place. */
  private say(sentence: string): void {
    if (this.viewer.dialog.open) this.viewer.say(sentence);
    else this.page.say(sentence);
  }

  /** Write everything anew, in another language. */
  private rewrite(): void {
    for (const id of [...this.tiles.keys()]) this.dropTile(id);
    this.noticesKey = "";
    this.write();
    this.writeActions();
    this.viewer.rewrite();
  }

  /** Show what the collection holds now. */
  private write(): void {
    const strings = galleryText();
    const { pictures, damaged } = this.collection;
    this.title.textContent = strings.title;
    this.writeTiles(pictures.slice(0, this.shown));
    const more = pictures.length - this.shown;
    this.older.hidden = more <= 0;
    this.older.textContent = strings.showOlder(more);
    this.place.textContent = this.store === undefined ? "" : strings.keptHere;
    if (this.tools.childElementCount === 0 || !this.packing) this.writeTools();
    this.writeNotices();
    const empty = pictures.length === 0 && damaged === 0;
    for (const part of [this.title, this.list, this.place, this.tools]) part.hidden = empty;
    this.viewer.update();
  }

  private writeTools(): void {
    const strings = galleryText();
    const focused = [...this.tools.children].indexOf(document.activeElement!);
    const buttons = [
      makeButton(strings.downloadAll, () => void this.downloadAll()),
      makeButton(strings.deleteAll, () => {
        this.askToDeleteAll();
      }),
    ];
    this.tools.replaceChildren(...buttons);
    buttons[focused]?.focus();
  }

  private writeTiles(pictures: Picture[]): void {
    const wanted = new Set(pictures.map(({ id }) => id));
    for (const id of [...this.tiles.keys()]) if (!wanted.has(id)) this.dropTile(id);
    // Only what is not in its place is moved: moving an element takes the focus from it.
    for (const [index, picture] of pictures.entries()) {
      const { item } = this.tiles.get(picture.id) ?? this.makeTile(picture);
      const present = this.list.children[index];
      if (present !== item) this.list.insertBefore(item, present ?? null);
    }
  }

  private dropTile(id: string): void {
    const { item, addresses } = this.tiles.get(id)!;
    this.tiles.delete(id);
    item.remove();
    for (const address of addresses) URL.revokeObjectURL(address);
  }

  private makeTile(picture: Picture): Tile {
    const strings = galleryText();
    const image = make("img", { alt: strings.enlarge(promptOf(picture)) });
    const open = makeButton("", () => {
      this.viewer.notices.append(this.notices);
      this.viewer.open(picture.id);
    });
    open.classList.add("tile");
    open.append(image);
    const save = make("a", {
      ...{ class: "save", download: picture.name, title: picture.name },
      "aria-label": strings.savedName(picture.name),
    });
    save.append(strings.save);
    const item = make("li", { "data-id": picture.id }, open, save);
    const tile: Tile = { item, addresses: [] };
    this.tiles.set(picture.id, tile);
    void this.collection.read(picture.id).then((files) => {
      // It may have gone while it was read.
      if (this.tiles.get(picture.id) !== tile) return;
      if (files === undefined) {
        item.classList.add("broken");
        image.alt = strings.enlarge(strings.broken);
        return;
      }
      tile.addresses = [files.png, files.thumbnail].map((file) => URL.createObjectURL(file));
      [save.href, image.src] = tile.addresses as [string, string];
    });
    return tile;
  }

  private followKey(event: KeyboardEvent): void {
    const id = (event.target as HTMLElement).closest("li")?.dataset.id;
    const picture = this.collection.pictures.find((each) => each.id === id);
    if (event.key !== "Delete" || picture === undefined) return;
    event.preventDefault();
    void this.remove(picture);
  }

  private async remove(picture: Picture): Promise<void> {
    const strings = galleryText();
    const index = this.collection.pictures.findIndex(({ id }) => id === picture.id);
    const focused = this.tiles.get(picture.id)?.item.contains(document.activeElement) ?? false;
    try {
      await this.collection.remove(picture.id);
    } catch {
      this.say(strings.refusedChange);
      return;
    }
    const { name, id } = picture;
    if (this.collection.deleted?.id !== id) this.say(strings.deletedForGood(name));
    if (focused) this.focusTile(index);
  }

  /** Give the focus to a place in the list, or to what is left if the list is empty. */
  private focusTile(index: number): void {
    const items = [...this.list.children];
    const item = items[Math.min(index, items.length - 1)];
    (item?.querySelector("button") ?? this.notices.querySelector("button") ?? this.root).focus();
  }

  /** What the notices say now, to leave alone what has not changed: a button may have the focus. */
  private noticesKey = "";

  private writeNotices(): void {
    const lines = this.noticeLines();
    const key = JSON.stringify(lines.map(({ text, action }) => [text, action?.text]));
    if (key === this.noticesKey) return;
    this.noticesKey = key;
    const made = lines.map(({ text, action }) => {
      const line = make("p", { class: "notice" }, text);
      if (action !== undefined) line.append(" ", makeButton(action.text, action.run));
      return line;
    });
    this.notices.replaceChildren(...made);
  }

  private noticeLines(): { text: string; action?: { text: string; run: () => void } }[] {
    const strings = galleryText();
    const { trouble, unkept, damaged, deleted, pictures } = this.collection;
    const lines: ReturnType<typeof this.noticeLines> = [];
    if (deleted !== undefined) {
      const text = strings.deleted(deleted.name);
      lines.push({ text, action: { text: strings.undo, run: () => void this.undo(deleted) } });
    }
    if (trouble === "none" && pictures.length > 0) lines.push({ text: strings.noStore });
    if (trouble === "full" && unkept > 0) {
      const oldest = this.collection.oldest();
      const text = `${strings.full(unkept)} ${strings.fullHow}`;
      const size = oldest.reduce((sum, { bytes }) => sum + bytes, 0);
      const action = {
        text: strings.makeRoom(oldest.length, size),
        run: () => void this.makeRoom(),
      };
      lines.push(oldest.length === 0 ? { text } : { text, action });
    }
    if (trouble === "refused") {
      const text = unkept === 0 ? strings.unlisted : strings.refused(unkept);
      lines.push({ text, action: { text: strings.tryAgain, run: () => void this.makeRoom([]) } });
    }
    if (damaged > 0) lines.push({ text: strings.damaged(damaged) });
    return lines;
  }

  private async undo(deleted: Picture): Promise<void> {
    await this.collection.undo();
    this.say(galleryText().broughtBack(deleted.name));
    if (this.viewer.dialog.open) this.viewer.open(deleted.id);
    else this.focusTile(this.collection.pictures.findIndex(({ id }) => id === deleted.id));
  }

  private async makeRoom(oldest = this.collection.oldest()): Promise<void> {
    try {
      await this.collection.makeRoom(oldest);
    } catch {
      this.say(galleryText().refusedChange);
      return;
    }
    const { unkept, trouble } = this.collection;
    if (unkept === 0 && trouble === undefined) {
      this.say(galleryText().madeRoom);
      if (!this.viewer.dialog.open) this.focusTile(0);
    }
  }

  private askToDeleteAll(): void {
    const strings = galleryText();
    const { pictures, damaged } = this.collection;
    const { question } = this;
    const close = (): void => {
      question.close();
    };
    question.replaceChildren(
      make("h2", { id: "delete-all" }, strings.deleteAllQuestion(pictures.length + damaged)),
      make("p", {}, strings.deleteAllConsequence),
      make(
        "div",
        { class: "tools" },
        makeButton(strings.deleteAllNo, close, { autofocus: true }),
        makeButton(strings.deleteAllYes, () => {
          close();
          void this.deleteAll();
        }),
      ),
    );
    question.showModal();
  }

  private async deleteAll(): Promise<void> {
    try {
      await this.collection.removeAll();
      this.say(galleryText().deletedAll);
      this.focusTile(0);
    } catch {
      this.say(galleryText().refusedChange);
    }
  }

  private packing = false;

  private async downloadAll(): Promise<void> {
    if (this.packing) return;
    this.packing = true;
    const { pictures } = this.collection;
    const [button] = this.tools.children;
    try {
      const read = this.collection.read.bind(this.collection);
      const { zip, count } = await packPictures(pictures, read, (done) => {
        button!.textContent = galleryText().packing(done, pictures.length);
      });
      saveFile(zip, zipName(new Date()));
      this.say(galleryText().packed(count, pictures.length));
    } catch {
      this.say(galleryText().packingFailed);
    } finally {
      this.packing = false;
      this.writeTools();
    }
  }
}
