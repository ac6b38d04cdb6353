// @vitest-environment happy-dom
/** The gallery on a document of happy-dom, with a store in memory. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { FoundSettings, Settings } from "../../src/index";
import type { Gallery } from "../../src/app/gallery";
import { mountGallery } from "../../src/app/gallery";
import type { Picture, PictureFiles } from "../../src/app/gallery/picture";
import type { Listing, PictureStore } from "../../src/app/gallery/store";
import { newestFirst } from "../../src/app/gallery/store";
import { otherSeed, variationOf } from "../../src/app/gallery/tools";
import type { Sentence } from "../../src/app/strings";
import { chooseLanguage, inWords } from "../../src/app/strings";
import { writeText } from "../../src/settings/png";

class MemoryStore implements PictureStore {
  readonly held = new Map<string, [Picture, PictureFiles]>();
  room = 1000;

  list(): Promise<Listing> {
    const pictures = [...this.held.values()].map(([picture]) => picture);
    return Promise.resolve({ pictures: newestFirst(pictures), damaged: 0 });
  }

  read(id: string): Promise<PictureFiles | undefined> {
    return Promise.resolve(this.held.get(id)?.[1]);
  }

  put(picture: Picture, files: PictureFiles): Promise<void> {
    if (this.held.size >= this.room) {
      return Promise.reject(new DOMException("no room", "QuotaExceededError"));
    }
    this.held.set(picture.id, [picture, files]);
    return Promise.resolve();
  }

  remove(id: string): Promise<void> {
    this.held.delete(id);
    return Promise.resolve();
  }

  clear(): Promise<void> {
    this.held.clear();
    return Promise.resolve();
  }
}

let root: HTMLElement;
let actions: HTMLElement;
let store: MemoryStore;
let gallery: Gallery;
let said: string[];
let taken: [FoundSettings, string][];
let draws: number;
/** Names of the pictures that drawing was to begin with. */
let started: string[];
/** How often the start picture was set aside. */
let setAside: number;

beforeEach(() => {
  [started, setAside] = [[], 0];
  document.body.innerHTML = `<div id="actions"></div><section id="gallery"></section>`;
  [root, actions] = ["gallery", "actions"].map((id) => document.getElementById(id)!) as [
    HTMLElement,
    HTMLElement,
  ];
  [store, said, taken, draws] = [new MemoryStore(), [], [], 0];
  gallery = open();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function open(): Gallery {
  const page = {
    actions,
    take: (found: FoundSettings, name: string) => taken.push([found, name]) > 0,
    draw: () => (draws += 1),
    canStart: () => true,
    start: (_file: Blob, name: string) => Promise.resolve(void started.push(name)),
    setStartAside: () => void (setAside += 1),
    say: (sentence: Sentence) => void said.push(inWords(sentence)),
  };
  return mountGallery(root, page, store);
}

const PNG = Uint8Array.from(
  atob(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAfbLI3wAAAABJRU5ErkJggg==",
  ),
  (character) => character.charCodeAt(0),
);

/** Finish pictures as the pipeline does. */
async function finish(changes: Partial<Settings> = {}, count = 1): Promise<void> {
  const settings = {
    ...{
      prompt: "a cat",
      negativePrompt: undefined,
      steps: 2,
      scheduler: "euler",
      guidanceScale: 3,
    },
    ...{ seed: 5, width: 1, height: 1, model: "speck", eta: 0, numImages: count },
    ...changes,
  };
  const indices = Array.from({ length: count }, (_, index) => index);
  await gallery.add({
    images: indices.map(() => ({ width: 1, height: 1 }) as ImageData),
    imageSettings: indices.map((imageIndex) => ({ ...settings, imageIndex })),
    toBlob: (index = 0) => Promise.resolve(new Blob([writeText(PNG, `picture ${index}`)])),
  });
}

const buttons = (place: ParentNode = root): HTMLButtonElement[] =>
  [...place.querySelectorAll("button")].filter((button) => !button.hidden);

function press(name: string, place: ParentNode = root): void {
  const [button] = buttons(place).filter(({ textContent }) => textContent === name);
  expect(button, name).toBeDefined();
  button!.click();
}

const viewer = (): HTMLDialogElement => root.querySelector<HTMLDialogElement>(".viewer")!;
const title = (): string => viewer().querySelector("h2")!.textContent;
const tiles = (): (string | null)[] =>
  [...root.querySelectorAll(".save")].map((link) => link.getAttribute("aria-label"));
const notices = (): (string | null)[] =>
  [...root.querySelectorAll(".notice")].map(({ textContent }) => textContent);

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 10));
}

