import { expect, test } from "vitest";

import type { FoundSettings } from "../../src/settings/found_settings";
import { noSettings } from "../../src/settings/found_settings";
import { parseLink } from "../../src/settings/link";
import { formatSettings, parseInfotext } from "../../src/settings/infotext";
import type { Offer } from "../../src/app/dropped_settings";
import { adopt, describe, nameOrigin } from "../../src/app/dropped_settings";

const offer = {
  model: { name: "tiny-sd15", source: "shapes.safetensors" },
  sizes: [
    [512, 512],
    [768, 512],
    [512, 768],
    [1024, 1024],
  ],
  schedulers: {
    ddim: { title: "DDIM", algorithm: "ddim", max_steps: 100 },
    dpmpp_2m: { title: "DPM-Solver++ 2M", max_steps: 100 },
    dpmpp_2m_karras: { title: "DPM-Solver++ 2M Karras", max_steps: 100 },
    euler_a: { title: "Euler ancestral", max_steps: 100 },
    lcm: { title: "LCM", min_steps: 2, max_steps: 50 },
  },
  scheduler: "euler_a",
  steps: 20,
  takesNegativePrompt: true,
  ...{ takesSecondPrompt: false, takesThirdPrompt: false, maxClipSkip: 11 },
  hasDeepCache: true,
  guidance: { min: 0, max: 50 },
  maxImages: 16,
  eta: 0,
  ...{ size: "512x512", takesPicture: true, hasPicture: false },
} as unknown as Offer;
/** What is written into fields of which the settings say nothing: that there is no such thing. */
/** What the form takes of prompts beside them. */
const PLAIN = {
  ...{ promptSyntax: "", clipSkip: "", cacheInterval: "" },
  ...{ prompt2: "", negative2: "", prompt3: "", negative3: "" },
};
const NOTHING_MORE = { secondPass: "", variationSeed: "", variationStrength: "" };

interface Taken {
  fields: ReturnType<typeof adopt>["fields"];
  message: string;
}

function take(some: Partial<FoundSettings>, changes: Partial<Offer> = {}): Taken {
  const found = { ...noSettings("A1111"), ...some };
  const adopted = adopt(found, { ...offer, ...changes });
  return { fields: adopted.fields, message: describe(adopted, nameOrigin(found, "it.png")) };
}

test("settings of this page come back as they were, whatever the seed", () => {
  const settings = {
    ...{ prompt: "a cat\nin a hat", negativePrompt: "dog", steps: 20, guidanceScale: 7.25, eta: 0 },
    ...{ seed: 2n ** 64n - 1n, width: 512, height: 768, scheduler: "dpmpp_2m_karras" },
    model: "tiny-sd15",
  };
  expect(take(parseInfotext(formatSettings(settings)))).toEqual({
    fields: {
      ...{ prompt: "a cat\nin a hat", negative: "dog", seed: "18446744073709551615", steps: "20" },
      ...{ guidance: "7.25", size: "512x768", scheduler: "dpmpp_2m_karras", images: "1" },
      image: "",
      ...PLAIN,
      ...NOTHING_MORE,
    },
    message:
      "Settings taken from it.png: prompt, negative prompt, seed, size, scheduler, steps, guidance.",
  });
});

test.each([
  [{ width: 512, height: 512 }, "512x512", ""],
  [
    { width: 640, height: 960 },
    "512x768",
    "Changed: size from 640x960 to 512x768 (not among this model's sizes).",
  ],
  [
    { width: 2048, height: 2048 },
    "1024x1024",
    "Changed: size from 2048x2048 to 1024x1024 (not among",
  ],
  [{ width: 1, height: 1 }, "512x512", "Changed: size from 1x1 to 512x512 (not among"],
  [{ width: 0, height: 512 }, undefined, "Not taken: size 0x512 (not among this model's sizes)."],
  [{ width: 512, height: -512 }, undefined, "Not taken: size 512x-512 (not among"],
  [{ width: 512.5, height: 512 }, undefined, "Not taken: size 512.5x512 (not among"],
  [{ width: 512 }, undefined, ""],
])("the size of %j", (found, size, message) => {
  const adopted = take(found);
  expect(adopted.fields.size).toBe(size);
  expect(adopted.message).toContain(message);
});

