import { expect, test } from "vitest";

import { OptionError } from "../../src/util/errors";
import { isPng, readText, writeText } from "../../src/settings/png";
import { parseLink } from "../../src/settings/link";
import { readLoraTags } from "../../src/settings/lora_tags";
import { readSettings } from "../../src/settings/read_settings";
import { findScheduler } from "../../src/settings/sampler_names";
import { parseSeed } from "../../src/settings/seed";
import type { Settings } from "../../src/settings/infotext";
import { formatSettings, parseInfotext, parseSettings } from "../../src/settings/infotext";

const settings: Settings = {
  prompt: "a red circle, très grand 🔴\nsecond line: with, commas",
  negativePrompt: "blue: square",
  steps: 20,
  scheduler: "dpmpp_2m_karras",
  guidanceScale: 7.5,
  seed: 4294967295,
  width: 128,
  height: 192,
  model: "tiny-sd15",
  eta: 0.5,
};

// The smallest PNG there is: one grey pixel.
const png = Uint8Array.from(
  atob(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCBd81ytgAAAABJRU5ErkJggg==",
  ),
  (char) => char.charCodeAt(0),
);

test("settings survive their text", () => {
  expect(parseSettings(formatSettings(settings))).toEqual(settings);
  const plain = { ...settings, scheduler: "euler_a" };
  // SDXL draws something else for an empty negative prompt than for none.
  for (const negativePrompt of [undefined, ""]) {
    const negated = { ...plain, negativePrompt };
    expect(parseSettings(formatSettings(negated))).toStrictEqual(negated);
  }
});

test("LoRAs survive in the web UI's words, and its own texts are read", () => {
  const loras = [
    { name: "pixel art", scale: 0.8, hash: "0123456789ab" },
    { name: "more.details_2", scale: -1.5 },
  ];
  const text = formatSettings({ ...settings, loras });
  expect(text).toContain(
    `${settings.prompt} <lora:pixel art:0.8> <lora:more.details_2:-1.5>\nNegative prompt:`,
  );
  expect(text).toContain('Lora hashes: "pixel art: 0123456789ab"');
  expect(parseSettings(text)).toEqual({ ...settings, loras });
  const found = parseInfotext(
    'a <lora:x:1:0.5>cat, <lora:y:zero> <b>\nSteps: 1, Lora hashes: "x: abc, z: def"',
  );
  expect(found.prompt).toBe("acat, <lora:y:zero> <b>");
  // The scale of the text encoders is first there; here all of a LoRA has that of the denoiser.
  expect(found.loras).toEqual([{ name: "x", scale: 0.5, hash: "abc" }]);
  expect(found.others).toEqual([
    ["<lora:x> te", "1"],
    ["LoRA", "z"],
  ]);
  expect(parseInfotext("a cat\nSteps: 1").loras).toBeUndefined();
  expect(() => formatSettings({ ...settings, loras: [{ name: "x", scale: NaN }] })).toThrow(
    /loras\[0\]\.scale/,
  );
  // In linear time.
  expect(parseInfotext(`${"<lora:".repeat(200_000)}\nSteps: 1`).loras).toBeUndefined();
});

test.each([
  ["<lora:x>", 1, []],
  ["<lora:x:0.5>", 0.5, []],
  ["<lora:x:0.5:0.5>", 0.5, []],
  ["<lora:x:1:0>", 0, [["<lora:x> te", "1"]]],
  ["<lora:x:te=0.5>", 0.5, []],
  ["<lora:x:te=0:unet=0.7>", 0.7, [["<lora:x> te", "0"]]],
  ["<lora:x:0.5:unet=0.7>", 0.7, [["<lora:x> te", "0.5"]]],
  [
    "<lora:x:0.8:lbw=MIDD:stop=10>",
    0.8,
    [
      ["<lora:x> lbw", "MIDD"],
      ["<lora:x> stop", "10"],
    ],
  ],
  [`<lora:x:1:lbw=${"0.25,".repeat(26)}1>`, 1, [["<lora:x> lbw", `${"0.25,".repeat(26)}1`]]],
  ["<lora:x:1:1:32>", 1, [["<lora:x> dyn", "32"]]],
  ["<lora:x:1:1:dyn=32>", 1, [["<lora:x> dyn", "32"]]],
  [
    "<lora:x:1:1:8:more>",
    1,
    [
      ["<lora:x> dyn", "8"],
      ["<lora:x> more", ""],
    ],
  ],
] as [string, number, [string, string][]][])(
  "the tag %s is read as the web UI reads it",
  (tag, scale, others) => {
    const expected = { prompt: "a cat", loras: [{ name: "x", scale }], others };
    const prompt = `a cat ${tag}`;
    expect(readLoraTags(prompt)).toEqual(expected);
    expect(parseInfotext(`${prompt}\nSteps: 1`)).toMatchObject(expected);
    expect(parseLink(`#prompt=${encodeURIComponent(prompt)}`)).toMatchObject(expected);
  },
);