function key(name: string, target: EventTarget): Event {
  const event = new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true });
  target.dispatchEvent(event);
  return event;
}

async function enlarge(index: number): Promise<void> {
  root.querySelectorAll<HTMLButtonElement>(".tile")[index]!.click();
  await settled();
}

test("finished pictures are listed, the newest first, each with a link that saves it", async () => {
  await finish({ seed: 1 });
  await finish({ seed: 2n ** 64n - 1n }, 2);
  await settled();
  expect(tiles()).toEqual([
    "Save speck-18446744073709551615-1.png",
    "Save speck-18446744073709551615-0.png",
    "Save speck-1-0.png",
  ]);
  const [link] = root.querySelectorAll<HTMLAnchorElement>("a.save");
  expect([link!.href.slice(0, 5), link!.download]).toEqual([
    "blob:",
    "speck-18446744073709551615-1.png",
  ]);
  expect(root.querySelector("img")!.alt).toBe("Enlarge: a cat");
  // Another visit.
  root.replaceChildren();
  gallery = open();
  await settled();
  expect(tiles()).toHaveLength(3);
  expect(notices()).toEqual([]);
});

test("a picture is enlarged, and the keys go through the others", async () => {
  for (const seed of [1, 2, 3]) await finish({ seed });
  await settled();
  expect(viewer().open).toBe(false);
  await enlarge(1);
  expect([viewer().open, title()]).toEqual([true, "Picture 2 of 3"]);
  expect(viewer().querySelector("img")!.alt).toBe("a cat");
  expect(key("ArrowRight", viewer()).defaultPrevented).toBe(true);
  await settled();
  expect(title()).toBe("Picture 3 of 3");
  expect(viewer().querySelector("table")!.textContent).toContain("seed1");
  key("ArrowRight", viewer()); // There is none after it.
  expect(title()).toBe("Picture 3 of 3");
  key("Home", viewer());
  expect(title()).toBe("Picture 1 of 3");
  key("End", viewer());
  key("ArrowLeft", viewer());
  await settled();
  expect(title()).toBe("Picture 2 of 3");
  // From right to left, the next one is on the left.
  viewer().style.direction = "rtl";
  key("ArrowLeft", viewer());
  expect(title()).toBe("Picture 3 of 3");
  key("ArrowRight", viewer());
  await settled();
  expect(title()).toBe("Picture 2 of 3");
  expect(key("Escape", viewer()).defaultPrevented).toBe(false);
  press("Close", viewer());
  expect(document.activeElement).toBe(root.querySelectorAll(".tile")[1]);
});

test("everything is written anew in another language, also what is open", async () => {
  await finish();
  await settled();
  await enlarge(0);
  chooseLanguage("de");
  await settled();
  expect([root.querySelector("h2")!.textContent, title()]).toEqual([
    "Fertige Bilder",
    "Bild 1 von 1",
  ]);
  expect(tiles()).toEqual(["Speichern: speck-5-0.png"]);
  expect(buttons(actions).map(({ textContent }) => textContent)).toContain("Abwandeln");
  for (const language of ["ar", "en"] as const) chooseLanguage(language);
  await settled();
  expect(tiles()).toEqual(["Save speck-5-0.png"]);
});