test.each([
  [{ sampler: "DPM++ 2M", schedule: "Karras" }, "dpmpp_2m_karras", ": scheduler."],
  [
    { sampler: "DPM++ 2M", schedule: "SGM Uniform" },
    "dpmpp_2m",
    "Changed: scheduler from DPM++ 2M, SGM Uniform to DPM-Solver++ 2M (its noise levels are not offered).",
  ],
  [
    { sampler: "DPM++ 2M", schedule: "Beta" },
    "dpmpp_2m",
    "Changed: scheduler from DPM++ 2M, Beta to DPM-Solver++ 2M (its noise levels",
  ],
  [
    { sampler: "Restart", schedule: "Karras" },
    undefined,
    "Not taken: sampler Restart, Karras (unknown, Euler ancestral stays).",
  ],
  [
    { sampler: "Heun" },
    undefined,
    "Not taken: sampler Heun (not offered by this model, Euler ancestral stays).",
  ],
  [{ schedule: "Karras" }, undefined, "Not taken: schedule Karras."],
])("the sampler of %j", (found, scheduler, message) => {
  const adopted = take(found);
  expect(adopted.fields.scheduler).toBe(scheduler);
  expect(adopted.message).toContain(message);
});

test.each([
  [{ steps: 20 }, "20", ": steps."],
  [{ steps: 150 }, "100", "Changed: steps from 150 to 100 (the range is 1 to 100)."],
  [{ steps: 0 }, "1", "Changed: steps from 0 to 1 (the range"],
  [{ steps: 20.4 }, "20", "Changed: steps from 20.4 to 20 (the range"],
  [{ steps: 100, sampler: "LCM" }, "50", "Changed: steps from 100 to 50 (the range is 2 to 50)."],
  [{ steps: 1, sampler: "LCM" }, "2", "Changed: steps from 1 to 2 (the range"],
])("the steps of %j are what the scheduler takes", (found, steps, message) => {
  const adopted = take(found);
  expect(adopted.fields.steps).toBe(steps);
  expect(adopted.message).toContain(message);
});

test.each([
  [{ eta: 0.5 }, 0, "eta 0.5"],
  [{ eta: 0.5 }, 0.5, ""],
  [{ eta: 0 }, 0.5, "eta 0"],
  // Programs that write this form leave out an eta of 0.
  [{}, 0.5, "eta 0"],
  [{}, 0, ""],
  [{ program: "ComfyUI" }, 0.5, ""],
  // Other schedulers draw the same picture whatever it is.
  [{ sampler: "LCM", eta: 0.5 }, 0, ""],
])("the eta of %j, with a model whose own is %d", (found, eta, refused) => {
  const settings = { ...noSettings("A1111"), sampler: "DDIM", ...found };
  const { message } = take(settings, { eta });
  expect(/Not taken: (.*?)\.$/.exec(message)?.[1] ?? "").toBe(refused);
});

test("a picture that was drawn with others is drawn alone, unless all of them are meant", () => {
  const { fields, message } = take({ picture: { number: 2, of: 4 } });
  expect(fields).toEqual({ images: "4", image: "2", ...NOTHING_MORE });
  expect(message).toBe("Settings taken from it.png: picture (number 2 of 4).");
  expect(take({ picture: { number: 1, of: 4, all: true } }).fields).toEqual({
    images: "4",
    image: "",
    ...NOTHING_MORE,
  });
  const many = take({ picture: { number: 2, of: 40 } });
  expect(many.message).toContain(
    "Not taken: picture number 2 of 40 (at most 16 are drawn at once).",
  );
  expect(many.fields).toEqual(NOTHING_MORE);
  const alone = { seed: "1", images: "1", image: "", ...NOTHING_MORE };
  expect(take({ seed: 1 }).fields).toEqual(alone);
});

