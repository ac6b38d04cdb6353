/** The model's examples: buttons, with pictures that it drew, each of which draws the same again. */

import type { ExamplePicture, FoundSettings, Preflight } from "../index";
import { readSettingsText } from "../index";
import { element } from "./dom";
import { make, makeButton } from "./gallery/elements";

/** What a click on an example draws. */
export interface Example {
  prompt: string;
  /** What drew its picture, if it has one. */
  settings: FoundSettings | undefined;
}

/** So many examples without pictures are shown: more would push the settings out of sight. */
const MOST_TEXTS = 5;

/** Show a model's examples; those that have a picture show it as soon as it has arrived. */
export function fillExamples(
  { manifest, manifestUrl }: Pick<Preflight, "manifest" | "manifestUrl">,
  choose: (example: Example) => void,
): void {
  // Older manifests have no pictures.
  const { examples, example_pictures: pictures = [] } = manifest as Pick<Manifest, "examples"> &
    Partial<Manifest>;
  const shown = examples.slice(0, Math.max(MOST_TEXTS, pictures.length));
  const items = shown.map((prompt) => {
    const picture = pictures.find((each) => each.prompt === prompt);
    const settings = picture && readOwnSettings(picture.settings);
    // The models' text encoders read English.
    const words = make("span", { dir: "auto", lang: "en" }, prompt);
    const button = makeButton("", () => choose({ prompt, settings }));
    button.append(words);
    const item = make("li", {}, button);
    if (picture !== undefined) void addPicture(item, button, picture, manifestUrl);
    return item;
  });
  element("examples").replaceChildren(...items);
  element("examples-row").hidden = items.length === 0;
}

type Manifest = Preflight["manifest"];

/** Read an example's settings; they are of the model that the page has loaded, whatever its name. */
function readOwnSettings(text: string): FoundSettings | undefined {
  const found = readSettingsText(text);
  return found && { ...found, model: undefined };
}

/** Put a picture into its button; if it does not arrive, the button stays one of text alone. */
async function addPicture(
  item: HTMLLIElement,
  button: HTMLButtonElement,
  picture: ExamplePicture,
  manifestUrl: string,
): Promise<void> {
  const image = make("img", { alt: "" });
  const drop = (): void => {
    item.classList.remove("pictured");
    image.remove();
  };
  // Its place is there at once, so that nothing moves when it arrives.
  item.classList.add("pictured");
  button.prepend(image);
  try {
    const url = URL.createObjectURL(await fetchPicture(picture, manifestUrl));
    image.onload = () => URL.revokeObjectURL(url);
    image.onerror = drop;
    image.src = url;
  } catch {
    drop();
  }
}

/**
 * Fetch a picture, after what is more urgent. The browser compares it with its digest, and keeps it
 * as it keeps any file whose name has its digest: a later visit needs no network.
 */
async function fetchPicture({ file, sha256 }: ExamplePicture, manifestUrl: string): Promise<Blob> {
  const bytes = sha256.match(/../g)!.map((digits) => parseInt(digits, 16));
  const integrity = `sha256-${btoa(String.fromCharCode(...bytes))}`;
  const url = new URL(file, manifestUrl);
  // A query may be the token by which a server gives out the files of a folder.
  url.search = new URL(manifestUrl).search;
  const response = await fetch(url, { integrity, priority: "low" });
  if (!response.ok) throw new Error(`${file}: status ${response.status}`);
  // A server may not know the type of such files.
  return new Blob([await response.arrayBuffer()], { type: "image/webp" });
}