test("two pictures are compared: what differs is marked, and the slider has its keys", async () => {
  await finish({ seed: 1, prompt: "a dog" });
  await finish({ seed: 2, prompt: "a dog", steps: 9 });
  await settled();
  await enlarge(0);
  press("Compare", viewer());
  await settled();
  expect(title()).toBe("Picture 1 beside picture 2");
  expect(viewer().querySelectorAll(".compared > img")).toHaveLength(2);
  const differing = [...viewer().querySelectorAll(".differs")].map(
    ({ textContent }) => textContent,
  );
  expect(differing).toEqual(["seed different21", "steps different92"]);
  const slider = viewer().querySelector("input")!;
  expect([slider.hidden, slider.getAttribute("aria-label")]).toEqual([
    ...[false, "How much of the first picture is shown"],
  ]);
  slider.value = "80";
  slider.dispatchEvent(new Event("input"));
  expect(viewer().querySelector<HTMLElement>(".viewed")!.style.getPropertyValue("--share")).toBe(
    "80%",
  );
  expect(key("ArrowRight", slider).defaultPrevented).toBe(false);
  key("ArrowLeft", viewer()); // There is no other picture to compare with.
  await settled();
  expect(title()).toBe("Picture 1 beside picture 2");
  press("Compare", viewer());
  await settled();
  expect([title(), viewer().querySelectorAll("img").length]).toEqual(["Picture 1 of 2", 1]);
});

test("of two pictures that are compared, the one that is deleted leaves the other", async () => {
  for (const seed of [1, 2, 3]) await finish({ seed });
  await settled();
  await enlarge(0);
  press("Compare", viewer());
  await settled();
  // Another tab deletes the first one.
  store.held.delete([...store.held.keys()].at(-1)!);
  document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  expect([title(), viewer().querySelectorAll("img").length]).toEqual(["Picture 1 of 2", 1]);
  press("Compare", viewer());
  await settled();
  expect(title()).toBe("Picture 1 beside picture 2");
  press("Delete", viewer());
  await settled();
  expect([title(), viewer().querySelectorAll("img").length]).toEqual(["Picture 1 of 1", 1]);
  expect(buttons(viewer()).map(({ textContent }) => textContent)).not.toContain("Compare");
});

test("sentences about an enlarged picture stand in its dialog, which hides the page's own", async () => {
  vi.stubGlobal("navigator", Object.create(navigator, { clipboard: { value: undefined } }));
  await finish();
  await settled();
  await enlarge(0);
  press("Copy link", viewer());
  await settled();
  expect(viewer().textContent).toContain("The browser did not let the page copy. The link is: ");
  // They are said again in another language.
  chooseLanguage("de");
  expect(viewer().textContent).toContain("Der Browser hat das Kopieren nicht erlaubt.");
  chooseLanguage("en");
  expect(said).toEqual([]);
});

test("a picture is deleted and brought back, in the list and in the dialog", async () => {
  for (const seed of [1, 2]) await finish({ seed });
  await settled();
  const [first] = root.querySelectorAll<HTMLButtonElement>(".tile");
  first!.focus();
  key("Delete", first!);
  await settled();
  expect(tiles()).toEqual(["Save speck-1-0.png"]);
  expect(document.activeElement).toBe(root.querySelector(".tile"));
  expect(notices()).toEqual(["speck-2-0.png is deleted. Undo"]);
  press("Undo");
  await settled();
  expect(tiles()).toEqual(["Save speck-2-0.png", "Save speck-1-0.png"]);
  expect([said.at(-1), notices()]).toEqual(["speck-2-0.png is back.", []]);

  await enlarge(0);
  press("Delete", viewer());
  await settled();
  expect(title()).toBe("Picture 1 of 1");
  // The dialog hides the page, so the sentence and the button are in it.
  press("Undo", viewer());
  await settled();
  expect([title(), store.held.size]).toEqual(["Picture 1 of 2", 2]);
  press("Delete", viewer());
  press("Delete", viewer());
  await settled();
  press("Delete", viewer());
  await settled();
  expect([viewer().open, root.querySelector("h2")!.hidden]).toEqual([false, true]);
  expect(notices()).toEqual(["speck-1-0.png is deleted. Undo"]);
  expect(document.activeElement?.textContent).toBe("Undo");
});

