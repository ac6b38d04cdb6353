/** The list of small pictures, each of which opens the large one, and a link that saves it. */

import { galleryText } from "../strings/gallery";
import type { Collection } from "./collection";
import { make, makeButton } from "./elements";
import type { Picture } from "./picture";
import { promptOf } from "./settings_table";

/** What the gallery does for the list. */
export interface TileHost {
  read: Collection["read"];
  open: (picture: Picture) => void;
  remove: (picture: Picture) => void;
}

interface Tile {
  item: HTMLLIElement;
  /** Addresses that the browser holds for it. */
  addresses: string[];
}

export class TileList {
  readonly element = make("ul", {
    id: "pictures",
    "aria-labelledby": "gallery-title",
    // Safari takes a list without bullets for none.
    role: "list",
  });
  private readonly tiles = new Map<string, Tile>();

  constructor(private readonly host: TileHost) {}

  /**
   * List pictures, and leave alone the items that stay: one may have the focus.
   *
   * @returns the place of the item that had the focus, if it went.
   */
  show(pictures: readonly Picture[]): number | undefined {
    const wanted = new Set(pictures.map(({ id }) => id));
    let left: number | undefined;
    for (const [id, { item }] of [...this.tiles]) {
      if (wanted.has(id)) continue;
      if (item.contains(document.activeElement)) left = this.indexOf(id);
      this.drop(id);
    }
    // Only what is not in its place is moved: moving an element takes the focus from it.
    for (const [index, picture] of pictures.entries()) {
      const { item } = this.tiles.get(picture.id) ?? this.add(picture);
      const present = this.element.children[index];
      if (present !== item) this.element.insertBefore(item, present ?? null);
    }
    return left;
  }

  /** Remove all items; {@link show} makes them anew, in the language of then. */
  clear(): void {
    for (const id of [...this.tiles.keys()]) this.drop(id);
  }

  /** The place of a picture in the list; 0 if it is not there. */
  indexOf(id: string): number {
    const item = this.tiles.get(id)?.item;
    return item === undefined ? 0 : [...this.element.children].indexOf(item);
  }

  /** The button of the item that is nearest to a place. */
  buttonAt(index: number): HTMLButtonElement | undefined {
    const items = this.element.children;
    return items[Math.min(index, items.length - 1)]?.querySelector("button") ?? undefined;
  }

  private add(picture: Picture): Tile {
    const strings = galleryText();
    const image = make("img", { alt: strings.enlarge(promptOf(picture)) });
    const open = makeButton("", () => this.host.open(picture), { class: "tile" });
    open.append(image);
    const save = make(
      "a",
      {
        class: "save",
        download: picture.name,
        title: picture.name,
        "aria-label": strings.savedName(picture.name),
      },
      strings.save,
    );
    const item = make("li", {}, open, save);
    item.onkeydown = (event) => {
      if (event.key !== "Delete") return;
      event.preventDefault();
      this.host.remove(picture);
    };
    const tile: Tile = { item, addresses: [] };
    this.tiles.set(picture.id, tile);
    void this.host.read(picture.id).then((files) => {
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

  private drop(id: string): void {
    const { item, addresses } = this.tiles.get(id)!;
    this.tiles.delete(id);
    item.remove();
    for (const address of addresses) URL.revokeObjectURL(address);
  }
}
