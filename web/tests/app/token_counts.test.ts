// @vitest-environment happy-dom
/** The lines below the prompts: how many tokens they have, what is cut, and what is wrong. */

import { beforeEach, expect, test, vi } from "vitest";

import type { CountOptions, TokenCount } from "../../src/index";
import { AbortError, OptionError } from "../../src/index";
import { openPage } from "./page_document";

openPage("index.html");
const { mountTokenCounts } = await import("../../src/app/token_counts");

let values: Record<string, string>;
let asked: [string, CountOptions][];
let fault: Error | undefined;
let loaded: boolean;

beforeEach(() => {
  values = { prompt: "one two", negative: "", prompt2: "", negative2: "", promptSyntax: "" };
  [asked, fault, loaded] = [[], undefined, true];
});

const line = (id: string): HTMLElement => document.getElementById(`${id}-tokens`)!;
const { count } = mountTokenCounts({
  read: () => values,
  count: (prompt, options) => {
    if (!loaded) return undefined;
    asked.push([prompt, options]);
    if (fault !== undefined) return Promise.reject(fault);
    const words = prompt.split(" ");
    const found = { tokens: words.length, limit: 3, cut: words.slice(3).join(" ") };
    const counts: TokenCount[] = ["first", "second"].map((encoder) => ({ encoder, ...found }));
    return Promise.resolve(counts);
  },
});

async function counted(): Promise<void> {
  vi.useFakeTimers();
  count();
  count();
  await vi.runAllTimersAsync();
  vi.useRealTimers();
}

test("each prompt has its line, in the syntax that is chosen", async () => {
  values = { ...values, negative: "three", prompt2: "four five six", promptSyntax: "a1111" };
  await counted();
  expect(line("prompt").textContent).toBe("2 of 3 tokens");
  expect(line("prompt2").textContent).toBe("3 of 3 tokens");
  expect(line("negative2").hidden).toBe(true);
  expect(asked).toEqual([
    ["one two", { promptSyntax: "a1111", negative: false }],
    ["three", { promptSyntax: "a1111", negative: true }],
    ["four five six", { promptSyntax: "a1111", negative: false }],
  ]);
});

test("what is cut is shown, and what is wrong is said", async () => {
  values.prompt = "one two three four five";
  await counted();
  expect(line("prompt").textContent).toBe(
    "5 of 3 tokens. The model does not read: \u2068four five\u2069".replaceAll(
      /[\u2068\u2069]/g,
      "",
    ),
  );
  expect(line("prompt").classList.contains("cut")).toBe(true);
  fault = new OptionError("prompt has BREAK", "leave it out");
  await counted();
  expect(line("prompt").textContent).toBe("prompt has BREAK: leave it out");
  fault = new AbortError("gone", "load again");
  await counted();
  expect(line("prompt").textContent).toBe("prompt has BREAK: leave it out");
});

test("without a model nothing is said", async () => {
  loaded = false;
  await counted();
  expect(line("prompt").hidden).toBe(true);
});