test("what a picture was drawn from is named as missing, and how it was used is taken", () => {
  const found = {
    ...{ strength: 0.55, maskBlur: 8, maskedContent: "fill" as const, fit: "contain" as const },
    ...{ onlyMasked: true, onlyMaskedPadding: 5000, keepUnmasked: false, outpaint: { left: 64 } },
  };
  const { fields, message } = take(found);
  expect(fields).toMatchObject({
    ...{ strength: "0.55", maskBlur: "8", maskedContent: "fill", fit: "contain" },
    ...{ onlyMasked: "1024", keepUnmasked: "false" },
  });
  expect(message).toContain("choose that picture to draw the same");
  expect(message).toContain("Not taken: Outpaint left 64.");
  expect(take(found, { hasPicture: true }).message).not.toContain("choose that picture");
  // A link is of a form, and a form may have a strength without a picture.
  expect(take({ ...found, program: "link" }).message).not.toContain("choose that picture");
  // The other way round, too: what is in the form would be drawn from.
  const words = "remove that to draw the same";
  const fromWords = { prompt: "a", seed: 1 };
  expect(take(fromWords, { hasPicture: true }).message).toContain(words);
  expect(take(fromWords).message).not.toContain(words);
  expect(take(found, { hasPicture: true }).message).not.toContain(words);
  expect(take({ ...fromWords, program: "link" }, { hasPicture: true }).message).not.toContain(
    words,
  );
  // All of the picture was drawn, and not a part.
  expect(take({ strength: 0.5 }).fields.onlyMasked).toBe("");
  const unable = take(found, { takesPicture: false });
  expect(unable.fields).toEqual({ images: "1", image: "", ...NOTHING_MORE });
});

test.each([
  [{ secondScale: 2, secondStrength: 0.4, upscale: "picture" as const }, "2", ""],
  [{ secondWidth: 1024, secondHeight: 1024, secondSteps: 0 }, "2", ""],
  [
    { secondScale: 1.5 },
    "",
    "Not taken: second pass 1.5 (this model has no such larger size of the same shape).",
  ],
  [
    { secondWidth: 640, secondHeight: 640 },
    "",
    "Not taken: second pass 640x640 (this model has no such larger size of the same shape).",
  ],
  [{ secondSteps: 20 }, "", ""],
])("the second pass of %j", (found, factor, refused) => {
  const { fields, message } = take({ width: 512, height: 512, ...found });
  expect(fields.secondPass).toBe(factor);
  expect(message.includes("Not taken")).toBe(refused !== "");
  expect(message).toContain(refused);
  // What is left out is as the form begins, and not as it was before.
  if (factor !== "")
    expect([fields.secondStrength, fields.secondSteps, fields.upscale]).toEqual(
      "upscale" in found ? ["0.4", "", "picture"] : ["", "", ""],
    );
});

test("a variation comes back, and a picture without one has none", () => {
  const { fields, message } = take({ seed: 5, variationSeed: 2n ** 63n, variationStrength: 0.15 });
  expect(fields).toMatchObject({ variationSeed: "9223372036854775808", variationStrength: "0.15" });
  expect(message).toBe("Settings taken from it.png: seed, variation.");
  expect(take({ seed: 5, variationSeed: 6 }).fields).toMatchObject(NOTHING_MORE);
  expect(take({ seed: 5, variationSeed: 6, variationStrength: 9 }).fields).toMatchObject({
    ...{ variationSeed: "6", variationStrength: "1" },
  });
});

test("the form stays valid: steps that are set and too many for the taken scheduler are lowered", () => {
  const { fields, message } = take({ sampler: "LCM" }, { steps: 90 });
  expect(fields).toMatchObject({ scheduler: "lcm", steps: "50" });
  expect(message).toContain("Changed: steps from 90 to 50 (the range is 2 to 50).");
  // An emptied field stays empty; the form itself asks for a number.
  expect(take({ sampler: "LCM" }, { steps: NaN }).fields.steps).toBeUndefined();
});

test("an empty prompt is not taken, because the form needs one", () => {
  const { fields, message } = take({ prompt: " \n", negativePrompt: "dog" });
  expect(fields).toEqual({ negative: "dog", images: "1", image: "", ...PLAIN, ...NOTHING_MORE });
  expect(message).toContain("Not taken: prompt (it is empty).");
});

test("a negative prompt is not taken by a model that does not use one", () => {
  const found = { prompt: "a", negativePrompt: "dog" };
  const { fields, message } = take(found, { takesNegativePrompt: false });
  expect(fields.negative).toBeUndefined();
  expect(message).toContain("Not taken: negative prompt (this model does not use it).");
});

