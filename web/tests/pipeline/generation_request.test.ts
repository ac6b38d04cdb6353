import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { OptionError } from "../../src/util/errors";
import { GENERATE_CHECKS, requireOptions } from "../../src/util/option_checks";
import type { Manifest } from "../../src/bundle/manifest";
import { guidanceLayers } from "../../src/bundle/manifest";
import type { GenerateOptions, Prompt } from "../../src/api/options";
import * as requests from "../../src/pipeline/generation_request";
import type { GenerationRequest } from "../../src/pipeline/generation_request";
import { describeRequest } from "../../src/pipeline/request_settings";
import { formatSettings, parseSettings } from "../../src/settings/infotext";
import { BLOCK_SCALES } from "../../src/util/constants.generated";

const DENOISER = {
  role: "denoiser",
  component: "unet",
  inputs: [{ name: "latents", shape: [1, 4, 2, 2], dtype: "float32" }],
};
const manifest = {
  defaults: { steps: 20, guidance_scale: 7.5, size: [128, 128] },
  schedulers: {
    default: "dpmpp_2m",
    available: { dpmpp_2m: { max_steps: 100 }, lcm: { max_steps: 50 } },
  },
  entry_points: [
    { ...DENOISER, name: "denoiser_128x128", size: [128, 128] },
    { ...DENOISER, name: "denoiser_192x128", size: [192, 128] },
    {
      ...{ name: "text", role: "text_encoder", component: "text_encoder", size: null },
      outputs: [{ name: "text_embeddings", shape: [1, 3, 2], dtype: "float32" }],
    },
  ],
  conditioning: { encoders: ["text_encoder"], join: "features", empty_negative: "encode" },
} as unknown as Manifest;

/** A model of SDXL's kind: its last encoder gives a second tensor. */
const xl = {
  ...manifest,
  entry_points: [
    ...manifest.entry_points,
    {
      ...{ name: "text_2", role: "text_encoder", component: "text_encoder_2", size: null },
      outputs: [
        { name: "text_embeddings", shape: [1, 3, 4], dtype: "float32" },
        { name: "pooled_text", shape: [1, 5], dtype: "float32" },
      ],
    },
  ],
  conditioning: { encoders: ["text_encoder", "text_encoder_2"], empty_negative: "zeros" },
} as unknown as Manifest;

/** Check and resolve a request, as the client does. */
function resolveRequest(
  model: Manifest,
  prompt: Prompt | null | undefined,
  options?: GenerateOptions,
): GenerationRequest {
  return requests.resolveRequest(
    model,
    prompt,
    requireOptions("generate", options, GENERATE_CHECKS),
  );
}

function resolveOptions(model: Manifest, options: GenerateOptions): GenerationRequest {
  return resolveRequest(model, "a cat", options);
}

/** What a call throws. */
function thrownBy(call: () => unknown): OptionError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(OptionError);
    return error as OptionError;
  }
  throw new Error("nothing was thrown");
}

/** A model that takes two chunks of a prompt, and can leave out two layers. */
const long = {
  ...manifest,
  model: { name: "long" },
  entry_points: [
    { ...DENOISER, name: "denoiser_128x128", size: [128, 128] },
    ...manifest.entry_points.slice(2),
    {
      ...{
        name: "with_layers_text",
        role: "layered_text_encoder",
        component: "text_encoder",
      },
      outputs: ["", "_1", "_2"].map((skip) => ({
        name: `text_embeddings${skip}`,
      })),
    },
    {
      ...{
        ...DENOISER,
        name: "with_2_chunks",
        role: "chunked_denoiser",
        size: [128, 128],
      },
      inputs: [...DENOISER.inputs, { name: "text_embeddings", shape: [1, 6, 2] }],
    },
  ].map((entry) =>
    entry.role === "denoiser"
      ? {
          ...entry,
          inputs: [...DENOISER.inputs, { name: "text_embeddings", shape: [1, 3, 2] }],
        }
      : entry,
  ),
} as unknown as Manifest;

