/** Takes settings from a PNG, a link or a text: by file button, drop and paste. */

import type { AppliedLora, FoundSettings } from "../index";
import { parseLink, readSettingsText } from "../index";
import type { Field, Offer } from "./dropped_settings";
import { adopt, describe, LISTED, nameOrigin } from "./dropped_settings";
import { copyToClipboard, formLink } from "./form_link";
import { make, makeButton } from "./gallery/elements";
import { settingsFrom } from "./png_files";
import type { Sentence } from "./strings";
import { inWords, onLanguage, text } from "./strings";
import { galleryText } from "./strings/gallery";

/** What the page does for it. */
export interface ImportPage {
  /** What the form offers; undefined before a model is chosen. */
  offer: () => Offer | undefined;
  /** Write values into the form. */
  apply: (fields: Partial<Record<Field, string>>) => void;
  /** Read the form. */
  read: () => Partial<Record<Field, string>>;
  /** Name of the chosen model. */
  model: () => string;
  /** Show a sentence, which screen readers say. */
  say: (sentence: Sentence) => void;
  /** Whether drawing can begin with a picture. */
  canStart: () => boolean;
  /** Begin with a picture that brings no settings. */
  start: (file: Blob, name: Sentence) => Promise<void>;
  /** Offer to begin with a picture whose settings were taken. */
  offerStart: (file: Blob, name: Sentence) => void;
  /** Have those LoRAs on that settings name, and all others off. */
  applyLoras: (loras: readonly AppliedLora[]) => void;
  /** Whether a file is a LoRA. */
  isLora: (file: File) => boolean;
  addLoras: (files: File[]) => void;
}

/** Fills the form with settings, and lists what was taken and what not. */
export interface SettingsImport {
  /**
   * Fill the form.
   *
   * @param name where the settings are from, for the visitor, in the language of the page.
   * @param quiet say nothing if all of it was taken.
   * @returns false if no model is chosen, so that nothing can be taken yet.
   */
  take: (found: FoundSettings, name: Sentence, quiet?: boolean) => boolean;
}

/** How a file came. */
type Way = "chosen" | "dropped" | "pasted";

/** What the report is about. */
interface Taken {
  found: FoundSettings;
  /** What the form offered then. */
  offer: Offer;
  name: Sentence;
}

/** So many changes, and so much that is not taken, are listed; no program sets more. */
const MOST_LISTED = 1000;
/** A pasted text that is longer is not searched for settings. */
const LONGEST_TEXT = 2 ** 20;

/** Put the controls into an element, and listen to drops and pastes anywhere on the page. */
export function mountSettingsImport(root: HTMLElement, page: ImportPage): SettingsImport {
  const chooser = make("input", { type: "file", accept: "image/png,.png", hidden: true });
  const open = makeButton("", () => chooser.click());
  const copyLink = makeButton("", () => {
    void copyToClipboard(formLink(page.read(), page.model()), page.say);
  });
  const how = make("p", { class: "hint" });
  const report = make("section", { class: "taken", hidden: true });
  const veil = make("div", { class: "drop-here", "aria-hidden": "true" });
  /** The number of the last file: one that is read slowly must not replace a later one. */
  let newest = 0;
  let reported: Taken | undefined;
  const write = (dragged?: DataTransfer): void => {
    open.textContent = galleryText().importFile;
    copyLink.textContent = galleryText().copyLink;
    how.textContent = galleryText().importHow;
    veil.textContent = isPicture(dragged)
      ? page.canStart()
        ? galleryText().dropToStart
        : galleryText().dropHere
      : text().loras.drop;
    if (reported !== undefined) writeReport(reported);
  };
  write();
  onLanguage(() => write());
  root.replaceChildren(make("div", { class: "tools" }, open, copyLink), chooser, how, report);
  document.body.append(veil);

  chooser.onchange = () => {
    void takeFiles(chooser.files, "chosen");
    // The same file can be chosen again.
    chooser.value = "";
  };
  listenToDrops({
    begin: (dragged) => write(dragged ?? undefined),
    files: (files) => takeFiles(files, "dropped"),
    text: takeText,
  });
  listenToPastes({
    files: (files) => takeFiles(files, "pasted"),
    text: takeText,
  });
  return { take };

  function take(found: FoundSettings, name: Sentence, quiet = false): boolean {
    const offered = page.offer();
    if (offered === undefined) {
      page.say(() => galleryText().noModel(inWords(name)));
      return false;
    }
    // An example, or the form of the last visit, leaves LoRAs as they are, unless it names some.
    const leaves = quiet && found.loras === undefined;
    const offer = leaves ? { ...offered, loras: undefined } : offered;
    const adopted = adopt(found, offer);
    page.apply(adopted.fields);
    if (adopted.loras !== undefined) page.applyLoras(adopted.loras);
    const { changed, refused, remarks } = adopted;
    if (quiet && changed.length + refused.length + remarks.length === 0) return true;
    page.say(() => describe(adopt(found, offer), nameOrigin(found, inWords(name))));
    reported = { found, offer, name };
    writeReport(reported);
    report.hidden = false;
    // Settings are folded away at first.
    const folded = root.closest("details");
    if (folded !== null && changed.length + refused.length > 0) folded.open = true;
    return true;
  }

  function writeReport({ found, offer, name }: Taken): void {
    const strings = galleryText();
    const adopted = adopt(found, offer);
    const origin = nameOrigin(found, inWords(name));
    const title = make("h2", {}, strings.settingsFrom(origin));
    const hide = makeButton(strings.hide, () => {
      report.hidden = true;
      open.focus();
    });
    report.setAttribute("aria-label", strings.settingsFrom(origin));
    const { taken, changed, refused, remarks } = adopted;
    report.replaceChildren(
      title,
      make(
        "ul",
        {},
        ...(taken.length === 0 ? [] : [make("li", {}, strings.takenLine(taken))]),
        ...listAll(changed.map((what) => strings.changed(what))),
        ...listAll(refused.map((what) => strings.notTaken(what))),
        ...remarks.map((line) => make("li", {}, line)),
      ),
      hide,
    );
  }

  async function takeFiles(files: FileList | null, how: Way): Promise<void> {
    const all = [...(files ?? [])];
    const loras = all.filter(page.isLora);
    if (loras.length > 0) page.addLoras(loras);
    const others = all.filter((each) => !loras.includes(each));
    const [file] = others;
    if (file === undefined) return;
    const turn = ++newest;
    const pasted = how === "pasted";
    const name = pasted ? (): string => galleryText().pastedPicture : file.name;
    const found = await settingsFrom(file);
    if (turn !== newest) return;
    // The button for settings means settings; a picture without any can still be drawn from.
    const starts = how !== "chosen" && page.canStart();
    if (starts && (found === "noPng" || found === "noSettings")) {
      await page.start(file, name);
      return;
    }
    if (typeof found === "string") {
      page.say(() => {
        const { pastedProblems, problems } = galleryText();
        return pasted ? pastedProblems[found] : problems[found](file.name);
      });
      return;
    }
    if (take(found, name)) page.offerStart(file, name);
    const { length } = others;
    if (length < 2) return;
    page.say(() => {
      const { onlyFirst, onlyFirstPasted } = galleryText();
      return pasted ? onlyFirstPasted(length) : onlyFirst(file.name, length);
    });
  }

  function takeText(text: string): void {
    newest += 1;
    const short = text.length <= LONGEST_TEXT ? text.trim() : "";
    const link = readAddress(short);
    const found = link ?? readSettingsText(short);
    if (found === undefined) page.say(() => galleryText().noSettingsInText);
    else
      take(found, () => (link === undefined ? galleryText().pastedText : galleryText().thisLink));
  }
}