test("a prompt without end is cut, between whole characters", () => {
  const { fields, message } = take({ prompt: `${"x".repeat(19_999)}😀${"y".repeat(1e6)}` });
  expect(fields.prompt).toBe("x".repeat(19_999));
  expect(message).toContain("Changed: prompt (cut after 20,000 characters).");
});

test("what is not taken is named, and much of it is counted", () => {
  const others = Array.from({ length: 9 }, (_, index) => [`Key ${index}`, "x\ny"] as const);
  const { message } = take({
    ...{
      guidanceScale: 99,
      eta: 0.5,
      sampler: "DDIM",
      prompt: "(cat:1.3) <lora:a:1>",
      model: "C:\\m\\dream.ckpt",
    },
    others: others.map(([key, value]) => [key, value]),
  });
  expect(message).toBe(
    "Settings taken from it.png: prompt, weights in brackets, scheduler. " +
      "Changed: guidance from 99 to 50 (the range is 0 to 50). " +
      "Not taken: <lora:a:1>; eta 0.5; Key 0 x y; Key 1 x y; Key 2 x y; Key 3 x y; and 5 more. " +
      "Its model was C:\\m\\dream.ckpt; this one is tiny-sd15.",
  );
});

test("weights are read where the program reads them", () => {
  const weighted = { prompt: "a (cat:1.3)", negativePrompt: "[dog] <lora:b:1>" };
  const { fields, message } = take(weighted);
  expect(fields).toMatchObject({ prompt: "a (cat:1.3)", negative: "[dog]", promptSyntax: "a1111" });
  expect(message).toContain("Not taken: <lora:b:1>.");
  // A picture of WSD says how its prompts were read, and other programs weigh in other ways.
  expect(take({ ...weighted, promptSyntax: "plain" }).fields).toMatchObject({
    ...{ negative: "[dog] <lora:b:1>", promptSyntax: "" },
  });
  const other = take({ ...weighted, program: "ComfyUI" });
  expect(other.fields.promptSyntax).toBe("");
  expect(other.message).toContain("Weights and file names in the prompt are read as words.");
  expect(take({ prompt: "a cat" }).fields.promptSyntax).toBe("");
  // A link is of a form.
  expect(take({ ...weighted, program: "link" }).fields.promptSyntax).toBe("");
  expect(take({ ...weighted, program: "link", promptSyntax: "a1111" }).fields.promptSyntax).toBe(
    "a1111",
  );
});

test("layers are left out as the program does", () => {
  const skipped = { prompt: "a cat", clipSkip: 1 };
  expect(take(skipped).fields.clipSkip).toBe("1");
  expect(take({ prompt: "a cat" }).fields.clipSkip).toBe("");
  const many = take({ ...skipped, clipSkip: 12 });
  expect(many.fields.clipSkip).toBe("11");
  expect(many.message).toContain("skipped text layers from 12 to 11 (the range is 0 to 11)");
  const none = take(skipped, { maxClipSkip: 0 });
  expect(none.message).toContain("skipped text layers 1 (this model does not use it)");
  // The web UI writes it for SDXL too, where it changes nothing there; diffusers skips layers.
  const two = { takesSecondPrompt: true };
  const ignored = take(skipped, two);
  expect(ignored.fields.clipSkip).toBe("");
  expect(ignored.message).toContain("other programs skip none of this kind of model");
  expect(take({ ...skipped, isOurs: true }, two).fields.clipSkip).toBe("1");
  expect(take({ ...skipped, program: "diffusers" }, two).fields.clipSkip).toBe("1");
});