describe("long prompts and skipped layers", () => {
  const named = { ...manifest, model: { name: "short" } } as Manifest;

  test("a model says how many layers and chunks it takes", () => {
    expect(resolveOptions(long, { clipSkip: 2 }).clipSkip).toBe(2);
    expect(resolveOptions(long, { clipSkip: 0 }).clipSkip).toBeUndefined();
    for (const clipSkip of [-1, 3, 1.5]) {
      expect(thrownBy(() => resolveOptions(long, { clipSkip })).message).toContain("clipSkip is");
    }
    const older = thrownBy(() => resolveOptions(named, { clipSkip: 1 }));
    expect(older.message).toBe("short has no functions for clipSkip");
  });

  test("embeddings are of as many chunks as is said", () => {
    const promptEmbeds = new Float32Array(24);
    const request = resolveRequest(long, null, {
      promptEmbeds,
      promptChunks: 2,
    });
    expect(request).toMatchObject({ batch: 2, promptChunks: 2 });
    expect(resolveRequest(long, null, { promptEmbeds }).batch).toBe(4);
    for (const [options, message] of [
      [{ promptEmbeds, promptChunks: 3 }, "promptChunks is 3"],
      [{ promptEmbeds: new Float32Array(18), promptChunks: 2 }, "promptEmbeds has 18 values"],
    ] as const) {
      expect(thrownBy(() => resolveRequest(long, null, options)).message).toContain(message);
    }
    const unneeded = thrownBy(() => resolveOptions(long, { promptChunks: 2 }));
    expect(unneeded.message).toBe("promptChunks is 2, and no embeddings are given");
  });

  test("BREAK needs a model that takes several chunks", () => {
    const options = {
      promptSyntax: "a1111",
      negativePrompt: "x BREAK y",
    } as const;
    expect(resolveOptions(long, options).negativePrompts).toEqual(["x BREAK y"]);
    const { message, hint } = thrownBy(() => resolveOptions(named, options));
    expect(message).toBe("negativePrompt has BREAK, which begins another chunk of tokens");
    expect(hint).toContain("short takes prompts of one chunk");
    expect(resolveOptions(named, { ...options, negativePrompt: "x BREAK" }).batch).toBe(1);
    expect(resolveOptions(named, { negativePrompt: "x BREAK y" }).batch).toBe(1);
  });
});

