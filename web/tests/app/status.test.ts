// @vitest-environment happy-dom
/** What the page says of progress and errors, to eyes and to screen readers. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { AbortError, DeviceLostError, FetchError, OptionError } from "../../src/index";
import type { ProgressEvent } from "../../src/index";
import { openPage } from "./page_document";

openPage("index.html");
vi.stubGlobal("isSecureContext", true);
const status = await import("../../src/app/status");
const { chooseLanguage, text } = await import("../../src/app/strings");

const byId = (id: string): HTMLElement => document.getElementById(id)!;
const bar = byId("progress") as HTMLProgressElement;

beforeEach(() => {
  vi.useFakeTimers();
  chooseLanguage("en");
  status.say("Ready.");
});
afterEach(() => {
  vi.useRealTimers();
  status.hideError();
});

/** Show events, so many milliseconds apart, and return what screen readers are told. */
function play(events: ProgressEvent[], milliseconds: number): string[] {
  const announced: string[] = [];
  for (const event of events) {
    const before = byId("status").textContent;
    status.showProgress(event);
    const after = byId("status").textContent;
    if (after !== before) announced.push(after);
    vi.advanceTimersByTime(milliseconds);
  }
  return announced;
}

test("screen readers are told of new stages, and otherwise every ten seconds", () => {
  const loading = Array.from({ length: 220 }, (_, index): ProgressEvent => {
    const amounts = { loaded: index, total: 220, overall: index / 220, remainingMs: null };
    return index % 2 === 0
      ? { stage: "pipelines", ...amounts }
      : { stage: "parameters", ...amounts };
  });
  // 22 seconds of loading, in which both of its stages report in turns.
  expect(play(loading, 100)).toEqual(["Getting the model ready"]);
  const steps = Array.from({ length: 50 }, (_, loaded): ProgressEvent => {
    const rest = { image: 0, images: 1, overall: loaded / 50, remainingMs: 1000 * (50 - loaded) };
    return { stage: "denoise", loaded, total: 50, ...rest };
  });
  expect(play(steps, 1000)).toEqual([
    "Drawing, step 0 of 50, about 50 seconds left",
    "Drawing, step 10 of 50, about 40 seconds left",
    "Drawing, step 20 of 50, about 30 seconds left",
    "Drawing, step 30 of 50, about 20 seconds left",
    "Drawing, step 40 of 50, about 10 seconds left",
  ]);
});

test("which picture it is, and that it is decoded", () => {
  const common = { images: 3, overall: 0.5, remainingMs: null };
  const said = (
    [
      { stage: "text", loaded: 0, total: 1, ...common },
      { stage: "denoise", image: 1, loaded: 2, total: 20, ...common },
      { stage: "decode", image: 1, loaded: 0, total: 1, ...common },
      { stage: "decode", image: 0, loaded: 0, total: 1, ...common, images: 1 },
    ] satisfies ProgressEvent[]
  ).map((event) => {
    status.showProgress(event);
    return byId("sentence").textContent;
  });
  expect(said).toEqual([
    "Reading the prompt",
    "Picture 2 of 3: Drawing, step 2 of 20",
    "Picture 2 of 3: Decoding the picture",
    "Decoding the picture",
  ]);
});

test("the title tells the time that is left, and nothing is left of it afterwards", () => {
  status.setTitle("speck");
  const amounts = { loaded: 1, total: 4, overall: 0.25, remainingMs: 12_000 };
  status.showProgress({ stage: "denoise", image: 0, images: 1, ...amounts });
  expect(document.title).toBe("25% · 12s · speck");
  expect([bar.value, bar.hidden]).toEqual([0.25, false]);
  status.showError(new AbortError());
  expect(byId("sentence").textContent).toBe("Stopped.");
  expect(document.title).toBe("speck");
  expect([bar.value, bar.hidden]).toEqual([0, true]);
  expect(byId("left").textContent + byId("detail").textContent).toBe("");
});

