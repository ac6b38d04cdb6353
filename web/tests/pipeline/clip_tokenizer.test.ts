import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import type { TokenizerEntry } from "../../src/bundle/manifest";
import { createTokenizer } from "../../src/pipeline/clip_tokenizer";

test("a text becomes as many tokens as the encoder takes", () => {
  const folder = "../wsd/models/tiny/checkpoints/tiny-sd15/tokenizer";
  const entry = {
    max_length: 77,
    bos_token_id: 718,
    eos_token_id: 719,
    pad_token_id: 719,
  } as TokenizerEntry;
  const { tokenize } = createTokenizer(readFileSync(`${folder}/tokenizer.json`, "utf8"), entry);
  const short = tokenize("a large red circle");
  expect(short.ids.length).toBe(77);
  expect([short.ids[0], short.ids[short.end], short.ids[76]]).toEqual([718, 719, 719]);
  expect(tokenize("A  LARGE red circle")).toEqual(short);
  const long = tokenize("red ".repeat(200));
  expect([long.ids.length, long.end]).toEqual([77, 76]);
  expect(tokenize("").end).toBe(1);
});