test("a picture that another tab deletes leaves the dialog, which says so", async () => {
  for (const seed of [1, 2]) await finish({ seed });
  await settled();
  await enlarge(0);
  store.held.delete([...store.held.keys()].at(-1)!);
  document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  expect(title()).toBe("Picture 1 of 1");
  expect(viewer().textContent).toContain("This picture was deleted in another tab.");
});

test("the settings of a picture are used, and varied with another seed", async () => {
  await finish({ seed: 7, negativePrompt: "dog" }, 2);
  await settled();
  await enlarge(0);
  press("Use its settings", viewer());
  expect(viewer().open).toBe(false);
  expect(taken[0]).toMatchObject([
    { prompt: "a cat", negativePrompt: "dog", seed: 7, picture: { number: 2, of: 2 } },
    "speck-7-1.png",
  ]);
  expect(draws).toBe(0);
  press("Another seed", actions);
  const [[, [varied]]] = [taken] as unknown as [[unknown, [FoundSettings]]];
  expect([varied.prompt, varied.picture, draws]).toEqual(["a cat", undefined, 1]);
  expect(varied.seed).not.toBe(7);
  const seeds = new Set(Array.from({ length: 20 }, () => otherSeed(varied).seed));
  expect(seeds.size).toBeGreaterThan(15);
});

test("a variation keeps the seed and the place in its batch, and takes a little of other noise", async () => {
  await finish({ seed: 7 }, 2);
  press("Vary", actions);
  const [[varied]] = taken as [[FoundSettings, string]];
  expect(draws).toBe(1);
  expect(varied).toMatchObject({ seed: 7, picture: { number: 2, of: 2 }, variationStrength: 0.15 });
  // A variation of a variation is another one of the same kind.
  const again = variationOf({ ...varied, variationStrength: 0.4 });
  expect(again).toMatchObject({ seed: 7, variationStrength: 0.4 });
  expect(again.variationSeed).not.toBe(varied.variationSeed);
  expect(otherSeed(again).variationSeed).toBeUndefined();
});

test.each(["Vary", "Another seed"])(
  "%s of what was drawn from words alone does not begin with the start picture",
  async (name) => {
    await finish();
    press("Use its settings", actions);
    expect(setAside).toBe(0);
    press(name, actions);
    expect([setAside, draws]).toEqual([1, 1]);
    // With a second pass, its strength is that of the pass.
    const pass = { width: 4, height: 4, strength: 0.4, steps: 2, upscale: "latent" } as const;
    await finish({ secondPass: pass });
    press(name, actions);
    expect([setAside, draws]).toEqual([2, 2]);
    await finish({ strength: 0.6, fit: "cover" });
    press(name, actions);
    expect([setAside, draws]).toEqual([2, 3]);
  },
);

test("another picture is begun with one of the gallery, where the model can do that", async () => {
  await finish();
  await settled();
  press("Start from it", actions);
  await enlarge(0);
  press("Start from it", viewer());
  expect(viewer().open).toBe(false);
  expect(started).toEqual(["speck-5-0.png", "speck-5-0.png"]);
  expect([taken, draws]).toEqual([[], 0]);
});

test("pictures that are hidden leave no buttons of an earlier one", async () => {
  await finish();
  expect(buttons(actions)).not.toEqual([]);
  await gallery.add({ images: [], imageSettings: [], toBlob: () => Promise.reject(new Error()) });
  expect(actions.childElementCount).toBe(0);
});

test("the buttons are those of the last picture, which the page can enlarge", async () => {
  gallery.enlarge(); // There is none yet.
  await finish();
  await finish({ seed: 6 });
  await settled();
  expect([...actions.querySelectorAll("a")].map(({ download }) => download)).toEqual([
    "speck-6-0.png",
  ]);
  gallery.enlarge();
  expect([viewer().open, title()]).toEqual([true, "Picture 1 of 2"]);
  press("Delete", viewer());
  await settled();
  press("Close", viewer());
  // The page stays where it was, at the picture.
  expect(root.querySelector("#pictures")!.contains(document.activeElement)).toBe(false);
  gallery.enlarge();
  expect(viewer().open).toBe(false);
});

