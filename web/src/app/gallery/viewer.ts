/** Shows a picture as large as the window, or in its own size, alone or compared with another. */

import type { Sentence } from "../strings";
import { inWords } from "../strings";
import { galleryText } from "../strings/gallery";
import type { Collection } from "./collection";
import { make, makeButton } from "./elements";
import type { Picture } from "./picture";
import { promptOf, settingsTable } from "./settings_table";
import type { PictureHost } from "./tools";
import { pictureTools } from "./tools";

/** What the gallery does for the viewer. */
export interface ViewerHost extends Omit<PictureHost, "leave"> {
  remove: (picture: Picture) => Promise<void>;
  /** Called when the dialog is closed, with the picture that was shown last. */
  closed: (id: string) => void;
}

/** A picture that is shown, with its address for the browser. */
interface Shown {
  picture: Picture;
  png: Blob;
  address: string;
}

/** Pixels of the longer edge; smaller pictures are shown with their pixels as squares. */
const SMALL = 256;
/** The middle of the slider, in percent of the picture's width. */
const MIDDLE = 50;

export class Viewer {
  readonly dialog = make("dialog", {
    class: "viewer",
    "aria-labelledby": "viewer-title",
    // A click beside it closes it, in browsers that have that.
    closedby: "any",
  });
  /** Where the gallery's sentences stand while the dialog hides the page. */
  readonly notices = make("div");
  private readonly title = make("h2", { id: "viewer-title", tabindex: "-1" });
  private readonly close = makeButton("", () => this.dialog.close());
  private readonly frame = make("div", { class: "viewed" });
  private readonly slider = make("input", { type: "range", min: "0", max: "100", class: "share" });
  private readonly settings = make("div", { class: "viewed-settings" });
  private sentence: Sentence = "";
  private readonly said = make("p", { class: "hint", "aria-live": "polite" });
  private readonly navigation = make("div", { class: "tools" });
  private readonly tools = make("div", { class: "tools" });
  /** The picture that is shown, and in a comparison the one that stays. */
  private id = "";
  private pinned: string | undefined;
  /** Whether the picture has its own size, in which it may have to be scrolled. */
  private actualSize = false;
  /** Where the picture was in the list, for when it is deleted. */
  private index = 0;
  private addresses: string[] = [];
  /** The number of the last picture: one that is read slowly must not replace a later one. */
  private newest = 0;

  constructor(
    private readonly collection: Collection,
    private readonly host: ViewerHost,
  ) {
    const { dialog, title, frame, slider, navigation, tools, settings, notices, said, close } =
      this;
    dialog.append(
      make("header", {}, title, close),
      frame,
      slider,
      navigation,
      tools,
      said,
      notices,
      settings,
    );
    slider.oninput = () => frame.style.setProperty("--share", `${slider.value}%`);
    frame.onclick = () => {
      if (this.hasActualSize()) this.toggleSize();
    };
    const announceTitles = (): void => this.title.setAttribute("aria-live", "polite");
    for (const type of ["keydown", "click"]) dialog.addEventListener(type, announceTitles, true);
    dialog.onkeydown = (event) => {
      this.followKey(event);
    };
    dialog.onclose = () => {
      this.newest += 1;
      this.release();
      frame.replaceChildren();
      this.host.closed(this.id);
    };
  }

  /** Open the dialog with a picture. */
  open(id: string): void {
    this.pinned = undefined;
    this.actualSize = false;
    this.say("");
    // The focus says this title; those of later pictures are said because they change.
    this.title.setAttribute("aria-live", "off");
    void this.show(id);
    if (!this.dialog.open) this.dialog.showModal();
    this.focus();
  }

  /** Give the focus to the dialog's title. */
  focus(): void {
    this.title.focus();
  }

  /** Show a sentence in the dialog, which screen readers say. */
  say(sentence: Sentence): void {
    this.sentence = sentence;
    this.said.textContent = inWords(sentence);
  }

  /** Show what the collection holds now, after a change; another tab may have changed it. */
  update(): void {
    if (!this.dialog.open) return;
    const { pictures } = this.collection;
    const isThere = (id: string): boolean => pictures.some((each) => each.id === id);
    const otherIsGone = this.pinned !== undefined && !isThere(this.pinned);
    if (otherIsGone) this.pinned = undefined;
    if (isThere(this.id)) {
      if (otherIsGone) void this.show(this.id);
      else this.describe();
      return;
    }
    const next = pictures[Math.min(this.index, pictures.length - 1)];
    if (this.collection.deleted?.id !== this.id) this.say(() => galleryText().gone);
    // A picture is not compared with itself.
    if (next?.id === this.pinned) this.pinned = undefined;
    if (next === undefined) this.dialog.close();
    else void this.show(next.id);
  }

  /** Write everything anew, in the language that is chosen now. */
  rewrite(): void {
    if (!this.dialog.open) return;
    this.say(this.sentence);
    void this.show(this.id);
  }

