/** The gallery: finished pictures, which stay in the browser over visits. */

import type { Generated } from "../index";
import { formatSettings } from "../index";
import { Collection } from "./gallery/collection";
import { make, makeButton } from "./gallery/elements";
import type { Picture, PictureFiles } from "./gallery/picture";
import { newId, safeName } from "./gallery/picture";
import { Notices } from "./gallery/notices";
import type { PictureStore } from "./gallery/store";
import { LastingStore } from "./gallery/store";
import type { PictureHost } from "./gallery/tools";
import { pictureTools } from "./gallery/tools";
import { TileList } from "./gallery/tile_list";
import { Viewer } from "./gallery/viewer";
import { packPictures, saveFile, zipName } from "./gallery/zip";
import { warnBeforeLeaving } from "./leaving";
import { shrink } from "./png_files";
import type { Sentence } from "./strings";
import { onLanguage } from "./strings";
import { galleryText } from "./strings/gallery";

/** What the page does for the gallery. */
export interface GalleryPage extends Omit<PictureHost, "leave"> {
  /** Where the buttons for the picture that was drawn last go. */
  actions: HTMLElement;
}

/** The gallery, for the page. */
export interface Gallery {
  /**
   * Add finished pictures; the buttons of `actions` are for the last one, and there are none if no
   * picture is given: what stands in the frame is not in the gallery then. They are listed when the
   * promise resolves; the browser's store takes them afterwards.
   */
  add(generated: Pick<Generated, "images" | "imageSettings" | "toBlob">): Promise<void>;
  /** Enlarge the picture that was added last, if it was not deleted. */
  enlarge(): void;
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

class MountedGallery implements Gallery {
  private readonly collection: Collection;
  private readonly viewer: Viewer;
  private readonly title = make("h2", { id: "gallery-title" });
  private readonly place = make("p", { class: "hint" });
  private readonly notices: Notices;
  private readonly noticesPlace = make("div");
  private readonly tiles: TileList;
  private readonly older = makeButton("", () => {
    const first = this.shown;
    this.shown += LISTED;
    this.write();
    // The button may be hidden now, and here begins what it showed.
    this.tiles.buttonAt(first)?.focus();
  });
  private readonly tools = make("div", { class: "tools" });
  private readonly question = make("dialog", {
    class: "question",
    "aria-labelledby": "delete-all",
  });
  private shown = LISTED;
  /** Whether the enlarged picture was opened from the list, which then gets the focus back. */
  private fromList = true;
  /** Ends the question to whoever leaves the page, while pictures are in memory alone. */
  private stay: (() => void) | undefined;
  private current: { picture: Picture; files: PictureFiles; address: string } | undefined;

