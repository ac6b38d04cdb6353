/** The start picture on the page: how it comes in and goes, what is done with it, and its mask. */

import type { Manifest, PictureOptions, PictureSize } from "../../index";
import { describeFit, hasEncoder, needsMask } from "../../index";
import { shrinkCanvas } from "../canvases";
import { element } from "../dom";
import { make } from "../gallery/elements";
import { MaskEditor } from "../mask/editor";
import type { Sentence } from "../strings";
import { inWords, onLanguage, text } from "../strings";
import {
  addedSides,
  addSides,
  describeOptionalFields,
  readPictureOptions,
  setGiven,
} from "./fields";
import type { KeptPicture } from "./kept_picture";
import { PictureKeeper } from "./kept_picture";
import type { StartPicture } from "./start_picture";
import { maskPicture, openPicture } from "./start_picture";

/** What the page does for it. */
export interface GivenPage {
  /** Show a sentence, which screen readers say. */
  say: (sentence: Sentence) => void;
  /** Show an error about a file, below what happened and what to do. */
  fail: (error: unknown, title: Sentence, steps: Sentence) => void;
  /** The size that the form says. */
  size: () => PictureSize;
  /** Called when the picture or its mask came, changed or went. */
  changed: () => void;
}

/** The start picture, for the page. */
export interface GivenPanel {
  /** Whether the chosen model can begin with a picture; true as long as none is chosen. */
  canStart: () => boolean;
  /** Begin with a picture from now on. */
  take: (file: Blob, name: Sentence) => Promise<void>;
  /** Offer to begin with a picture whose settings were taken. */
  offer: (file: Blob, name: Sentence) => void;
  /**
   * Begin with no picture from now on, because what is drawn next was drawn from words alone. It can
   * be brought back; a model that changes pictures keeps it.
   */
  setAside: () => void;
  /** What is given to the pipeline; nothing if there is no picture. */
  options: () => PictureOptions;
  /** What is missing before this model can draw, if something is. */
  missing: () => Sentence | undefined;
  /**
   * Take up another model.
   *
   * @param sizes those in which the GPU can begin with a picture; undefined where that is not known.
   */
  offerModel: (manifest: Manifest, sizes?: readonly PictureSize[]) => void;
  /** Write what depends on the form's other fields. */
  describe: () => void;
}

/** Pixels of the small picture's longer side. */
const SMALL = 192;
/** The colour of what is painted, on the small picture. */
const PAINT = "rgb(0 105 95 / 75%)";

/** Listen to the page's elements, and bring back the picture of an earlier visit. */
export function mountGiven(page: GivenPage): GivenPanel {
  const panel = new MountedGiven(page);
  void panel.restore();
  return panel;
}

class MountedGiven implements GivenPanel {
  private readonly editor = new MaskEditor(() => this.painted());
  private readonly keeper = new PictureKeeper();
  private picture: StartPicture | undefined;
  private model: Manifest | undefined;
  /** Sizes in which the GPU can begin with a picture; undefined where that is not known. */
  private sizes: readonly PictureSize[] | undefined;
  /** What the buttons of the offer are about: a picture with settings, or one that was removed. */
  private offered: { said: Sentence; yes: Sentence; take: () => void } | undefined;
  /** The small picture and the share that is painted, until one of them changes. */
  private seen: { small: HTMLCanvasElement; share: number } | undefined;
  /** The number of the last picture: one that is read slowly must not replace a later one. */
  private newest = 0;

  constructor(private readonly page: GivenPage) {
    document.body.append(this.editor.dialog);
    const chooser = make("input", { type: "file", accept: "image/*", hidden: true });
    element("start").append(chooser);
    element("choose-picture").onclick = () => chooser.click();
    chooser.onchange = () => {
      const [file] = chooser.files ?? [];
      if (file !== undefined) void this.take(file, file.name);
      // The same file can be chosen again.
      chooser.value = "";
    };
    element("remove-picture").onclick = () => this.remove();
    element("edit-mask").onclick = () => this.edit();
    element("remove-mask").onclick = () => {
      this.picture?.mask.clear();
      this.painted();
      element("edit-mask").focus();
    };
    element("given-offer-yes").onclick = () => {
      const { offered } = this;
      this.endOffer();
      offered?.take();
    };
    element("given-offer-no").onclick = () => {
      this.endOffer();
      element("choose-picture").focus();
    };
    element("enlarge").addEventListener("change", () => void this.keep());
    onLanguage(() => {
      this.seen = undefined;
      this.describe();
      this.writeOffer();
    });
  }