test("an error is said in whole sentences, in the language of the page", () => {
  status.showError(new DeviceLostError("the GPU was lost", "draw again"));
  const lines = (): string[] =>
    [...byId("error").querySelectorAll("h2, p")].map((line) => line.textContent);
  expect(lines()[0]).toBe("The browser lost the graphics card while it was drawing.");
  expect(lines().slice(-2)).toEqual(["The GPU was lost.", "Draw again."]);
  expect(byId("error").querySelector("details")?.open).toBe(false);
  chooseLanguage("de");
  status.showError(new FetchError("http://x/a.bin: the server answered 404", "try again"));
  expect(lines()).toEqual([
    "Eine Datei des Modells oder der Seite konnte nicht geladen werden.",
    "http://x/a.bin: the server answered 404.",
    "Try again.",
  ]);
  expect([...byId("error").querySelectorAll("p")].map(({ lang }) => lang)).toEqual(["en", "en"]);
  status.showError(new OptionError("the seed is wrong", "take another"));
  expect(lines()[0]).toBe("Mit diesen Einstellungen kann kein Bild gezeichnet werden.");
  status.hideError();
  expect(byId("error").hidden).toBe(true);
});

test("a notice is listed once", () => {
  const english = "It is decoded in tiles.";
  status.showNotice({ english });
  status.showNotice({ english });
  const listed = (): string[] => [...byId("notices").children].map((item) => item.textContent);
  expect(listed()).toEqual([english]);
  expect(byId("notices").querySelector("span")!.lang).toBe("en");
  status.clearNotices();
  expect([listed(), byId("notices").hidden]).toEqual([[], true]);
});

test("what is shown is written again in another language", () => {
  status.say(() => text().ready);
  status.showNotice({ own: () => text().inPlaceOf("f16", "f32"), english: "No room." });
  status.showError(new OptionError("the seed is wrong", "take another"), () => undefined);
  chooseLanguage("de");
  const german = text();
  expect(byId("notices").textContent).toBe(`${german.inPlaceOf("f16", "f32")}: No room.`);
  expect(byId("error").querySelector("h2")!.textContent).toBe(german.errorOption);
  expect(byId("error").querySelector("button")!.textContent).toBe(german.tryAgain);
  status.hideError();
  chooseLanguage("en");
  expect(byId("error").hidden).toBe(true);
  status.say(() => text().ready);
  chooseLanguage("de");
  expect([byId("sentence").textContent, byId("status").textContent]).toEqual([
    "Bereit.",
    "Bereit.",
  ]);
  const amounts = { loaded: 1, total: 4, overall: 0.25, remainingMs: null };
  status.showProgress({ stage: "denoise", image: 0, images: 1, ...amounts });
  chooseLanguage("en");
  expect([byId("sentence").textContent, byId("left").textContent]).toEqual([
    ...["Drawing, step 1 of 4", "25%"],
  ]);
  status.clearNotices();
});

test("a sentence beside the progress can be read for some seconds, and ends nothing", () => {
  const amounts = { loaded: 1e6, total: 4e6, overall: 0.25, remainingMs: null };
  const event: ProgressEvent = { stage: "parameters", ...amounts };
  status.showProgress(event);
  status.announce("The link is copied.");
  status.showProgress(event);
  expect(byId("detail").textContent).toBe("The link is copied.");
  expect([byId("status").textContent, bar.hidden]).toEqual(["The link is copied.", false]);
  vi.advanceTimersByTime(10_000);
  status.showProgress(event);
  expect(byId("detail").textContent).toBe("Weights: 1.00 MB of 4.00 MB");
  status.say("Ready.");
  status.announce("The link is copied.");
  expect(byId("sentence").textContent).toBe("The link is copied.");
});

test("an error has a button where nothing else tries again", () => {
  const tryAgain = vi.fn();
  status.showError(new FetchError("a.json: the server answered 500", "try again"), tryAgain);
  byId("error").querySelector("button")!.click();
  expect(tryAgain).toHaveBeenCalledOnce();
});
