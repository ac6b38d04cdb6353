/** What the gallery tells about what it keeps, each with a button for what can be done. */

import { galleryText } from "../strings/gallery";
import type { Collection } from "./collection";
import { make, makeButton } from "./elements";
import type { Picture } from "./picture";

/** What the buttons do. */
export interface NoticeHost {
  undo: (deleted: Picture) => void;
  makeRoom: (oldest: Picture[]) => void;
  /** Take the focus of a button that is gone. */
  focus: () => void;
}

interface Notice {
  text: string;
  action?: { text: string; run: () => void };
}

export class Notices {
  /** Screen readers say what is added here. */
  readonly element = make("div", { "aria-live": "polite" });
  /** What is said now: it is left alone until it changes, because a button may have the focus. */
  private said = "";

  constructor(
    private readonly collection: Collection,
    private readonly host: NoticeHost,
  ) {}

  /** Say what there is to say of the collection now. */
  write(): void {
    const notices = this.list();
    const said = JSON.stringify([notices, this.collection.deleted?.id]);
    if (said === this.said) return;
    this.said = said;
    const lines = notices.map(({ text, action }) => {
      const line = make("p", { class: "notice" }, text);
      if (action !== undefined) line.append(" ", makeButton(action.text, action.run));
      return line;
    });
    const focused = this.element.contains(document.activeElement);
    this.element.replaceChildren(...lines);
    if (!focused) return;
    const button = this.element.querySelector("button");
    if (button === null) this.host.focus();
    else button.focus();
  }

  private list(): Notice[] {
    const strings = galleryText();
    const { trouble, unkept, damaged, deleted, pictures } = this.collection;
    const notices: Notice[] = [];
    if (deleted !== undefined) {
      const run = (): void => this.host.undo(deleted);
      notices.push({ text: strings.deleted(deleted.name), action: { text: strings.undo, run } });
    }
    if (trouble === "none" && pictures.length > 0) notices.push({ text: strings.noStore });
    if (trouble === "full" && unkept > 0) notices.push(this.full());
    if (trouble === "refused") {
      const text = unkept === 0 ? strings.unlisted : strings.refused(unkept);
      const run = (): void => this.host.makeRoom([]);
      notices.push({ text, action: { text: strings.tryAgain, run } });
    }
    if (damaged > 0) notices.push({ text: strings.damaged(damaged) });
    return notices;
  }

  private full(): Notice {
    const strings = galleryText();
    const text = `${strings.full(this.collection.unkept)} ${strings.fullHow}`;
    const oldest = this.collection.oldest();
    if (oldest.length === 0) return { text };
    const size = oldest.reduce((sum, { bytes }) => sum + bytes, 0);
    const run = (): void => this.host.makeRoom(oldest);
    return { text, action: { text: strings.makeRoom(oldest.length, size), run } };
  }
}