  /** Bring back what an earlier visit has kept. */
  async restore(): Promise<void> {
    const turn = ++this.newest;
    const kept = await this.keeper.read();
    if (kept === undefined || turn !== this.newest) return;
    const picture = await reopen(kept).catch(() => undefined);
    if (picture !== undefined && turn === this.newest) this.begin(picture, kept.added);
  }

  canStart = (): boolean => this.model === undefined || hasEncoder(this.model);

  take = async (file: Blob, name: Sentence): Promise<void> => {
    const turn = ++this.newest;
    if (!this.canStart()) {
      this.page.say(() => text().given.noEncoder);
      return;
    }
    let picture: StartPicture;
    try {
      picture = await openPicture(file, name);
    } catch (error) {
      if (turn !== this.newest) return;
      const { fail } = this.page;
      fail(
        error,
        () => text().given.unreadable(inWords(name)),
        () => text().given.unreadableHow,
      );
      return;
    }
    if (turn !== this.newest) return;
    this.begin(picture);
    this.page.say(() => text().given.taken(inWords(name)));
    element("given-title").focus();
    if (!(await this.keep())) this.page.say(() => text().given.notKept);
  };

  offer = (file: Blob, name: Sentence): void => {
    if (!this.canStart()) return;
    this.offered = {
      said: () => text().given.offer(inWords(name)),
      yes: () => text().given.use,
      take: () => void this.take(file, name),
    };
    this.writeOffer();
  };

  setAside = (): void => {
    if (this.model === undefined || !this.canStart() || needsMask(this.model)) return;
    this.takeAway((name) => text().given.setAside(name));
  };

  options = (): PictureOptions => {
    const { picture } = this;
    if (picture === undefined || !this.canStart()) return {};
    const mask = picture.mask.isEmpty ? {} : { mask: maskPicture(picture.mask, picture.size) };
    return { image: picture.file, ...mask, ...readPictureOptions() };
  };

  missing = (): Sentence | undefined => {
    if (this.model === undefined) return undefined;
    const size = this.page.size().join("x");
    const isPossible = this.sizes?.some((each) => each.join("x") === size) ?? true;
    if (this.picture !== undefined && this.canStart() && !isPossible)
      return () => text().given.notThisLarge(size.replace("x", " × "));
    if (!needsMask(this.model)) return undefined;
    if (this.picture === undefined) return () => text().given.needsPicture;
    return this.isMasked ? undefined : () => text().given.needsMask;
  };

  offerModel = (manifest: Manifest, sizes?: readonly PictureSize[]): void => {
    [this.model, this.sizes] = [manifest, sizes];
    if (!this.canStart()) this.endOffer();
    this.describe();
  };

  /** Whether a part of the picture is drawn anew: what is painted, or what is added at its sides. */
  private get isMasked(): boolean {
    const { picture } = this;
    if (picture === undefined) return false;
    return !picture.mask.isEmpty || Object.values(addedSides()).some((pixels) => pixels > 0);
  }

  private begin(picture: StartPicture, added?: readonly number[]): void {
    this.picture = picture;
    this.seen = undefined;
    this.endOffer();
    addSides(added);
    this.describe();
    this.page.changed();
  }

  private remove(): void {
    this.takeAway((name) => text().given.removed(name));
    element("choose-picture").focus();
  }

  /** Begin with no picture, and offer to bring it back. */
  private takeAway(describe: (name: string) => string): void {
    const former = this.picture;
    if (former === undefined) return;
    this.newest += 1;
    this.picture = undefined;
    this.offered = {
      said: () => describe(inWords(former.name)),
      yes: () => text().given.bringBack,
      take: () => {
        this.begin(former);
        element("given-title").focus();
        void this.keep();
      },
    };
    this.describe();
    this.writeOffer();
    void this.keep();
    this.page.changed();
  }

  private edit(): void {
    if (this.picture !== undefined) this.editor.open(this.picture.shown, this.picture.mask);
  }

  /** The mask has been changed. */
  private painted(): void {
    this.seen = undefined;
    this.describe();
    this.page.changed();
    void this.keep();
  }

