/**
 * Calls pure modules for tests in Python: each line on standard input is a JSON request, each line
 * on standard output its JSON answer.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { chooseEncoders } from "../src/bundle/encoders";
import type {
  EntryPoint,
  LatentSpace,
  Manifest,
  NoiseSchedule,
  SafetyChecker,
  SchedulerConfig,
  TokenizerEntry,
} from "../src/bundle/manifest";
import { makeWasiImports } from "../src/gpu/tvm/wasi";
import { BrownianTree } from "../src/pipeline/brownian_tree";
import { embedGuidance } from "../src/pipeline/guidance_embedding";
import { runsWhole } from "../src/pipeline/cache_interval";
import { isGuidedAt } from "../src/pipeline/guidance_interval";
import { coverMasked, readEncoded, shrinkMask, takeLatents } from "../src/pipeline/picture_latents";
import { seedWords } from "../src/pipeline/seed_sequence";
import { resizeBytes } from "../src/picture/resample";
import type { ResampleFilter } from "../src/picture/resample";
import { judge, preparePixels } from "../src/pipeline/safety_checker";
import { MersenneTwister, randn } from "../src/pipeline/torch_rng";
import { betaQuantile } from "../src/pipeline/schedulers/beta_quantile";
import { layOutRun } from "../src/pipeline/schedulers";
import { createTokenizer } from "../src/pipeline/clip_tokenizer";
import { tokenizePrompt, weighStates } from "../src/pipeline/prompt_tokens";
import { formatSettings, parseInfotext } from "../src/settings/infotext";
import type { Settings } from "../src/settings/infotext";
import { parseWeights } from "../src/settings/prompt_syntax";
import { OptionError } from "../src/util/errors";
import type { Rectangle } from "../src/api/types";
import type { PictureRequest } from "./picture_bridge";
import { answerOfPictures } from "./picture_bridge";

type Request =
  | { call: "randn"; seed: string; counts: number[] }
  | { call: "seed_words"; entropy: string; key: number[]; pool: number; count: number }
  | {
      call: "brownian";
      range: [number, number];
      seed: string;
      count: number;
      parts: [number, number][];
    }
  | {
      call: "run";
      noise: NoiseSchedule;
      config: SchedulerConfig;
      count: number;
      eta: number;
      skipped: number;
      tokens: number;
    }
  | {
      call: "take_latents";
      output: string;
      planes: number[];
      noise: number[] | null;
      space: LatentSpace;
    }
  | { call: "cover_masked"; pixels: number[]; mask: number[]; size: [number, number] }
  | { call: "shrink_mask"; mask: number[]; size: [number, number]; factor: number }
  | { call: "embed_guidance"; scale: number; width: number }
  | { call: "guided_at"; intervals: [start: number, stop: number][]; counts: number[] }
  | {
      call: "runs_whole";
      cacheIntervals: number[];
      /** Of guidance; null without guidance. */
      intervals: ([start: number, stop: number] | null)[];
      count: number;
    }
  | { call: "betaQuantile"; shares: number[]; shape: number }
  | { call: "wasm"; file: string }
  | {
      call: "resize";
      /** Bytes in base64; a picture may have a million. */
      data: string;
      channels: number;
      from: [number, number];
      to: [number, number];
      filter: ResampleFilter;
      /** What of the result is returned; all of it unless given. */
      part?: Rectangle;
    }
  | {
      call: "prepare_pixels";
      data: string;
      size: [number, number];
      how: Pick<SafetyChecker, "resize" | "mean" | "std">;
      edge: number;
    }
  | { call: "judge"; concepts: number[]; special: number[] }
  | { call: "picture"; request: PictureRequest }
  | { call: "prompt"; settings: string }
  | { call: "format"; settings: Omit<Settings, "seed"> & { seed: string } }
  | { call: "weights"; prompts: string[]; side: "positive" | "negative" }
  | {
      call: "weigh";
      tokenizer: string;
      entry: TokenizerEntry;
      text: string;
      /** The most chunks; 1 unless given. */
      most?: number;
      /** `a1111` unless given. */
      syntax?: "plain" | "a1111";
      /** What a text encoder gives, (tokens, width), flat; its columns from `from` on are weighed. */
      states: number[];
      from: number;
    }
  | { call: "choose_encoders"; manifest: Manifest; wanted: boolean | null }
  | { call: "tokenize"; tokenizer: string; entry: TokenizerEntry; texts: string[] };

