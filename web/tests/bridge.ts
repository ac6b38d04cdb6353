/**
 * The pure modules for tests in Python: one JSON request a line on standard
 * input, one JSON answer a line on standard output.
 */

import { createInterface } from "node:readline";

import type { NoiseSchedule, SchedulerConfig, TokenizerEntry } from "../src/bundle/manifest";
import { MersenneTwister, randn } from "../src/pipeline/torch_rng";
import { layOutRun } from "../src/pipeline/schedulers";
import { createTokenizer } from "../src/pipeline/clip_tokenizer";

type Request =
  | { call: "randn"; seed: number; counts: number[] }
  | { call: "run"; noise: NoiseSchedule; config: SchedulerConfig; count: number; eta: number }
  | { call: "tokenize"; tokenizer: string; entry: TokenizerEntry; texts: string[] };

function answer(request: Request): unknown {
  switch (request.call) {
    case "randn": {
      const generator = new MersenneTwister(request.seed);
      return request.counts.map((count) => Array.from(randn(generator, count)));
    }
    case "run":
      return layOutRun(request.noise, request.config, request.count, request.eta);
    case "tokenize": {
      const tokenize = createTokenizer(request.tokenizer, request.entry);
      return request.texts.map((text) => tokenize(text).ids).map((ids) => Array.from(ids));
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line) as Request)));
}