test("a picture is listed before the store has answered, and until then leaving asks", async () => {
  let answer!: () => void;
  vi.spyOn(store, "put").mockReturnValue(new Promise((resolve) => (answer = resolve)));
  await finish({}, 2);
  expect(tiles()).toHaveLength(2);
  expect(leaves()).toBe(false);
  answer();
  await settled();
  answer();
  await settled();
  expect(leaves()).toBe(true);
});

/** Say whether a visitor leaves the page without being asked. */
function leaves(): boolean {
  return dispatchEvent(new Event("beforeunload", { cancelable: true }));
}

test("a large picture can have its own size, in which the keys scroll it", async () => {
  await finish();
  await finish();
  await settled();
  const [[older]] = [...store.held.values()] as [[Picture, PictureFiles]];
  Object.assign(older, { width: 1024, height: 512 });
  const frame = viewer().querySelector<HTMLElement>(".viewed")!;
  await enlarge(0);
  // The pixels of a small one are squares.
  expect(buttons(viewer()).map(({ textContent }) => textContent)).not.toContain("Actual size");
  frame.click();
  expect(frame.className).toBe("viewed");
  key("ArrowRight", viewer());
  await settled();
  expect(viewer().style.getPropertyValue("--ratio")).toBe("2");
  press("Actual size", viewer());
  expect([frame.className, frame.tabIndex]).toEqual(["viewed actual", 0]);
  expect(key("ArrowLeft", frame).defaultPrevented).toBe(false);
  frame.click();
  expect([frame.className, frame.hasAttribute("tabindex")]).toEqual(["viewed", false]);
});

test("a scrolled picture that another tab deletes gives its focus to the dialog, whose keys work", async () => {
  for (const seed of [1, 2, 3]) await finish({ seed });
  await settled();
  const large = [...store.held.values()].at(-1)![0];
  Object.assign(large, { width: 1024, height: 512 });
  const frame = viewer().querySelector<HTMLElement>(".viewed")!;
  await enlarge(0);
  press("Actual size", viewer());
  frame.focus();
  expect(document.activeElement).toBe(frame);
  press("Older", viewer());
  await settled();
  expect(frame.hasAttribute("tabindex")).toBe(false);
  expect(document.activeElement).toBe(viewer().querySelector("h2"));
  key("ArrowRight", document.activeElement!);
  await settled();
  expect(title()).toBe("Picture 3 of 3");
});

test("the focus stays in the dialog while another picture comes, so that its keys work", async () => {
  for (const seed of [1, 2]) await finish({ seed });
  await settled();
  await enlarge(0);
  const link = buttons(viewer()).find(({ textContent }) => textContent === "Copy link")!;
  link.focus();
  key("ArrowRight", link);
  await settled();
  expect(title()).toBe("Picture 2 of 2");
  expect([document.activeElement?.textContent, document.activeElement === link]).toEqual([
    ...["Copy link", false],
  ]);
});

test("a tile that another tab deletes gives its focus to its neighbour", async () => {
  for (const seed of [1, 2, 3]) await finish({ seed });
  await settled();
  root.querySelectorAll<HTMLButtonElement>(".tile")[1]!.focus();
  store.held.delete([...store.held.keys()][1]!);
  document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  expect(document.activeElement).toBe(root.querySelectorAll(".tile")[1]);
});