test.each(["<lora:>", "<lora:x:>", "<lora:x:one>", "<lora:x:1:two>", "<lora:x:te=>"])(
  "%s is no tag, and stays",
  (text) => {
    expect(readLoraTags(text)).toEqual({ prompt: text, loras: [], others: [] });
  },
);

test("textual inversions and LoRAs that only the hashes name are found", () => {
  const found = parseInfotext(
    'a cat <lora:x:1>\nSteps: 1, Lora hashes: "x: abc, y z: def", TI hashes: "easyneg: 12, bad: 34"',
  );
  expect(found.inversions).toEqual(["easyneg", "bad"]);
  expect(found.others).toEqual([["LoRA", "y z"]]);
  const comma = parseInfotext('a <lora:x, y:1>\nSteps: 1, Lora hashes: "x y: abc"');
  expect(comma).toMatchObject({ loras: [{ name: "x, y", scale: 1, hash: "abc" }], others: [] });
  expect(parseInfotext("a cat\nSteps: 1, Lora hashes: , TI hashes: ").inversions).toBeUndefined();
  const alone = parseInfotext("a cat\nSteps: 1, Lora hashes: y: def");
  expect([alone.loras, alone.others]).toEqual([undefined, [["LoRA", "y"]]]);
});

test("each picture of a request says which one it is", () => {
  const several = { ...settings, numImages: 4 };
  const third = { ...several, imageIndex: 2 };
  const text = formatSettings(third);
  // The pair is AUTOMATIC1111's, and the last says what it does not: one seed drew all four.
  expect(text).toMatch(/, Eta DDIM: 0\.5, Batch size: 4, Batch pos: 2, Picture: 3 of 4$/);
  expect(formatSettings(several, 2)).toBe(text);
  expect(parseSettings(text)).toEqual(third);
  expect(parseInfotext(text)).toMatchObject({ picture: { number: 3, of: 4 }, others: [] });
  expect(parseSettings(formatSettings(several))).toEqual({ ...several, imageIndex: 0 });
  expect(formatSettings(settings)).not.toContain("Picture");
  // Only a number of a picture that there can be.
  for (const text of ["0 of 4", "5 of 4", "of", "1"]) {
    const found = parseInfotext(`x\nSteps: 1, Picture: ${text}`);
    expect([found.picture, found.others]).toEqual([undefined, [["Picture", text]]]);
  }
});

test("of a batch with a seed for each picture, the seed alone says which one it is", () => {
  const found = parseInfotext("x\nSteps: 1, Seed: 8, Batch size: 4, Batch pos: 2");
  expect(found).toMatchObject({ seed: 8, picture: undefined, others: [] });
});

test("a text names the tensors that it cannot carry", () => {
  const text = formatSettings({ ...settings, given: ["latents", "promptEmbeds"] });
  expect(text).toMatch(/, Given: "latents, promptEmbeds"$/);
  expect(parseInfotext(text).others).toEqual([["Given", "latents, promptEmbeds"]]);
  expect(parseSettings(text)).toEqual(settings);
});

test.each([
  ...["prompt", "steps", "scheduler", "guidanceScale", "seed", "width", "model", "eta"].map(
    (name) => [name, { ...settings, [name]: undefined }] as const,
  ),
  ["seed", { ...settings, seed: "7" }],
  ["steps", { ...settings, steps: Number.NaN }],
  ["settings", null],
] as [string, unknown][])("settings without a %s are refused by its name", (name, odd) => {
  expect(() => formatSettings(odd as Settings)).toThrow(OptionError);
  expect(() => formatSettings(odd as Settings)).toThrow(name);
});

test.each([-1, 4, 0.5, Number.NaN])("there is no picture %s of four", (index) => {
  expect(() => formatSettings({ ...settings, numImages: 4 }, index)).toThrow("no picture");
});

test.each([
  ["parseSettings", parseSettings],
  ["parseSeed", parseSeed],
  ["isPng", isPng],
  ["readText", readText],
  ["writeText", (given: unknown) => writeText(given as Uint8Array, "x")],
  ["writeText", (given: unknown) => writeText(png, given as string)],
  ["findScheduler", (given: unknown) => findScheduler("A1111", given as string, "")],
  ["formatSettings", formatSettings],
] as [string, (given: unknown) => unknown][])("%s refuses what it cannot read", (_, call) => {
  for (const odd of [undefined, null, 5, {}, [1], new Uint16Array(8), Symbol("x")]) {
    expect(() => call(odd)).toThrow(OptionError);
  }
});

test("readSettings takes a file or its bytes, and nothing else", async () => {
  const written = writeText(png, formatSettings(settings));
  for (const form of [written, written.buffer, new Blob([written])]) {
    expect((await readSettings(form))?.seed).toBe(settings.seed);
  }
  for (const odd of [undefined, null, "x", {}, new Uint16Array(8)]) {
    await expect(readSettings(odd as never)).rejects.toThrow(OptionError);
  }
});