describe("resolveRequest", () => {
  test("takes the model's defaults", () => {
    const { seed, ...others } = resolveRequest(manifest, "a cat");
    expect(others).toEqual({
      prompts: ["a cat"],
      negativePrompts: undefined,
      promptSyntax: "plain",
      embeddings: {},
      steps: 20,
      guidanceScale: 7.5,
      size: [128, 128],
      scheduler: "dpmpp_2m",
      eta: 0,
      imagesPerPrompt: 1,
      batch: 1,
      indices: [0],
      latents: undefined,
      safetyChecker: false,
      previewEvery: 0,
      output: "imageData",
    });
    expect(seed).toBeTypeOf("number");
  });

  test("takes a random seed of 32 bits where none is given", () => {
    const seeds = Array.from({ length: 100 }, () => Number(resolveOptions(manifest, {}).seed));
    expect(new Set(seeds).size).toBeGreaterThan(95);
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
    expect(Math.max(...seeds)).toBeGreaterThan(2 ** 30);
  });

  test("takes the noise that a fine-tune is to be drawn with, unless it is given", () => {
    const defaults = { ...manifest.defaults, eta: 0.3 };
    const tuned = { ...manifest, defaults };
    expect(resolveOptions(tuned, {}).eta).toBe(0.3);
    expect(resolveOptions(tuned, { eta: 0 }).eta).toBe(0);
  });

  test("keeps what is given, zero included", () => {
    const given = { seed: 7, guidanceScale: 0, numInferenceSteps: 1, width: 192, height: 128 };
    expect(resolveOptions(manifest, given)).toMatchObject({
      seed: 7,
      guidanceScale: 0,
      steps: 1,
      size: [192, 128],
    });
  });

  test.each([-1, 2 ** 32, 2 ** 53 - 1, -(2n ** 63n), 2n ** 64n - 1n, 7n])(
    "takes the seed %s as torch does, and keeps it as it is",
    (seed) => {
      expect(resolveOptions(manifest, { seed }).seed).toBe(seed);
    },
  );

  test.each([-(2n ** 63n) - 1n, 2n ** 64n])("refuses the seed %s as torch does", (seed) => {
    expect(() => resolveOptions(manifest, { seed })).toThrow(OptionError);
  });

  test.each([
    [{ numInferenceSteps: 0 }, "1 to 100"],
    [{ numInferenceSteps: 101 }, "1 to 100"],
    [{ numInferenceSteps: 51, scheduler: "lcm" }, "1 to 50"],
    [{ scheduler: "magic" }, "dpmpp_2m, lcm"],
    [{ eta: 1.5 }, "0 to 1"],
    [{ numImages: 0 }, "1 to 16"],
    [{ previewEvery: -1 }, "0 to 100"],
    [{ numInferenceSteps: 1.5 }, "whole number"],
    [{ seed: 1.5 }, "-9223372036854775808 to 18446744073709551615"],
    [{ seed: Number.NaN }, "whole number"],
    [{ seed: Infinity }, "whole number"],
    [{ seed: "7" as unknown as number }, "whole number"],
    [{ seed: 2 ** 53 }, "as a bigint"],
    [{ seed: -(2 ** 63) }, "as a bigint"],
    [{ guidanceScale: Number.NaN }, "0 to 50"],
    [{ guidanceScale: 51 }, "0 to 50"],
    [{ width: 64 }, "128x128, 192x128"],
    [{ guidanceScale: "7" }, "0 to 50"],
    [{ numInferenceSteps: "20" }, "whole number"],
    [{ width: "128" }, "a number"],
    [{ height: Number.NaN }, "a number"],
    [{ scheduler: "toString" }, "dpmpp_2m, lcm"],
    [{ scheduler: "__proto__" }, "dpmpp_2m, lcm"],
    [{ scheduler: "dpmpp2m" }, "did you mean dpmpp_2m?"],
    [{ scheduler: "EulerDiscreteScheduler" }, "dpmpp_2m, lcm"],
    [{ scheduler: 5 }, "a text"],
    [{ negativePrompt: 5 }, "a text or a list of texts"],
    [{ negativePrompt: ["a", "b"] }, "one for each"],
    [{ negativePrompt: [] }, "1 to 16 texts"],
    [{ negativePrompt: ["a", 5] }, "a text"],
    [{ imageIndex: 1 }, "it must be 0"],
    [{ imageIndex: 4, numImages: 4 }, "0 to 3"],
    [{ imageIndex: -1, numImages: 4 }, "0 to 3"],
    [{ output: "png" }, "imageData, blob, imageBitmap"],
    [{ output: "toString" }, "imageData, blob, imageBitmap"],
    [{ latents: [1, 2] }, "Float32Array of 16 values: (1, 4, 2, 2)"],
    [{ latents: new Float64Array(16) }, "Float32Array of 16 values"],
    [{ latents: new Float32Array(15) }, "(1, 4, 2, 2)"],
    [{ latents: new Float32Array(16), numImages: 2 }, "(2, 4, 2, 2)"],
    [{ latents: new Float32Array(16).fill(Number.NaN, 5) }, "finite"],
    [{ promptEmbeds: new Float32Array(6) }, "give null as the prompt"],
    [{ negativePromptEmbeds: new Float32Array(5) }, "(1, 3, 2)"],
    [{ negativePromptEmbeds: new Float32Array(6).fill(Infinity) }, "finite"],
    [
      { negativePrompt: "x", negativePromptEmbeds: new Float32Array(6) },
      "leave negativePrompt out",
    ],
    [{ negativePromptEmbeds: new Float32Array(12) }, "as many negative prompts"],
    [{ pooledPromptEmbeds: new Float32Array(5) }, "promptEmbeds, negativePromptEmbeds"],
  ])("refuses %j and says what is allowed", (options, allowed) => {
    const { hint } = thrownBy(() => resolveOptions(manifest, options as GenerateOptions));
    expect(hint).toContain(allowed);
  });

  test.each([
    ["steps", "numInferenceSteps"],
    ["num_inference_steps", "numInferenceSteps"],
    ["numInferencSteps", "numInferenceSteps"],
    ["cfg_scale", "guidanceScale"],
    ["sampler", "scheduler"],
    ["numImagesPerPrompt", "numImages"],
    ["onStep", "onProgress"],
    ["abortSignal", "signal"],
    ["Seed", "seed"],
    ["outputType", "output"],
  ])("refuses the unknown option %s, and asks for %s", (name, meant) => {
    const { message, hint } = thrownBy(() => resolveOptions(manifest, { [name]: () => undefined }));
    expect(message).toBe(`generate has no option "${name}"`);
    expect(hint).toContain(`did you mean ${meant}?`);
  });

  test.each(["foo", "toString", "constructor", "hasOwnProperty", "shimmer"])(
    "refuses the unknown option %s, and lists those that there are",
    (name) => {
      const { hint } = thrownBy(() => resolveOptions(manifest, { [name]: 1 }));
      expect(hint).toMatch(/^options of generate: onProgress, signal, negativePrompt, /);
    },
  );

  test.each([5, "x", true, [1], () => undefined])("refuses %j in place of options", (options) => {
    thrownBy(() => resolveOptions(manifest, options as GenerateOptions));
  });

  test.each([undefined, null, {}, { prompt: "a" }, 5, [], [undefined], ["a", 5], Symbol("x")])(
    "refuses the prompt %s",
    (prompt) => {
      thrownBy(() => resolveRequest(manifest, prompt as Prompt));
    },
  );

  test("an option that is undefined or null was not given", () => {
    const names = ["negativePrompt", "numInferenceSteps", "guidanceScale", "width", "scheduler"];
    for (const nothing of [undefined, null]) {
      const options = Object.fromEntries(names.map((name) => [name, nothing]));
      expect(resolveOptions(manifest, options)).toMatchObject({ steps: 20, scheduler: "dpmpp_2m" });
    }
  });

  test("whatever is given, it draws or says what is wrong", () => {
    const value = fc.oneof(fc.anything(), fc.integer(), fc.string(), fc.float32Array());
    const names = fc.constantFrom(
      ...["negativePrompt", "numInferenceSteps", "guidanceScale", "seed", "width", "scheduler"],
      ...["eta", "numImages", "imageIndex", "latents", "promptEmbeds", "previewEvery", "output"],
    );
    const options = fc.dictionary(fc.oneof({ weight: 9, arbitrary: names }, fc.string()), value);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.anything()), options, (prompt, given) => {
        try {
          const request = resolveRequest(manifest, prompt as Prompt, given);
          expect(request.indices.length).toBeGreaterThan(0);
        } catch (error) {
          if (!(error instanceof OptionError)) throw error;
          expect(error.hint).not.toBe("");
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("several prompts", () => {
  test("draw as many pictures each, and one negative prompt is for all", () => {
    const request = resolveRequest(manifest, ["a", "b"], { numImages: 3, negativePrompt: "c" });
    expect(request).toMatchObject({ prompts: ["a", "b"], negativePrompts: ["c", "c"], batch: 6 });
    expect(request.indices).toEqual([0, 1, 2, 3, 4, 5]);
    const model = { ...manifest, model: { name: "toy" } } as unknown as Manifest;
    const described = request.indices.map((image) => describeRequest(model, request, image));
    expect(described.map(({ prompt }) => prompt)).toEqual(["a", "a", "a", "b", "b", "b"]);
    expect(described[4]).toMatchObject({ numImages: 6, imageIndex: 4, negativePrompt: "c" });
    // Its settings alone draw it again: one prompt, and as much noise.
    const { prompt, seed, numImages, imageIndex } = described[4]!;
    const again = resolveRequest(manifest, prompt, { seed, numImages, imageIndex });
    expect(again).toMatchObject({ prompts: ["b"], batch: 6, indices: [4], seed: request.seed });
  });

  test("have a negative prompt each, where a list is given", () => {
    const negativePrompt = ["c", ""];
    const request = resolveRequest(manifest, ["a", "b"], { negativePrompt });
    expect(request.negativePrompts).toEqual(negativePrompt);
    negativePrompt[0] = "changed while the call waits";
    expect(request.negativePrompts).toEqual(["c", ""]);
  });

  test("draw 16 pictures at most in all", () => {
    const many = Array<string>(6).fill("a");
    expect(resolveRequest(manifest, many, { numImages: 2 }).batch).toBe(12);
    const { message, hint } = thrownBy(() => resolveRequest(manifest, many, { numImages: 3 }));
    expect(message).toBe("6 prompts with 3 pictures each are 18 pictures");
    expect(hint).toContain("at most 16");
    thrownBy(() => resolveRequest(manifest, Array<string>(17).fill("a")));
  });
});

describe("embeddings", () => {
  const floats = (count: number): Float32Array => new Float32Array(count).fill(0.5);

  test("stand for as many prompts as their first axis is long", () => {
    const promptEmbeds = floats(2 * 6);
    const request = resolveRequest(manifest, null, { promptEmbeds, numImages: 2 });
    expect(request).toMatchObject({ prompts: undefined, batch: 4, embeddings: { promptEmbeds } });
    const model = { ...manifest, model: { name: "toy" } } as unknown as Manifest;
    const described = describeRequest(model, request, 3);
    expect(described).toMatchObject({ prompt: "", given: ["promptEmbeds"], imageIndex: 3 });
    expect(formatSettings(described)).toContain("Given: promptEmbeds");
  });

  test("take a negative prompt as a text beside them", () => {
    const promptEmbeds = floats(12);
    const request = resolveRequest(manifest, null, { promptEmbeds, negativePrompt: "c" });
    expect(request.negativePrompts).toEqual(["c", "c"]);
  });

  test("of SDXL come in pairs", () => {
    const good = { promptEmbeds: floats(12), pooledPromptEmbeds: floats(5) };
    expect(resolveRequest(xl, null, good).batch).toBe(1);
    const alone = thrownBy(() => resolveRequest(xl, null, { promptEmbeds: floats(12) }));
    expect(alone.message).toBe("promptEmbeds is given without pooledPromptEmbeds");
    expect(alone.hint).toContain("encodePrompt gives them");
    thrownBy(() => resolveRequest(xl, null, { pooledPromptEmbeds: floats(5) }));
    // Of two prompts, and of one.
    const uneven = thrownBy(() => resolveRequest(xl, null, { ...good, promptEmbeds: floats(24) }));
    expect(uneven.hint).toContain("(2, 5)");
    thrownBy(() => resolveRequest(xl, null, { ...good, negativePromptEmbeds: floats(12) }));
    const negative = { negativePromptEmbeds: floats(12), negativePooledPromptEmbeds: floats(5) };
    expect(resolveRequest(xl, "a cat", negative).embeddings).toEqual(negative);
  });
});

describe("the scheduler", () => {
  const available = {
    dpmpp_2m: { algorithm: "dpmpp2m", max_steps: 100 },
    dpmpp_2m_karras: { algorithm: "dpmpp2m", max_steps: 100 },
    euler: { algorithm: "euler", max_steps: 100 },
    euler_karras: { algorithm: "euler", max_steps: 100 },
    euler_a: { algorithm: "euler_ancestral", max_steps: 100 },
  };

  test.each([
    ["dpmpp_2m_karras", "DPMSolverMultistepScheduler", "dpmpp_2m_karras"],
    ["dpmpp_2m_karras", "EulerDiscreteScheduler", "euler_karras"],
    ["dpmpp_2m_karras", "EulerAncestralDiscreteScheduler", "euler_a"],
    ["euler", "DPMSolverMultistepScheduler", "dpmpp_2m"],
    ["euler", "EulerDiscreteScheduler", "euler"],
    ["euler_a", "euler", "euler"],
  ])("of a model of %s, %s is %s", (own, scheduler, meant) => {
    const model = { ...manifest, schedulers: { default: own, available } } as unknown as Manifest;
    expect(resolveOptions(model, { scheduler }).scheduler).toBe(meant);
  });

  test("of a class that the model does not offer is refused", () => {
    const model = { ...manifest, schedulers: { default: "euler", available } };
    const { hint } = thrownBy(() =>
      resolveOptions(model as unknown as Manifest, { scheduler: "DDIMScheduler" }),
    );
    expect(hint).toContain("dpmpp_2m, dpmpp_2m_karras, euler");
  });
});

describe("a request that waits", () => {
  test("can be sent to a worker, and has its seed already", () => {
    const request = resolveRequest(manifest, "a", { eta: 0.5 });
    expect(structuredClone(request)).toEqual(request);
    expect(request.seed).toBeTypeOf("number");
  });

  test("has copies of what the caller may change meanwhile, or a framework watches", () => {
    const watched = <Value extends object>(value: Value): Value => new Proxy(value, {});
    const prompts = ["a", "b"];
    const latents = new Float32Array(32).fill(1);
    const negativePromptEmbeds = new Float32Array(12).fill(1);
    const request = resolveRequest(
      manifest,
      watched(prompts),
      watched({ latents, negativePromptEmbeds }),
    );
    prompts[0] = "changed";
    latents.fill(2);
    negativePromptEmbeds.fill(2);
    expect(structuredClone(request)).toMatchObject({
      prompts: ["a", "b"],
      latents: new Float32Array(32).fill(1),
      embeddings: { negativePromptEmbeds: new Float32Array(12).fill(1) },
    });
    const negativePrompt = watched(["c", "d"]);
    const other = resolveRequest(manifest, watched(prompts), { negativePrompt });
    expect(structuredClone(other).negativePrompts).toEqual(["c", "d"]);
  });

  test.each([
    ["signal", {}, "an AbortSignal"],
    ["signal", new AbortController(), "an AbortSignal"],
    ["onProgress", "x", "a function"],
  ])("refuses the %s %s", (name, value, wanted) => {
    const { hint } = thrownBy(() => resolveRequest(manifest, "a", { [name]: value }));
    expect(hint).toContain(wanted);
  });
});

test("encodePrompt takes what diffusers' encode_prompt takes", () => {
  const { resolvePrompts } = requests;
  const one = { prompts: ["a"], negativePrompts: undefined };
  expect(resolvePrompts(manifest, "a", {})).toMatchObject(one);
  expect(resolvePrompts(manifest, ["a", "b"], { negativePrompt: "c" })).toMatchObject({
    prompts: ["a", "b"],
    negativePrompts: ["c", "c"],
  });
  for (const odd of [undefined, null, 5, [], {}]) {
    thrownBy(() => resolvePrompts(manifest, odd as Prompt, {}));
  }
});

describe("the settings of a picture", () => {
  const share = fc.constantFrom(0, 0.3, 0.5, 1);
  const scale = fc.constantFrom(0, 1, 5, 7.5);
  const steps = fc.integer({ min: 1, max: 50 });
  const scheduler = fc.constantFrom("dpmpp_2m", "lcm");
  const side = fc.constantFrom(128, 192);

  test("draw it again, whatever the defaults of the model that reads them", () => {
    const defaults = fc.record({
      ...{ steps, guidance_scale: scale, eta: share, size: fc.constant([128, 128]) },
    });
    const options = fc.record(
      {
        negativePrompt: fc.constantFrom("", "dog"),
        numInferenceSteps: steps,
        guidanceScale: scale,
        seed: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), fc.nat()),
        width: side,
        scheduler,
        eta: share,
        numImages: fc.integer({ min: 1, max: 16 }),
      },
      { requiredKeys: [] },
    );
    const model = { ...manifest, model: { name: "toy" } } as unknown as Manifest;
    fc.assert(
      fc.property(defaults, defaults, options, (mine, theirs, given) => {
        const request = resolveOptions({ ...model, defaults: mine }, given);
        const image = request.indices.at(-1)!;
        const text = formatSettings(describeRequest(model, request, image));
        const { prompt, steps: numInferenceSteps, ...read } = parseSettings(text);
        delete read.model;
        const again = {
          ...read,
          ...(numInferenceSteps === undefined ? {} : { numInferenceSteps }),
        };
        const redrawn = resolveOptions({ ...model, defaults: theirs }, again);
        expect(prompt).toBe("a cat");
        expect({ ...redrawn, seed: BigInt(redrawn.seed) }).toEqual({
          ...request,
          indices: [image],
          seed: BigInt(request.seed),
        });
      }),
    );
  });
});

/** A model of a transformer of four blocks, which can be left out. */
const blocks = {
  ...manifest,
  model: { name: "blocks" },
  entry_points: manifest.entry_points.map((entry) =>
    (entry.role as string) === "denoiser"
      ? {
          ...entry,
          inputs: [
            ...entry.inputs,
            { name: BLOCK_SCALES, shape: [1, 4], dtype: "float32" as const },
          ],
        }
      : entry,
  ),
} as unknown as Manifest;

describe("skip-layer guidance", () => {
  test("is none, or diffusers' unless it is given otherwise", () => {
    expect([guidanceLayers(manifest), guidanceLayers(blocks)]).toEqual([0, 4]);
    expect(resolveOptions(blocks, {}).skipLayers).toBeUndefined();
    const layers = [3, 1];
    const { skipLayers } = resolveOptions(blocks, { skipGuidanceLayers: layers });
    expect(skipLayers).toEqual({ layers: [3, 1], scale: 2.8, start: 0.01, stop: 0.2 });
    layers.push(2);
    expect(skipLayers!.layers).toEqual([3, 1]);
    const overlapping = { skipGuidanceLayers: layers, guidanceStart: 0.19, guidanceStop: 0.5 };
    expect(resolveOptions(blocks, overlapping).guidanceInterval).toEqual({
      start: 0.19,
      stop: 0.5,
    });
  });

  test("is in the settings of pictures, and read from there", () => {
    const request = resolveOptions(blocks, {
      skipGuidanceLayers: [1, 2],
      skipLayerGuidanceScale: 3,
      skipLayerGuidanceStart: 0,
      skipLayerGuidanceStop: 0.5,
    });
    const settings = describeRequest(blocks, request, 0);
    const text = formatSettings(settings);
    expect(text).toContain("Skip guidance layers: 1 2, Skip layer guidance scale: 3, ");
    const { skipGuidanceLayers, skipLayerGuidanceStart, skipLayerGuidanceStop } =
      parseSettings(text);
    expect(skipGuidanceLayers).toEqual([1, 2]);
    expect([skipLayerGuidanceStart, skipLayerGuidanceStop]).toEqual([0, 0.5]);
    expect(formatSettings({ ...settings, ...parseSettings(text) })).toBe(text);
  });

  test.each([
    ["a layer that there is not", { skipGuidanceLayers: [1, 4] }, "skipGuidanceLayers has 4"],
    ["a layer twice", { skipGuidanceLayers: [1, 1] }, "skipGuidanceLayers is"],
    ["no layers", { skipGuidanceLayers: [] }, "skipGuidanceLayers is"],
    ["a layer below 0", { skipGuidanceLayers: [-1] }, "skipGuidanceLayers is"],
    ["no layers but a scale", { skipLayerGuidanceScale: 2 }, "without skipGuidanceLayers"],
    [
      "a start behind the stop",
      { skipGuidanceLayers: [1], skipLayerGuidanceStart: 0.2 },
      "skipLayerGuidanceStart is 0.2",
    ],
    [
      "an interval of guidance that begins behind it",
      { skipGuidanceLayers: [1], guidanceStart: 0.2 },
      "skip-layer guidance is from 0.01 to 0.2 of the steps, and guidance from 0.2 to 1",
    ],
    [
      "an interval of guidance that ends before it",
      { skipGuidanceLayers: [1], skipLayerGuidanceStart: 0.1, guidanceStop: 0.1 },
      "skip-layer guidance is from 0.1 to 0.2 of the steps, and guidance from 0 to 0.1",
    ],
    [
      "a picture",
      { skipGuidanceLayers: [1], image: new Blob() },
      "both skipGuidanceLayers and image",
    ],
  ])("refuses %s", (_, options: GenerateOptions, said) => {
    const error = thrownBy(() => resolveOptions(blocks, options));
    expect(error.message).toContain(said);
    expect(error.hint).not.toBe("");
  });

  test("is refused for models that can leave out no blocks", () => {
    const other = { ...manifest, model: { name: "other" } } as unknown as Manifest;
    const error = thrownBy(() => resolveOptions(other, { skipGuidanceLayers: [1] }));
    expect(error.message).toBe("other takes no skipGuidanceLayers");
  });
});

describe("third prompts", () => {
  const three = {
    ...xl,
    model: { name: "three" },
    conditioning: { encoders: ["one", "two", "three"], empty_negative: "encode" },
  } as unknown as Manifest;

  test("are one for all prompts, or one for each, and in the settings", () => {
    const request = resolveRequest(three, ["a", "b"], {
      prompt3: ["c", "d"],
      negativePrompt3: "e",
    });
    expect(request.prompts3).toEqual(["c", "d"]);
    expect(request.negativePrompts3).toEqual(["e", "e"]);
    const settings = describeRequest(three, request, 1);
    const text = formatSettings(settings);
    expect(text).toContain("Prompt 3: d, Negative prompt 3: e");
    expect(parseSettings(text)).toMatchObject({ prompt3: "d", negativePrompt3: "e" });
    expect(resolveOptions(three, {}).prompts3).toBeUndefined();
  });

  test.each([{ prompt3: "b" }, { negativePrompt3: "b" }])(
    "are refused where there is no third text encoder: %j",
    (options) => {
      const two = { ...xl, model: { name: "two" } } as unknown as Manifest;
      const { message, hint } = thrownBy(() => resolveOptions(two, options));
      expect(message).toContain("two has no third text encoder, and takes no ");
      expect(hint).toContain("T5");
    },
  );

  test("are refused in other counts, and where they begin another chunk", () => {
    for (const [options, said] of [
      [{ prompt3: ["b", "c"] }, "prompt3 has 2 texts, and there are 1 prompts"],
      [{ prompt3: "b BREAK c", promptSyntax: "a1111" }, "prompt3 has BREAK"],
    ] as [GenerateOptions, string][]) {
      expect(thrownBy(() => resolveOptions(three, options)).message).toContain(said);
    }
  });
});

describe("the cache interval", () => {
  const caching = {
    ...manifest,
    model: { name: "toy" },
    entry_points: [...manifest.entry_points, { role: "shallow_denoiser" }],
  } as unknown as Manifest;

  test("has no effect unless it is given", () => {
    expect(resolveOptions(manifest, {}).cacheInterval).toBeUndefined();
    expect(resolveOptions(manifest, { cacheInterval: 1 }).cacheInterval).toBeUndefined();
    expect(resolveOptions(caching, { cacheInterval: 3 }).cacheInterval).toBe(3);
  });

  test("is in the settings of pictures, and read from there", () => {
    const plain = describeRequest(caching, resolveOptions(caching, { cacheInterval: 1 }), 0);
    expect(formatSettings(plain)).not.toContain("Cache");
    const settings = describeRequest(caching, resolveOptions(caching, { cacheInterval: 3 }), 0);
    const text = formatSettings(settings);
    expect(text).toContain(", Cache interval: 3");
    expect(parseSettings(text)).toMatchObject({ cacheInterval: 3 });
    expect(formatSettings({ ...settings, ...parseSettings(text) })).toBe(text);
    for (const odd of ["0", "2.5", "-3", "three"]) {
      expect(parseSettings(text.replace(/3$/, odd)).cacheInterval).toBeUndefined();
    }
  });

  test.each([0, -1, 1.5, NaN, "3" as unknown as number])("refuses %s", (cacheInterval) => {
    const error = thrownBy(() => resolveOptions(caching, { cacheInterval }));
    expect(error.message).toContain("cacheInterval is");
    expect(error.hint).toContain("a whole number from 1 on");
  });

  test("is refused by a model that keeps no deep features", () => {
    const named = { ...manifest, model: { name: "short" } } as unknown as Manifest;
    const error = thrownBy(() => resolveOptions(named, { cacheInterval: 2 }));
    expect(error.message).toContain("short was built without a deep cache");
    expect(error.hint).toContain("--deep-cache");
  });
});

describe("the interval of guidance", () => {
  test("is the whole run unless it is given", () => {
    expect(resolveOptions(manifest, {}).guidanceInterval).toBeUndefined();
    const whole = { guidanceStart: 0, guidanceStop: 1 };
    expect(resolveOptions(manifest, whole).guidanceInterval).toBeUndefined();
    const { guidanceInterval } = resolveOptions(manifest, { guidanceStop: 0.5 });
    expect(guidanceInterval).toEqual({ start: 0, stop: 0.5 });
    const early = resolveOptions(manifest, { guidanceStart: 0.25 }).guidanceInterval;
    expect(early).toEqual({ start: 0.25, stop: 1 });
  });

  test("is in the settings of pictures, and read from there", () => {
    const named = { ...manifest, model: { name: "toy" } } as unknown as Manifest;
    const plain = describeRequest(named, resolveOptions(named, {}), 0);
    expect(formatSettings(plain)).not.toContain("Guidance");
    const request = resolveOptions(named, { guidanceStart: 0.2, guidanceStop: 0.8 });
    const settings = describeRequest(named, request, 0);
    const text = formatSettings(settings);
    expect(text).toContain(", Guidance start: 0.2, Guidance stop: 0.8");
    expect(parseSettings(text)).toMatchObject({ guidanceStart: 0.2, guidanceStop: 0.8 });
    expect(formatSettings({ ...settings, ...parseSettings(text) })).toBe(text);
  });

  test.each([
    ["a start behind the stop", { guidanceStart: 0.6, guidanceStop: 0.5 }, "guidanceStart is 0.6"],
    ["a start at the end", { guidanceStart: 1 }, "guidanceStart is 1"],
    ["a start below 0", { guidanceStart: -0.1 }, "guidanceStart is -0.1"],
    ["a stop above 1", { guidanceStop: 1.1 }, "guidanceStop is 1.1"],
    ["no number", { guidanceStop: NaN }, "guidanceStop is NaN"],
    ["a text", { guidanceStart: "0" as unknown as number }, "guidanceStart is"],
  ])("refuses %s", (_, options: GenerateOptions, said) => {
    const error = thrownBy(() => resolveOptions(manifest, options));
    expect(error.message).toContain(said);
    expect(error.hint).not.toBe("");
  });

  test("is refused by a model that guides itself", () => {
    const embedded = { name: "timestep_cond", shape: [1, 32], dtype: "float32" };
    const itself = {
      ...manifest,
      model: { name: "lcm" },
      entry_points: manifest.entry_points.map((entry) =>
        entry.inputs === DENOISER.inputs
          ? { ...entry, inputs: [...entry.inputs, embedded] }
          : entry,
      ),
    } as unknown as Manifest;
    expect(resolveOptions(itself, { guidanceStop: 1 }).guidanceInterval).toBeUndefined();
    const error = thrownBy(() => resolveOptions(itself, { guidanceStop: 0.5 }));
    expect(error.message).toContain("lcm guides itself");
  });
});