test("a picture is copied and shared where the browser can, and the visitor is told", async () => {
  const copied: unknown[] = [];
  const write = vi.fn((items: unknown[]) => Promise.resolve(void copied.push(...items)));
  const share = vi.fn<(data: { files: File[] }) => Promise<void>>(() => Promise.resolve());
  vi.stubGlobal(
    "ClipboardItem",
    class {
      constructor(readonly types: Record<string, Blob>) {}
    },
  );
  const changed = {
    clipboard: { value: { write, writeText: write } },
    canShare: { value: () => true },
  };
  vi.stubGlobal("navigator", Object.create(navigator, { ...changed, share: { value: share } }));
  await finish();
  press("Copy picture", actions);
  await settled();
  expect((copied[0] as { types: Record<string, Blob> }).types["image/png"]).toBeInstanceOf(Blob);
  expect(said.at(-1)).toContain("The picture is copied.");
  press("Share", actions);
  expect(share.mock.calls[0]![0].files[0]!.name).toBe("speck-5-0.png");
  press("Copy link", actions);
  await settled();
  expect(String(write.mock.calls.at(-1)![0])).toContain("#prompt=a+cat&seed=5&steps=2");

  write.mockRejectedValue(new Error("forbidden"));
  press("Copy picture", actions);
  await settled();
  expect(said.at(-1)).toContain("Save it instead.");
  share.mockRejectedValue(new DOMException("closed", "AbortError"));
  const before = said.length;
  press("Share", actions);
  await settled();
  expect(said).toHaveLength(before);
  share.mockRejectedValue(new DOMException("no", "NotAllowedError"));
  press("Share", actions);
  await settled();
  expect(said.at(-1)).toContain("could not share");
});

test("without a clipboard for pictures and without sharing, there are no buttons for them", async () => {
  vi.stubGlobal("ClipboardItem", undefined);
  await finish();
  expect(buttons(actions).map(({ textContent }) => textContent)).toEqual([
    ...["Start from it", "Copy link", "Use its settings", "Vary", "Another seed"],
  ]);
});

test("a full store: the oldest pictures are offered for removal, by number and size", async () => {
  store.room = 2;
  for (const seed of [1, 2, 3]) await finish({ seed });
  await settled();
  expect(tiles()).toHaveLength(3);
  expect(notices()[0]).toMatch(
    /^1 picture is not kept: .* Delete the oldest picture \(.*\) to make room$/,
  );
  root.querySelector<HTMLButtonElement>(".notice button")!.click();
  await settled();
  expect(tiles()).toEqual(["Save speck-3-0.png", "Save speck-2-0.png"]);
  expect([store.held.size, notices(), said.at(-1)]).toEqual([
    ...[2, [], "There is room now: all pictures are kept."],
  ]);
});

test("a button that is pressed in the dialog and goes leaves the focus in it", async () => {
  store.room = 0;
  await finish();
  await settled();
  await enlarge(0);
  store.room = 1;
  vi.spyOn(store, "put").mockRejectedValueOnce(new Error("disk"));
  document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  const again = viewer().querySelector<HTMLButtonElement>(".notice button")!;
  expect(again.textContent).toBe("Try again");
  again.focus();
  again.click();
  await settled();
  expect([notices(), document.activeElement?.id]).toEqual([[], "viewer-title"]);
});

test("a browser without a store says that pictures stay for the visit alone", async () => {
  root.replaceChildren();
  const page = {
    ...{ actions, take: () => true, draw: () => undefined, say: () => undefined },
    ...{ canStart: () => false, start: () => Promise.resolve(), setStartAside: () => undefined },
  };
  gallery = mountGallery(root, page); // happy-dom has no IndexedDB
  await settled();
  expect(notices()).toEqual([]);
  await finish();
  expect(notices()).toEqual([expect.stringContaining("pictures stay until you leave it")]);
  expect(tiles()).toEqual(["Save speck-5-0.png"]);
});

test("all are deleted only after a question", async () => {
  for (const seed of [1, 2]) await finish({ seed });
  await settled();
  const question = root.querySelector<HTMLDialogElement>(".question")!;
  press("Delete all");
  expect([question.open, question.querySelector("h2")!.textContent]).toEqual([
    ...[true, "Delete all 2 pictures?"],
  ]);
  press("Keep them");
  await settled();
  expect([question.open, store.held.size]).toEqual([false, 2]);
  press("Delete all");
  press("Delete them");
  await settled();
  expect([store.held.size, tiles(), said.at(-1)]).toEqual([0, [], "All pictures are deleted."]);
});