test("where a program leaves out layers for the negative prompt too, so does the page", () => {
  // Weights in brackets are read so here, and a plain prompt as diffusers reads it.
  const found = { prompt: "a cat", negativePrompt: "a dog", clipSkip: 1 };
  for (const program of ["A1111", "SD.Next", "InvokeAI"]) {
    expect(take({ ...found, program }).fields).toMatchObject({
      ...{ clipSkip: "1", promptSyntax: "a1111" },
    });
  }
  const comfy = { ...found, program: "ComfyUI", clipSkip: undefined, clipStop: -2 };
  expect(take(comfy).fields).toMatchObject({ clipSkip: "1", promptSyntax: "a1111" });
  // Brackets that are text and skipped layers of the negative prompt do not go together here.
  const alone = "Here they are skipped for the prompt alone.";
  const bracketed = take({ ...comfy, prompt: "a (cat:1.3)" });
  expect(bracketed.fields).toMatchObject({ clipSkip: "1", promptSyntax: "" });
  expect(bracketed.message).toContain(alone);
  expect(take(comfy).message).not.toContain(alone);
  // These leave out none for the negative prompt, or none at all.
  for (const changes of [
    { program: "diffusers" },
    { program: "link" },
    { isOurs: true },
    { clipSkip: 0 },
    { promptSyntax: "plain" as const },
  ]) {
    const { fields, message } = take({ ...found, ...changes });
    expect(fields.promptSyntax).toBe("");
    expect(message).not.toContain(alone);
  }
  // Where the layers are not taken, nothing changes.
  expect(take(found, { maxClipSkip: 0 }).fields.promptSyntax).toBe("");
  expect(take(found, { takesSecondPrompt: true }).fields.promptSyntax).toBe("");
});

test.each([
  [-1, false, "", undefined],
  [-2, false, "1", undefined],
  // ComfyUI reads SDXL's encoders at -2 unless told otherwise.
  [-2, true, "", undefined],
  [-3, true, "1", undefined],
  [-1, true, "", "skipped text layers -1 (of this kind of model, the last layer is never read)"],
])("ComfyUI's stop at layer %d, SDXL: %s", (clipStop, takesSecondPrompt, layers, refused) => {
  const found = { program: "ComfyUI", prompt: "a cat", clipStop };
  const { fields, message } = take(found, { takesSecondPrompt });
  expect(fields.clipSkip).toBe(layers);
  expect(message.includes("skipped text layers")).toBe(layers !== "" || refused !== undefined);
  expect(message).toContain(refused ?? "");
});

test("a prompt that the web UI joins by AND is not drawn as words", () => {
  expect(take({ prompt: "a cat AND a dog" }).fields.promptSyntax).toBe("a1111");
  expect(take({ prompt: "a cat and a dog" }).fields.promptSyntax).toBe("");
});

test("what a link says of prompts is taken without a prompt, and nothing else is changed", () => {
  const taken = (text: string): ReturnType<typeof adopt>["fields"] =>
    take(parseLink(text)!, { takesSecondPrompt: true, takesThirdPrompt: true }).fields;
  const others = { images: "1", image: "", ...NOTHING_MORE };
  expect(taken("#clipSkip=1&steps=9")).toEqual({ clipSkip: "1", steps: "9", ...others });
  expect(taken("#promptSyntax=a1111")).toEqual({ promptSyntax: "a1111", ...others });
  expect(taken("#promptSyntax=plain&negative=b")).toEqual({
    ...{ promptSyntax: "", negative: "b", ...others },
  });
  expect(taken("#prompt2=b&negative2=c")).toEqual({ prompt2: "b", negative2: "c", ...others });
  expect(taken("#prompt3=b&negative3=c")).toEqual({ prompt3: "b", negative3: "c", ...others });
  expect(taken("#steps=9")).toEqual({ steps: "9", ...others });
});

test("embeddings that are not listed, or are off, are named", () => {
  const found = { prompt: "a cat", inversions: ["EasyNeg", "bad", "worse"] };
  const inversions = [
    { token: "easyneg", on: true },
    { token: "bad", on: false },
  ];
  expect(take(found, { inversions }).message).toContain(
    "Not taken: embedding bad (it is off in the list); embedding worse (not in the list: add its file).",
  );
  expect(take(found).message).toContain("embedding EasyNeg (not in the list");
});

test("a long prompt of the web UI is read as a whole", () => {
  const prompt = "cat ".repeat(80);
  expect(take({ prompt }).fields.promptSyntax).toBe("a1111");
  expect(take({ prompt: "cat ".repeat(18) }).fields.promptSyntax).toBe("");
  expect(take({ prompt, isOurs: true }).fields.promptSyntax).toBe("");
  expect(take({ prompt, program: "diffusers" }).fields.promptSyntax).toBe("");
});

