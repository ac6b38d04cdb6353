/** Keeps the form over a reload, and fills it from the page's address; neither is trusted. */

import type { FoundSettings } from "../index";
import { formatLink, parseLink } from "../index";
import type { Field } from "./dropped_settings";
import { readStored, writeStored } from "./local_storage";
import type { SettingsImport } from "./settings_import";
import { galleryText } from "./strings/gallery";

/** What the page does for it. */
export interface FormKeeper {
  /** Read the form. */
  read: () => Partial<Record<Field, string>>;
  /** Name of the model that the form is for. */
  model: () => string;
  /** Call a function at every change of the form. */
  onChange: (listener: () => void) => void;
  take: SettingsImport["take"];
}

const KEY = "wsd-form";
/** Version of the kept form; other versions are ignored. */
const VERSION = 2;
/** Milliseconds from a change until it is kept, so that not every letter is. */
const DELAY = 300;

/** Fill the form: from the address, or else with what was kept; then keep what changes. */
export function keepForm(page: FormKeeper): void {
  if (!takeAddress(page)) {
    const kept = readKept();
    const found = kept === undefined ? undefined : parseLink(kept.form);
    if (found !== undefined) {
      // The settings of another model may be possible with this one, and nevertheless be wrong.
      const fitting = kept!.model === page.model() ? found : promptsOf(found);
      if (fitting !== undefined) page.take(fitting, () => galleryText().lastVisit, true);
    }
  }
  addEventListener("hashchange", () => void takeAddress(page));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const keep = (): void => {
    clearTimeout(timer);
    timer = undefined;
    writeKept({ model: page.model(), form: formatLink(page.read()) });
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

/** Leave of settings what means the same with every model. */
function promptsOf(found: FoundSettings): FoundSettings | undefined {
  const { prompt = "", negativePrompt = "", promptSyntax = "" } = found;
  return parseLink(formatLink({ prompt, negative: negativePrompt, promptSyntax }));
}

/** Take the settings of the page's address, and remove them there: they would be taken again. */
function takeAddress({ take }: FormKeeper): boolean {
  const found = parseLink(location.hash);
  if (found === undefined || !take(found, () => galleryText().thisLink)) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  return true;
}

/** What is kept: a form, and the model that it was filled in for. */
interface KeptForm {
  model: string;
  form: string;
}

function readKept(): KeptForm | undefined {
  try {
    const kept: unknown = JSON.parse(readStored(KEY) ?? "null");
    if (typeof kept !== "object" || kept === null) return undefined;
    const { version, model, form } = kept as Record<string, unknown>;
    if (version !== VERSION || typeof model !== "string") return undefined;
    return typeof form === "string" ? { model, form } : undefined;
  } catch {
    // Anybody may have written there.
    return undefined;
  }
}

function writeKept(kept: KeptForm): void {
  writeStored(KEY, JSON.stringify({ version: VERSION, ...kept }));
}