  private keep(): Promise<boolean> {
    const { picture } = this;
    if (picture === undefined) return this.keeper.write(undefined);
    const { file, name, mask } = picture;
    const { left, right, top, bottom } = addedSides();
    const added = [left, right, top, bottom];
    // The name of what was pasted depends on the language.
    return this.keeper.write({ file, name: typeof name === "string" ? name : "", mask, added });
  }

  private endOffer(): void {
    this.offered = undefined;
    this.writeOffer();
  }

  private writeOffer(): void {
    const { offered } = this;
    element("given-offer").hidden = offered === undefined;
    if (offered === undefined) return;
    element("given-offer-text").textContent = inWords(offered.said);
    element("given-offer-yes").textContent = inWords(offered.yes);
  }

  describe = (): void => {
    const { picture } = this;
    const possible = this.canStart();
    const given = possible && picture !== undefined;
    element("no-encoder").hidden = possible;
    element("start").hidden = !possible || given;
    element("choose-how").textContent =
      this.model !== undefined && needsMask(this.model)
        ? text().given.needsPicture
        : text().given.chooseHow;
    element("given").hidden = !given;
    element("form").classList.toggle("given", given);
    // Fields that are not in sight are disabled.
    setGiven(given, given && this.isMasked);
    describeOptionalFields();
    if (!given) return;
    const { mask } = picture;
    if (this.seen === undefined) {
      this.seen = { small: drawSmall(picture), share: mask.share };
      element("given-picture").replaceChildren(this.seen.small);
    }
    const { share } = this.seen;
    element("edit-mask").textContent = mask.isEmpty ? text().given.edit : text().given.editAgain;
    element("remove-mask").hidden = mask.isEmpty;
    const said = this.describeUse(picture);
    element("given-used").textContent = mask.isEmpty
      ? said
      : `${said} ${text().given.masked(share)}`;
  };

  /** Say in a sentence what becomes of the picture's shape and size. */
  private describeUse({ size: [width, height], mask }: StartPicture): string {
    const strings = text().given;
    const added = addedSides();
    const given = [width + added.left + added.right, height + added.top + added.bottom] as const;
    const size = this.page.size();
    const [theirs, ours] = [given.join(" × "), size.join(" × ")];
    // No model is chosen yet.
    if (size.includes(0)) return strings.usedWhole(theirs, theirs);
    const options = readPictureOptions();
    const grows = Object.values(added).some((pixels) => pixels > 0);
    if (options.onlyMasked === true && (grows || !mask.isEmpty))
      return strings.usedMasked(theirs, ours);
    const { from, to } = describeFit(given, size, options.fit!);
    const sides = (area: { width: number; height: number }): string =>
      `${Math.round(area.width)} × ${Math.round(area.height)}`;
    if (sides(to) !== ours) return strings.usedBordered(theirs, sides(to), ours);
    if (sides(from) !== theirs) return strings.usedPart(theirs, sides(from), ours);
    const shapes = [given, size].map(([wide, high]) => wide / high);
    // Shapes that differ by rounding alone are the same.
    const alike = Math.abs(Math.log(shapes[0]! / shapes[1]!)) < 0.01;
    return alike ? strings.usedWhole(theirs, ours) : strings.usedStretched(theirs, ours);
  }
}

async function reopen({ file, name, mask }: KeptPicture): Promise<StartPicture> {
  const picture = await openPicture(file, name === "" ? () => text().given.pasted : name);
  if (mask?.length === picture.mask.bytes.length) picture.mask.take(mask);
  return picture;
}

/** Draw a small copy of the picture, with what is painted on it. */
function drawSmall({ shown, mask, name }: StartPicture): HTMLCanvasElement {
  const small = shrinkCanvas(shown, SMALL);
  const context = small.getContext("2d")!;
  context.fillStyle = PAINT;
  for (let y = 0; y < small.height; y++) {
    const row = Math.floor(((y + 0.5) * mask.height) / small.height) * mask.width;
    for (let x = 0; x < small.width; x++) {
      const column = Math.floor(((x + 0.5) * mask.width) / small.width);
      if (mask.bytes[row + column]! > 0) context.fillRect(x, y, 1, 1);
    }
  }
  small.setAttribute("role", "img");
  small.setAttribute("aria-label", text().given.alt(inWords(name)));
  return small;
}