/** List lines: the first of them, and the others folded away. */
function listAll(lines: readonly string[]): HTMLLIElement[] {
  const items = (some: readonly string[]): HTMLLIElement[] =>
    some.map((line) => make("li", {}, line));
  const others = lines.slice(LISTED);
  if (others.length === 0) return items(lines);
  const more = make(
    "details",
    {},
    make("summary", {}, galleryText().more(others.length)),
    make("ul", {}, ...items(others.slice(0, MOST_LISTED))),
  );
  return [...items(lines.slice(0, LISTED)), make("li", {}, more)];
}

/** Read an address of the page that carries settings. */
function readAddress(text: string): FoundSettings | undefined {
  if (!/^https?:\/\/\S*#\S*$/.test(text)) return undefined;
  const found = parseLink(text);
  const [, model] = /[?&]model=([^&#]*)/.exec(text) ?? [];
  if (found !== undefined && model !== undefined) found.model = safelyDecoded(model);
  return found;
}

function safelyDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether what is dragged may be a picture: browsers tell the kind of a file before its name. */
function isPicture(dragged: DataTransfer | undefined): boolean {
  const files = [...(dragged?.items ?? [])].filter(({ kind }) => kind === "file");
  return files.length === 0 || files.some(({ type }) => type.startsWith("image/"));
}

interface Takers {
  /** Called when something is dragged over the page. */
  begin?: (dragged: DataTransfer | null) => void;
  files: (files: FileList) => Promise<void>;
  text: (text: string) => void;
}

/** Say whether a visitor can write into what an event is for. */
function isEditable(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("textarea, input:not([type=range])");
}

/** Close what lies over the form, so that one sees what was taken. */
function closeDialogs(): void {
  for (const dialog of document.querySelectorAll<HTMLDialogElement>("dialog[open]")) dialog.close();
}

function listenToDrops({ begin, files, text }: Takers): void {
  const { dataset } = document.documentElement;
  /** Whether what is dragged is a part of this page. */
  let own = false;
  const isFile = (event: DragEvent): boolean =>
    !own && event.dataTransfer?.types.includes("Files") === true;
  document.addEventListener("dragstart", () => (own = true));
  document.addEventListener("dragend", () => (own = false));
  document.addEventListener("dragover", (event) => {
    // Text that is dragged into a field goes there.
    if (!isFile(event) && isEditable(event.target)) return;
    event.preventDefault();
    if (!isFile(event) || dataset.dragging !== undefined) return;
    begin?.(event.dataTransfer);
    dataset.dragging = "";
  });
  document.addEventListener("dragleave", (event) => {
    // Otherwise it only went over to another element.
    if (event.relatedTarget === null) delete dataset.dragging;
  });
  document.addEventListener("drop", (event) => {
    delete dataset.dragging;
    if (!isFile(event) && isEditable(event.target)) return;
    event.preventDefault();
    const { dataTransfer } = event;
    if (own || dataTransfer === null) return;
    closeDialogs();
    if (dataTransfer.files.length > 0) void files(dataTransfer.files);
    else text(dataTransfer.getData("text/plain"));
  });
}

function listenToPastes({ files, text }: Takers): void {
  document.addEventListener("paste", (event) => {
    const { clipboardData } = event;
    if (clipboardData === null || event.defaultPrevented) return;
    const pasted = clipboardData.getData("text/plain");
    // Office programs copy a text together with a picture of it; a field takes the text.
    if (isEditable(event.target) && (pasted !== "" || clipboardData.files.length === 0)) return;
    if (pasted === "" && clipboardData.files.length === 0) return;
    event.preventDefault();
    closeDialogs();
    if (clipboardData.files.length > 0) void files(clipboardData.files);
    else text(pasted);
  });
}