  private async show(id: string): Promise<void> {
    const turn = ++this.newest;
    this.id = id;
    this.describe();
    const wanted = this.pinned === undefined || this.pinned === id ? [id] : [this.pinned, id];
    const found = await Promise.all(wanted.map((each) => this.collection.read(each)));
    if (turn !== this.newest) return;
    this.release();
    const shown = wanted.map((each, index): Shown | undefined => {
      const picture = this.collection.pictures.find((one) => one.id === each);
      const png = found[index]?.png;
      return picture && png && { picture, png, address: this.addressOf(png) };
    });
    const images = shown.map((each) => this.imageOf(each));
    this.frame.replaceChildren(...images);
    this.frame.classList.toggle("compared", images.length > 1);
    // Pictures of two shapes have a frame that both fit into.
    const ratios = shown.map((each) => each && each.picture.width / each.picture.height);
    this.dialog.style.setProperty("--ratio", String(Math.max(...ratios.map((each) => each ?? 1))));
    this.writeSize();
    this.slider.hidden = images.length < 2;
    this.slider.value = String(MIDDLE);
    this.frame.style.setProperty("--share", `${MIDDLE}%`);
    const current = shown.at(-1);
    const focused = [...this.tools.children].indexOf(document.activeElement!);
    this.tools.replaceChildren(
      ...(current === undefined
        ? []
        : pictureTools(current.picture, current.png, current.address, {
            ...this.host,
            leave: () => {
              this.dialog.close();
            },
          })),
    );
    // Without a focus in the dialog, its keys would do nothing.
    if (focused >= 0)
      ((this.tools.children[focused] as HTMLElement | undefined) ?? this.title).focus();
    const pictures = shown.filter((each) => each !== undefined);
    this.settings.replaceChildren(settingsTable(pictures.map(({ picture }) => picture.text)));
  }

  private imageOf(shown: Shown | undefined): HTMLElement {
    if (shown === undefined) return make("p", { class: "broken" }, galleryText().broken);
    const { width, height } = shown.picture;
    const image = make("img", { src: shown.address, alt: promptOf(shown.picture) });
    [image.width, image.height] = [width, height];
    // As on the page itself, the pixels of a small picture are squares.
    if (isSmall(shown.picture)) image.classList.add("squares");
    return image;
  }

  /** Write the title and the buttons of the dialog. */
  private describe(): void {
    const strings = galleryText();
    const { pictures } = this.collection;
    const place = (id: string | undefined): number => pictures.findIndex((each) => each.id === id);
    this.index = Math.max(0, place(this.id));
    const picture = pictures[this.index];
    if (picture === undefined) return;
    const count = pictures.length;
    const comparing = this.pinned !== undefined;
    this.title.textContent = comparing
      ? strings.comparing(place(this.pinned) + 1, this.index + 1)
      : strings.position(this.index + 1, count);
    this.slider.setAttribute("aria-label", strings.comparisonShare);
    this.close.textContent = strings.close;
    // A button that is disabled would lose the focus at the first and the last picture.
    const buttons = [
      makeButton(strings.newer, () => this.step(-1), { "aria-disabled": String(this.index === 0) }),
      makeButton(strings.older, () => this.step(1), {
        "aria-disabled": String(this.index === count - 1),
      }),
      makeButton(strings.compare, () => this.toggleComparison(), {
        "aria-pressed": String(comparing),
        ...(count < 2 && !comparing ? { hidden: true } : {}),
      }),
      makeButton(strings.actualSize, () => this.toggleSize(), {
        "aria-pressed": String(this.actualSize),
        ...(this.hasActualSize() ? {} : { hidden: true }),
      }),
      makeButton(strings.delete, () => void this.host.remove(picture)),
    ];
    const focused = [...this.navigation.children].indexOf(document.activeElement!);
    this.navigation.replaceChildren(...buttons);
    buttons[focused]?.focus();
  }

  /** Whether the picture can be shown in its own size: alone, and not as squares. */
  private hasActualSize(): boolean {
    const picture = this.collection.pictures.find(({ id }) => id === this.id);
    return this.pinned === undefined && picture !== undefined && !isSmall(picture);
  }

  private toggleSize(): void {
    this.actualSize = !this.actualSize;
    this.describe();
    this.writeSize();
  }

  private writeSize(): void {
    const actual = this.actualSize && this.hasActualSize();
    this.frame.classList.toggle("actual", actual);
    // What is scrolled can have the focus, for the arrow keys.
    if (actual) this.frame.tabIndex = 0;
    else {
      // Without a focus in the dialog, its keys would do nothing.
      if (document.activeElement === this.frame) this.focus();
      this.frame.removeAttribute("tabindex");
    }
  }

  private step(by: number): void {
    const { pictures } = this.collection;
    let next = pictures[this.index + by];
    // A picture is not compared with itself.
    if (next !== undefined && next.id === this.pinned) next = pictures[this.index + 2 * by];
    if (next !== undefined) void this.show(next.id);
  }

  /** Keep the picture on one side, and show its neighbour on the other; or end that. */
  private toggleComparison(): void {
    const { pictures } = this.collection;
    if (this.pinned === undefined) {
      this.pinned = this.id;
      const neighbour = pictures[this.index + 1] ?? pictures[this.index - 1];
      if (neighbour !== undefined) void this.show(neighbour.id);
    } else {
      const former = this.pinned;
      this.pinned = undefined;
      void this.show(former);
    }
  }

  private followKey(event: KeyboardEvent): void {
    // The slider, and a picture that is scrolled, have these keys for themselves.
    if (
      event.target instanceof HTMLInputElement ||
      event.target === this.frame ||
      event.altKey ||
      event.ctrlKey ||
      event.metaKey
    ) {
      return;
    }
    const forward = getComputedStyle(this.dialog).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
    const { length } = this.collection.pictures;
    const steps: Partial<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: -1,
      [forward]: 1,
      Home: -this.index,
      End: length - 1 - this.index,
    };
    const by = Object.hasOwn(steps, event.key) ? steps[event.key] : undefined;
    if (by === undefined) return;
    event.preventDefault();
    if (by !== 0) this.step(by);
  }

  private addressOf(png: Blob): string {
    const address = URL.createObjectURL(png);
    this.addresses.push(address);
    return address;
  }

  private release(): void {
    for (const address of this.addresses) URL.revokeObjectURL(address);
    this.addresses = [];
  }
}

function isSmall({ width, height }: Picture): boolean {
  return Math.max(width, height) < SMALL;
}
