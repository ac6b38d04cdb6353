/** The buttons for one picture: what can be done with it. */

import type { FoundSettings } from "../../index";
import { readSettingsText } from "../../index";
import { copyToClipboard, pictureLink } from "../form_link";
import type { Sentence } from "../strings";
import { galleryText } from "../strings/gallery";
import { make, makeButton } from "./elements";
import type { Picture } from "./picture";

/** What the page does with a picture. */
export interface PictureHost {
  /** Fill the form with settings. */
  take: (found: FoundSettings, name: string) => boolean;
  /** Draw what the form says, as its own button does. */
  draw: () => void;
  /** Whether drawing can begin with a picture. */
  canStart: () => boolean;
  /** Begin with a picture from now on. */
  start: (file: Blob, name: string) => Promise<void>;
  /** Begin with no picture from now on, because what is drawn next was drawn from words alone. */
  setStartAside: () => void;
  /** Show a sentence, which screen readers say. */
  say: (sentence: Sentence) => void;
  /** Called before the form is filled, to close what lies over it. */
  leave: () => void;
}

/** Make the link and the buttons for a picture. */
export function pictureTools(
  picture: Picture,
  png: Blob,
  address: string,
  host: PictureHost,
): HTMLElement[] {
  const strings = galleryText();
  const { say } = host;
  const file = new File([png], picture.name, { type: "image/png" });
  const found = readSettingsText(picture.text);
  const tools: HTMLElement[] = [
    make("a", { href: address, download: picture.name, class: "button" }, strings.save),
  ];
  if (typeof ClipboardItem !== "undefined") {
    tools.push(makeButton(strings.copy, () => void copy(png, say)));
  }
  if (canShare(file)) tools.push(makeButton(strings.share, () => void share(file, say)));
  if (host.canStart()) {
    const startFrom = (): void => {
      host.leave();
      void host.start(file, picture.name);
    };
    tools.push(makeButton(strings.startFrom, startFrom, { title: strings.startFromHint }));
  }
  // A picture whose settings cannot be read can be begun with all the same.
  if (found === undefined) return tools;
  const useSettings = (settings: FoundSettings): boolean => {
    host.leave();
    return host.take(settings, picture.name);
  };
  const drawAgain = (settings: FoundSettings): void => {
    if (settings.strength === undefined) host.setStartAside();
    if (useSettings(settings)) host.draw();
  };
  tools.push(
    makeButton(strings.copyLink, () => void copyToClipboard(pictureLink(picture.text), say)),
    makeButton(strings.useSettings, () => void useSettings(found)),
    makeButton(strings.vary, () => drawAgain(variationOf(found)), { title: strings.varyHint }),
    makeButton(strings.anotherSeed, () => drawAgain(otherSeed(found)), {
      title: strings.anotherSeedHint,
    }),
  );
  return tools;
}

/** How much of other noise a variation has: the picture is much the same. */
const VARIATION_STRENGTH = 0.15;

/** The same settings with another seed, for one picture. */
export function otherSeed(found: FoundSettings): FoundSettings {
  return { ...found, seed: newSeed(), picture: undefined, variationSeed: undefined };
}

/** The same settings with a little of other noise; a variation becomes another one of its kind. */
export function variationOf(found: FoundSettings): FoundSettings {
  const strength = found.variationStrength ?? 0;
  return {
    ...found,
    variationSeed: newSeed(),
    variationStrength: strength > 0 ? strength : VARIATION_STRENGTH,
  };
}

function newSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

async function copy(png: Blob, say: PictureHost["say"]): Promise<void> {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    say(() => galleryText().copied);
  } catch {
    say(() => galleryText().copyFailed);
  }
}

function canShare(file: File): boolean {
  // Not every browser has it.
  const { canShare } = navigator as Partial<Navigator>;
  return canShare?.call(navigator, { files: [file] }) ?? false;
}

async function share(file: File, say: PictureHost["say"]): Promise<void> {
  try {
    await navigator.share({ files: [file] });
  } catch (error) {
    // The visitor closed the system's dialog.
    if (error instanceof Error && error.name === "AbortError") return;
    say(() => galleryText().shareFailed);
  }
}
