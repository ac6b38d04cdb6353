// @vitest-environment happy-dom
/** What the page says of progress and errors, to eyes and to screen readers. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { AbortError, DeviceLostError, FetchError, OptionError } from "../../src/index";
import type { ProgressEvent } from "../../src/index";
import { openPage } from "./page_document";

openPage("index.html");
vi.stubGlobal("isSecureContext", true);
const status = await import("../../src/app/status");
const { chooseLanguage } = await import("../../src/app/strings");

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
  expect(lines()[0]).toBe("The browser lost the graphics card while it drew.");
  expect(lines().slice(-2)).toEqual(["The GPU was lost.", "Draw again."]);
  expect(byId("error").querySelector("details")?.open).toBe(false);
  chooseLanguage("de");
  status.showError(new FetchError("http://x/a.bin: the server answered 404", "try again"));
  expect(lines()).toEqual([
    "Eine Datei des Modells oder der Seite konnte nicht geholt werden.",
    "http://x/a.bin: the server answered 404.",
    "Try again.",
  ]);
  expect([...byId("error").querySelectorAll("p")].map(({ lang }) => lang)).toEqual(["en", "en"]);
  status.showError(new OptionError("the seed is wrong", "take another"));
  expect(lines()[0]).toBe("Mit diesen Einstellungen kann nicht gezeichnet werden.");
  status.hideError();
  expect(byId("error").hidden).toBe(true);
});

test("a notice is listed once", () => {
  status.showNotice("It is decoded in tiles.");
  status.showNotice("It is decoded in tiles.");
  expect([...byId("notices").children].map((item) => item.textContent)).toEqual([
    "It is decoded in tiles.",
  ]);
});
