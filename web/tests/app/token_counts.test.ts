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
/** Tokens that each text encoder takes, and with weights in brackets. */
let limits: Record<string, number>;
let longest: number;

beforeEach(() => {
  values = { prompt: "one two", negative: "", prompt2: "", negative2: "", promptSyntax: "" };
  values = { ...values, prompt3: "", negative3: "" };
  [asked, fault, loaded] = [[], undefined, true];
  [limits, longest] = [{ first: 3, second: 3 }, 3];
});

const line = (id: string): HTMLElement => document.getElementById(`${id}-tokens`)!;
const { count } = mountTokenCounts({
  read: () => values,
  count: (prompt, options) => {
    if (!loaded) return undefined;
    asked.push([prompt, options]);
    if (fault !== undefined) return Promise.reject(fault);
    const words = prompt.split(" ");
    const counts = Object.entries(limits).map(([encoder, plain]): TokenCount => {
      const limit = options.promptSyntax === "a1111" ? Math.max(plain, longest) : plain;
      return { encoder, tokens: words.length, limit, cut: words.slice(limit).join(" ") };
    });
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

test("what T5 reads is not said to be unread", async () => {
  limits = { clip_l: 3, clip_g: 3, t5: 5 };
  values = { ...values, prompt: "one two three four", prompt2: "one two three four" };
  await counted();
  expect(line("prompt").textContent).toBe("4 of 5 tokens · CLIP reads 3 of 4 tokens");
  expect(line("prompt").classList.contains("cut")).toBe(false);
  // T5 reads the prompt, and not the second one.
  expect(line("prompt2").textContent).toBe("4 of 3 tokens. The model does not read: four");
  values = { ...values, prompt: "one two three four five six", prompt2: "one" };
  await counted();
  expect(line("prompt").textContent).toBe(
    "6 of 5 tokens. The model does not read: six · CLIP reads 3 of 6 tokens",
  );
  expect(line("prompt").classList.contains("cut")).toBe(true);
  // A third prompt is what T5 reads, and CLIP the prompt.
  values = { ...values, prompt3: "one two three four", negative3: "one" };
  await counted();
  expect(line("prompt").textContent).toContain("6 of 3 tokens");
  expect(line("prompt3").textContent).toBe("4 of 5 tokens");
  expect(line("negative3").textContent).toBe("1 of 5 tokens");
});

test("beside words that are cut stands which setting reads more of them", async () => {
  longest = 9;
  values.prompt = "one two three four";
  await counted();
  expect(line("prompt").textContent).toBe(
    "4 of 3 tokens. The model does not read: four · " +
      "“Weights in brackets” in the settings reads up to 9",
  );
  values.promptSyntax = "a1111";
  await counted();
  expect(line("prompt").textContent).toBe("4 of 9 tokens");
});

test("tags of LoRAs are no words of the prompt, for Draw takes them", async () => {
  values = { ...values, prompt: "one two <lora:x:0.8>", negative: "three <lora:y:1>" };
  await counted();
  expect(line("prompt").textContent).toBe("2 of 3 tokens");
  // Of the others they are not taken.
  expect(asked.map(([prompt]) => prompt)).toEqual(["one two", "three <lora:y:1>"]);
});

test("without a model nothing is said", async () => {
  loaded = false;
  await counted();
  expect(line("prompt").hidden).toBe(true);
});
