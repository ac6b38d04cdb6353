/** Keeps the form over a reload, and fills it from the page's address; neither is trusted. */

import { formatLink, parseLink } from "../index";
import type { Field } from "./dropped_settings";
import type { SettingsImport } from "./settings_import";
import { galleryText } from "./strings/gallery";

/** What the page does for it. */
export interface FormKeeper {
  /** Read the form. */
  read: () => Partial<Record<Field, string>>;
  /** Call a function at every change of the form. */
  onChange: (listener: () => void) => void;
  take: SettingsImport["take"];
}

const KEY = "wsd-form";
/** Of what is kept; another version is not read. */
const VERSION = 1;
/** Milliseconds from a change until it is kept, so that not every letter is. */
const DELAY = 300;

/** Fill the form: from the address, or else with what was kept; then keep what changes. */
export function keepForm(page: FormKeeper): void {
  if (!takeAddress(page)) {
    const kept = readKept();
    const found = kept === undefined ? undefined : parseLink(kept);
    if (found !== undefined) page.take(found, galleryText().lastVisit, true);
  }
  addEventListener("hashchange", () => void takeAddress(page));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const keep = (): void => {
    clearTimeout(timer);
    timer = undefined;
    writeKept(formatLink(page.read()));
  };
  page.onChange(() => {
    timer ??= setTimeout(keep, DELAY);
  });
  // The last letters before a visitor leaves.
  addEventListener("pagehide", () => {
    if (timer !== undefined) keep();
  });
  keep();
}

/** Take the settings of the page's address, and remove them there: they would be taken again. */
function takeAddress({ take }: FormKeeper): boolean {
  const found = parseLink(location.hash);
  if (found === undefined || !take(found, galleryText().thisLink)) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  return true;
}

function readKept(): string | undefined {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (typeof kept !== "object" || kept === null) return undefined;
    const { version, form } = kept as Record<string, unknown>;
    return version === VERSION && typeof form === "string" ? form : undefined;
  } catch {
    // Some browsers keep nothing for some pages, and anybody may have written there.
    return undefined;
  }
}

function writeKept(form: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ version: VERSION, form }));
  } catch {
    // The form is then empty after a reload; that is no reason to disturb anybody.
  }
}