test("second and third prompts are taken by models that have the text encoders", () => {
  const found = { prompt: "a", prompt2: "b\nc", negativePrompt2: "d", guidanceRescale: 0.7 };
  const two = take(found, { takesSecondPrompt: true });
  expect(two.fields).toMatchObject({ prompt2: "b c", negative2: "d" });
  expect(two.message).toContain("prompt, second prompt, second negative prompt");
  const third = { prompt3: "e\nf", negativePrompt3: "g" };
  const three = take({ ...found, ...third }, { takesSecondPrompt: true, takesThirdPrompt: true });
  expect(three.fields).toMatchObject({ prompt2: "b c", prompt3: "e f", negative3: "g" });
  expect(three.message).toContain(
    "third prompt, third negative prompt. Not taken: CFG rescale 0.7.",
  );
  expect(take({ ...found, ...third }, { takesSecondPrompt: true }).message).toContain(
    "third prompt (this model does not use it); third negative prompt (this model does not use it)",
  );
  const one = take({ ...found, conditions: { originalSize: [8, 9] } });
  expect(one.fields.prompt2).toBeUndefined();
  expect(one.message).toContain(
    "Not taken: second prompt (this model does not use it); second negative prompt " +
      "(this model does not use it); CFG rescale 0.7; originalSize 8,9.",
  );
});

test("an interval of guidance, which has no fields, is named", () => {
  const { message } = take({ guidanceStart: 0.2, guidanceStop: 0.8 });
  expect(message).toContain("Not taken: Guidance start 0.2; Guidance stop 0.8.");
  expect(take({ prompt: "a", guidanceStart: 0, guidanceStop: 1 }).message).not.toContain(
    "Guidance",
  );
});

test("a cache interval is taken where the model keeps deep features", () => {
  const cached = { prompt: "a cat", cacheInterval: 3 };
  expect(take(cached).fields.cacheInterval).toBe("3");
  expect(take(cached).message).toContain("cache interval");
  expect(take({ prompt: "a cat" }).fields.cacheInterval).toBe("");
  expect(take({ steps: 9 }).fields).not.toHaveProperty("cacheInterval");
  const many = take({ ...cached, cacheInterval: 1000 });
  expect(many.fields.cacheInterval).toBe("100");
  expect(many.message).toContain("cache interval from 1000 to 100 (the range is 1 to 100)");
  const none = take(cached, { hasDeepCache: false });
  expect(none.fields.cacheInterval).toBe("");
  expect(none.message).toContain("cache interval 3 (this model does not use it)");
  const found = parseLink("#prompt=a&cacheInterval=2")!;
  expect(take(found).fields.cacheInterval).toBe("2");
  expect(parseLink("#prompt=a&cacheInterval=0")!.others).toEqual([["cacheInterval", "0"]]);
});

test("a message is short, whatever the file says", () => {
  const long = "x".repeat(1_000_000);
  const { message } = take({ sampler: long, model: long, others: [[long, long]] });
  expect(message.length).toBeLessThan(500);
  expect(message).toMatch(/^No settings taken from it\.png\. Not taken: sampler x{40}…/);
});

test.each(["tiny-sd15", "shapes.safetensors", "models\\Shapes", "a/b/TINY-SD15.ckpt"])(
  "the model %s is this one",
  (model) => {
    expect(take({ model }).message).not.toContain("Its model");
  },
);

test("another program is named, and a line break becomes a space where there is one line", () => {
  const { fields, message } = take({ program: "ComfyUI", prompt: "a", negativePrompt: "b\r\nc" });
  expect(fields).toEqual({
    ...{ prompt: "a", negative: "b  c", images: "1", image: "", ...PLAIN },
    ...NOTHING_MORE,
  });
  expect(message).toBe("Settings taken from it.png, drawn with ComfyUI: prompt, negative prompt.");
  expect(take({ prompt: "a" }).fields).toEqual({
    ...{ prompt: "a", negative: "", images: "1", image: "", ...PLAIN },
    ...NOTHING_MORE,
  });
});