  constructor(
    private readonly root: HTMLElement,
    private readonly page: GalleryPage,
    store: PictureStore | undefined,
  ) {
    this.collection = new Collection(store, () => {
      this.write();
    });
    const remove = (picture: Picture): Promise<void> => this.remove(picture);
    this.notices = new Notices(this.collection, {
      undo: (deleted) => void this.undo(deleted),
      makeRoom: (oldest) => void this.makeRoom(oldest),
      focus: () => {
        if (this.viewer.dialog.open) this.viewer.focus();
        else this.focusTile(0);
      },
    });
    this.tiles = new TileList({
      read: (id) => this.collection.read(id),
      open: ({ id }) => {
        this.open(id, true);
      },
      remove: (picture) => void remove(picture),
    });
    this.viewer = new Viewer(this.collection, {
      take: page.take,
      draw: page.draw,
      canStart: page.canStart,
      start: page.start,
      setStartAside: page.setStartAside,
      remove,
      say: (sentence) => {
        this.say(sentence);
      },
      closed: (id) => {
        this.noticesPlace.append(this.notices.element);
        // Otherwise the page would be scrolled down from the picture that was clicked.
        if (this.fromList) this.focusTile(this.tiles.indexOf(id));
      },
    });
    this.noticesPlace.append(this.notices.element);
    const { title, place, noticesPlace, tiles, older, tools, question, viewer } = this;
    const { element: list } = tiles;
    root.replaceChildren(title, noticesPlace, list, older, place, tools, viewer.dialog, question);
    root.tabIndex = -1;
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
    if (images.length === 0) this.clearActions();
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
        width: image.width,
        height: image.height,
        bytes: files.png.size + files.thumbnail.size,
      };
      this.clearActions();
      this.current = { picture, files, address: URL.createObjectURL(png) };
      this.writeActions();
      void this.collection.add(picture, files);
    }
  }

  enlarge(): void {
    const { pictures } = this.collection;
    const last = pictures.find(({ id }) => id === this.current?.picture.id);
    if (last !== undefined) this.open(last.id, false);
  }

  private open(id: string, fromList: boolean): void {
    this.fromList = fromList;
    this.viewer.notices.append(this.notices.element);
    this.viewer.open(id);
  }

  private clearActions(): void {
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
  private say(sentence: Sentence): void {
    if (this.viewer.dialog.open) this.viewer.say(sentence);
    else this.page.say(sentence);
  }

  /** Write everything anew, in another language. */
  private rewrite(): void {
    this.tiles.clear();
    this.write();
    this.writeActions();
    this.viewer.rewrite();
  }

  /** Show what the collection holds now. */
  private write(): void {
    const strings = galleryText();
    const { pictures, damaged } = this.collection;
    this.title.textContent = strings.title;
    const left = this.tiles.show(pictures.slice(0, this.shown));
    const more = pictures.length - this.shown;
    this.older.hidden = more <= 0;
    this.older.textContent = strings.showOlder(more);
    const { trouble, unkept } = this.collection;
    const keepsNone = trouble !== undefined && unkept === pictures.length;
    this.place.textContent = keepsNone ? "" : strings.keptHere;
    if (this.tools.childElementCount === 0 || !this.packing) this.writeTools();
    this.notices.write();
    const empty = pictures.length === 0 && damaged === 0;
    for (const part of [this.title, this.tiles.element, this.place, this.tools])
      part.hidden = empty;
    if (left !== undefined) this.focusTile(left);
    this.viewer.update();
    this.askOrNot();
  }

  /** Have the browser ask whoever leaves the page, as long as pictures are in memory alone. */
  private askOrNot(): void {
    if (this.collection.unkept > 0) this.stay ??= warnBeforeLeaving();
    else {
      this.stay?.();
      this.stay = undefined;
    }
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

  private async remove(picture: Picture): Promise<void> {
    try {
      await this.collection.remove(picture.id);
    } catch {
      this.say(() => galleryText().refusedChange);
      return;
    }
    const { name, id } = picture;
    if (this.collection.deleted?.id !== id) this.say(() => galleryText().deletedForGood(name));
  }

  /** Give the focus to a place in the list, or to what is left if the list is empty. */
  private focusTile(index: number): void {
    const button = this.tiles.buttonAt(index) ?? this.notices.element.querySelector("button");
    (button ?? this.root).focus();
  }

  private async undo(deleted: Picture): Promise<void> {
    await this.collection.undo();
    this.say(() => galleryText().broughtBack(deleted.name));
    if (this.viewer.dialog.open) this.viewer.open(deleted.id);
    else this.focusTile(this.collection.pictures.findIndex(({ id }) => id === deleted.id));
  }

  private async makeRoom(oldest: Picture[]): Promise<void> {
    try {
      await this.collection.makeRoom(oldest);
    } catch {
      this.say(() => galleryText().refusedChange);
      return;
    }
    const { unkept, trouble } = this.collection;
    if (unkept === 0 && trouble === undefined) {
      this.say(() => galleryText().madeRoom);
      if (!this.viewer.dialog.open) this.focusTile(0);
    }
  }

  private askToDeleteAll(): void {
    const strings = galleryText();
    const { pictures, damaged } = this.collection;
    const { question } = this;
    const count = pictures.length + damaged;
    const close = (): void => {
      question.close();
    };
    question.replaceChildren(
      make("h2", { id: "delete-all" }, strings.deleteAllQuestion(count)),
      make("p", {}, strings.deleteAllConsequence(count)),
      make(
        "div",
        { class: "tools" },
        makeButton(strings.deleteAllNo(count), close, { autofocus: true }),
        makeButton(strings.deleteAllYes(count), () => {
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
      this.say(() => galleryText().deletedAll);
      this.focusTile(0);
    } catch {
      this.say(() => galleryText().refusedChange);
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
      this.say(() => galleryText().packed(count, pictures.length));
    } catch {
      this.say(() => galleryText().packingFailed);
    } finally {
      this.packing = false;
      this.writeTools();
    }
  }
}