test("a store that refuses to delete is told of, and the pictures stay", async () => {
  await finish();
  await settled();
  for (const method of ["remove", "clear"] as const) {
    vi.spyOn(store, method).mockRejectedValue(new Error("disk"));
  }
  key("Delete", root.querySelector(".tile")!);
  await settled();
  expect([tiles().length, said.pop()]).toEqual([
    1,
    "The browser could not change what it keeps. Try again.",
  ]);
  press("Delete all");
  press("Delete it");
  await settled();
  expect([tiles().length, said.pop()]).toEqual([
    1,
    "The browser could not change what it keeps. Try again.",
  ]);
});

test("all are packed into one file, except what is damaged", async () => {
  await finish({ seed: 1 });
  await finish({ seed: 1 });
  await finish({ seed: 2 });
  await settled();
  const third = newestFirst([...store.held.values()].map(([picture]) => picture))[0]!;
  store.held.set(third.id, [third, undefined as unknown as PictureFiles]);
  const files: Blob[] = [];
  const real = URL.createObjectURL.bind(URL);
  vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
    files.push(blob as Blob);
    return real(blob);
  });
  const names: string[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
    this: HTMLAnchorElement,
  ) {
    names.push(this.download);
  });
  press("Download all");
  await vi.waitFor(() => {
    expect(said.at(-1)).toBe("2 of 3 pictures packed; the others are damaged.");
  });
  expect(names).toEqual([expect.stringMatching(/^pictures-\d{4}-\d\d-\d\d\.zip$/)]);
  const zip = new TextDecoder("latin1").decode(await files.at(-1)!.arrayBuffer());
  expect(zip.startsWith("PK\u0003\u0004")).toBe(true);
  for (const name of ["speck-1-0.png", "speck-1-0-2.png"]) expect(zip).toContain(name);
  expect(zip).not.toContain("speck-2-0.png");
});

test("the list grows on demand, and its items keep the focus while others come", async () => {
  for (let seed = 0; seed < 50; seed++) await finish({ seed });
  await settled();
  expect(tiles()).toHaveLength(48);
  press("Show 2 older pictures");
  expect(document.activeElement).toBe(root.querySelectorAll(".tile")[48]);
  root.querySelectorAll<HTMLButtonElement>(".tile")[3]!.focus();
  const focused = document.activeElement;
  await finish({ seed: 99 });
  expect(tiles()).toHaveLength(51);
  expect(document.activeElement).toBe(focused);
});

test("prompts of others are texts, and bounded where they name a picture", async () => {
  await finish({ prompt: `<img src=x onerror=alert(1)>${"x".repeat(10_000)}`, model: "../<b>" });
  await finish({ prompt: " " });
  await settled();
  await enlarge(1);
  expect([...document.querySelectorAll("img")].every(({ src }) => src.startsWith("blob:"))).toBe(
    true,
  );
  expect(viewer().querySelector("img")!.alt).toHaveLength(500);
  expect(tiles()).toEqual(["Save speck-5-0.png", "Save b_-5-0.png"]);
  expect(root.querySelector("img")!.alt).toBe("Enlarge: a picture without a prompt");
});

test("a picture whose settings cannot be read can be begun with all the same", async () => {
  await finish();
  await settled();
  const [[id, [picture, files]]] = [...store.held] as [[string, [Picture, PictureFiles]]];
  store.held.set(id, [{ ...picture, text: "" }, files]);
  root.replaceChildren();
  gallery = open();
  await settled();
  await enlarge(0);
  const names = buttons(viewer()).map(({ textContent }) => textContent);
  expect(names).not.toContain("Vary");
  press("Start from it", viewer());
  await settled();
  expect(started).toEqual([picture.name]);
});

test("a damaged file is said in the dialog, where the picture can still be deleted", async () => {
  await finish();
  await settled();
  const [[id, [picture]]] = [...store.held] as [[string, [Picture, PictureFiles]]];
  store.held.set(id, [picture, undefined as unknown as PictureFiles]);
  root.replaceChildren();
  gallery = open();
  await settled();
  expect(root.querySelector("li")!.className).toBe("broken");
  await enlarge(0);
  expect(viewer().querySelector(".viewed")!.textContent).toBe("This picture's file is damaged.");
  press("Delete", viewer());
  await settled();
  expect([store.held.size, viewer().open]).toEqual([0, false]);
});