/** A WebAssembly file's imports and exports, and the imports that the page provides by WASI. */
function describeWasm(file: string): Record<"imports" | "exports" | "wasi", string[]> {
  // eslint-disable-next-line security/detect-non-literal-fs-filename -- a test names it
  const module = new WebAssembly.Module(readFileSync(file));
  const { wasiImport } = makeWasiImports();
  return {
    imports: WebAssembly.Module.imports(module).map(({ module, name }) => `${module}.${name}`),
    exports: WebAssembly.Module.exports(module).map(({ name }) => name),
    wasi: Object.keys(wasiImport).map((name) => `wasi_snapshot_preview1.${name}`),
  };
}

/** A prompt's parts with their weights, or the error that refuses it. */
function readWeights(prompt: string, side: "positive" | "negative"): unknown {
  try {
    return parseWeights(prompt, "prompt", side);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    return { message: error.message, hint: error.hint };
  }
}

function answer(request: Request): unknown {
  switch (request.call) {
    case "randn": {
      const generator = new MersenneTwister(BigInt(request.seed));
      return request.counts.map((count) => Array.from(randn(generator, count)));
    }
    case "seed_words": {
      const { entropy, key, pool, count } = request;
      return Array.from(seedWords(BigInt(entropy), key, pool, count));
    }
    case "brownian": {
      const tree = new BrownianTree(...request.range, BigInt(request.seed), request.count);
      return request.parts.map(([from, to]) => Array.from(tree.noise(from, to)));
    }
    case "run":
      return layOutRun(
        request.noise,
        request.config,
        request.count,
        request.eta,
        request.skipped,
        request.tokens,
      );
    case "take_latents": {
      const noise = request.noise === null ? undefined : new Float32Array(request.noise);
      const encoder = { role: "vae_encoder", outputs: [{ name: request.output }] } as EntryPoint;
      const encoded = readEncoded({ entry_points: [encoder] }, new Float32Array(request.planes));
      return Array.from(takeLatents(encoded, noise, request.space));
    }
    case "cover_masked": {
      const pixels = new Uint8ClampedArray(request.pixels);
      return Array.from(coverMasked(pixels, new Uint8Array(request.mask), request.size).data);
    }
    case "shrink_mask":
      return Array.from(shrinkMask(new Uint8Array(request.mask), request.size, request.factor));
    case "embed_guidance":
      return Array.from(embedGuidance(request.scale, request.width));
    case "guided_at":
      return request.intervals.map(([start, stop]) =>
        request.counts.map((count) =>
          Array.from({ length: count }, (_, index) => isGuidedAt({ start, stop }, index, count)),
        ),
      );
    case "runs_whole":
      return request.cacheIntervals.map((cacheInterval) =>
        request.intervals.map((shares) => {
          const guidance = shares && { start: shares[0], stop: shares[1] };
          return Array.from({ length: request.count }, (_, index) =>
            runsWhole(cacheInterval, guidance, index, request.count),
          );
        }),
      );
    case "betaQuantile":
      return request.shares.map((share) => betaQuantile(share, request.shape));
    case "resize": {
      const { channels, from, to, filter, part } = request;
      const data = Buffer.from(request.data, "base64");
      const bytes = resizeBytes(data, channels, from, to, filter, part);
      return Buffer.from(bytes).toString("base64");
    }
    case "prepare_pixels": {
      const [width, height] = request.size;
      const data = new Uint8ClampedArray(Buffer.from(request.data, "base64"));
      const pixels = preparePixels({ data, width, height }, request.how, request.edge);
      return Buffer.from(pixels.buffer).toString("base64");
    }
    case "judge":
      return judge(request.concepts, request.special);
    case "wasm":
      return describeWasm(request.file);
    case "picture":
      return answerOfPictures(request.request);
    case "prompt":
      return parseInfotext(request.settings).prompt;
    case "format":
      return formatSettings({ ...request.settings, seed: BigInt(request.settings.seed) });
    case "weights":
      return request.prompts.map((prompt) => readWeights(prompt, request.side));
    case "weigh": {
      const tokenizer = createTokenizer(request.tokenizer, request.entry);
      const { text, most = 1, syntax = "a1111" } = request;
      const { chunks, count, cut } = tokenizePrompt(tokenizer, text, syntax, [], most);
      const found = chunks.map(({ ids, end, weights = new Float32Array(ids.length).fill(1) }) => {
        const states = Float32Array.from(request.states);
        weighStates(states, weights, { from: request.from, to: states.length / ids.length });
        return { ids: [...ids], end, weights: [...weights], states: [...states] };
      });
      return { chunks: found, count, words: cut };
    }
    case "choose_encoders":
      return chooseEncoders(request.manifest, request.wanted ?? undefined);
    case "tokenize": {
      const { tokenize } = createTokenizer(request.tokenizer, request.entry);
      return request.texts.map((text) => tokenize(text).ids).map((ids) => Array.from(ids));
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line) as Request)));
}