test("another program's text gives what there is", () => {
  const text =
    "a cat\nNegative prompt: dog\nSteps: 30, Sampler: Euler a, CFG scale: 4, Clip skip: 2";
  expect(parseSettings(text)).toEqual({
    prompt: "a cat",
    negativePrompt: "dog",
    steps: 30,
    scheduler: "euler_a",
    guidanceScale: 4,
    clipSkip: 1,
  });
  for (const odd of ["0", "1.5", "x"]) {
    expect(parseSettings(text.replace(/2$/, odd)).clipSkip).toBeUndefined();
  }
  expect(parseSettings("just words")).toEqual({ prompt: "just words" });
  expect(parseSettings("x\nSteps: 1, Sampler: Unheard of, Seed: many")).toEqual({
    prompt: "x",
    steps: 1,
  });
});

test("a text survives its PNG", () => {
  const text = formatSettings(settings);
  const written = writeText(png, text);
  expect(readText(written)).toBe(text);
  expect(readText(png)).toBeUndefined();
  expect(readText(written.subarray(0, 60))).toBeUndefined();
  expect(readText(new Uint8Array([1, 2, 3]))).toBeUndefined();
});

const fromPicture: Settings = {
  ...settings,
  ...{ strength: 0.6, fit: "contain", maskBlur: 4, maskedContent: "noise", onlyMasked: false },
  ...{ keepUnmasked: true, outpaint: { left: 64, bottom: 8 } },
};
const secondPass = {
  ...{ width: 256, height: 384, strength: 0.55, steps: 12 },
  upscale: "latent",
} as const;

test("settings of a picture that was drawn from another are A1111's", () => {
  const text = formatSettings({ ...fromPicture, given: ["image", "mask"] });
  expect(text.split(", Eta DDIM: 0.5, ")[1]).toBe(
    "Denoising strength: 0.6, Mask blur: 4, Masked content: latent noise, " +
      "Inpaint area: Whole picture, Fit: contain, Keep unmasked: true, " +
      'Outpaint: left 64 bottom 8, Given: "image, mask"',
  );
  expect(parseSettings(text)).toEqual(fromPicture);
  const part = { ...fromPicture, onlyMasked: true, onlyMaskedPadding: 16 };
  delete part.fit;
  expect(formatSettings(part)).toContain(", Inpaint area: Only masked, Masked area padding: 16,");
  expect(parseSettings(formatSettings(part))).toEqual(part);
});

test("a second pass and a variation are A1111's words too", () => {
  const varied = { ...settings, variationSeed: 2n ** 63n, variationStrength: 0.15 };
  const text = formatSettings({ ...varied, secondPass });
  expect(text.split(", Eta DDIM: 0.5, ")[1]).toBe(
    "Variation seed: 9223372036854775808, Variation seed strength: 0.15, " +
      "Denoising strength: 0.55, Hires upscale: 2, Hires steps: 12, Hires upscaler: Latent",
  );
  expect(parseSettings(text)).toEqual({ ...varied, secondPass });
  // A size that is not so many times the first.
  const wider = { ...secondPass, width: 384, upscale: "picture" } as const;
  const resized = formatSettings({ ...settings, secondPass: wider });
  expect(resized).toContain(", Hires resize: 384x384, Hires steps: 12, Hires upscaler: Lanczos");
  expect(parseSettings(resized)).toEqual({ ...settings, secondPass: wider });
});

test("what A1111 writes of pictures and second passes is read", () => {
  const read = (pairs: string) => parseInfotext(`x\nSteps: 20, Size: 512x768, ${pairs}`);
  expect(read("Denoising strength: 0.75, Mask blur: 8, Masked content: fill")).toMatchObject({
    ...{ strength: 0.75, maskBlur: 8, maskedContent: "fill", others: [] },
  });
  // Its one strength is that of the second pass where there is one.
  const hires = read("Denoising strength: 0.4, Hires upscale: 1.5, Hires upscaler: Latent");
  expect(hires).toMatchObject({ secondStrength: 0.4, secondScale: 1.5, upscale: "latent" });
  expect(hires.strength).toBeUndefined();
  // Other ways to enlarge are known to be others.
  for (const upscaler of ["R-ESRGAN 4x+", "Latent (nearest)"]) {
    const found = read(`Denoising strength: 0.4, Hires upscale: 2, Hires upscaler: ${upscaler}`);
    expect(found.others).toEqual([["Hires upscaler", upscaler]]);
    expect(found.upscale).toBe(upscaler.startsWith("Latent") ? "latent" : "picture");
  }
  const odd =
    "Masked content: latent nothing, Inpaint area: all, Fit: tight, Mask blur: x, Outpaint: up";
  expect(read(odd).others).toHaveLength(5);
});
