/**
 * Writes and reads a picture's settings as text, in the form that AUTOMATIC1111's web UI made
 * common: the prompt, the negative prompt, then "Key: value" pairs.
 */

import type { SCHEDULERS } from "../util/constants.generated";
import type { Seed } from "./seed";
import { parseSeed } from "./seed";

/** The settings of one picture, as a saved PNG carries them. */
export interface Settings {
  prompt: string;
  /** Undefined if none was given; for SDXL that differs from the empty text. */
  negativePrompt: string | undefined;
  steps: number;
  scheduler: string;
  guidanceScale: number;
  seed: Seed;
  width: number;
  height: number;
  model: string;
  eta: number;
}

const NEGATIVE = "Negative prompt:";

/** Names of the schedulers, and what other programs call them. */
const SAMPLERS: Record<string, string> = {
  dpmpp_2m: "DPM++ 2M",
  dpmpp_2m_karras: "DPM++ 2M Karras",
  pndm: "PLMS",
  euler: "Euler",
  euler_a: "Euler a",
  ddim: "DDIM",
  lcm: "LCM",
} satisfies Partial<Record<(typeof SCHEDULERS)[number], string>>;

/** Write settings as text. */
export function formatSettings(settings: Settings): string {
  const { prompt, negativePrompt, steps, scheduler, guidanceScale, seed } = settings;
  const pairs = [
    `Steps: ${steps}`,
    `Sampler: ${SAMPLERS[scheduler] ?? scheduler}`,
    `CFG scale: ${guidanceScale}`,
    `Seed: ${seed.toString()}`,
    `Size: ${settings.width}x${settings.height}`,
    `Model: ${settings.model}`,
    // Other programs then draw the noise on the CPU, as diffusers does.
    "RNG: CPU",
    ...(settings.eta > 0 ? [`Eta DDIM: ${settings.eta}`] : []),
  ];
  const negative = negativePrompt === undefined ? [] : [`${NEGATIVE} ${negativePrompt}`];
  return [prompt, ...negative, pairs.join(", ")].join("\n");
}

/** Read settings from a text; those that are missing or malformed are left out. */
export function parseSettings(text: string): Partial<Settings> {
  const lines = text.split("\n");
  const last = lines.at(-1) ?? "";
  const hasPairs = /^Steps: \d/.test(last);
  const words = hasPairs ? lines.slice(0, -1) : lines;
  const negativeAt = words.findIndex((line) => line.startsWith(NEGATIVE));
  const prompt = negativeAt < 0 ? words : words.slice(0, negativeAt);
  const negative = negativeAt < 0 ? undefined : words.slice(negativeAt).join("\n");
  const settings: Partial<Settings> = {
    prompt: prompt.join("\n"),
    negativePrompt: negative?.slice(NEGATIVE.length).replace(/^ /, ""),
  };
  if (!hasPairs) return settings;
  const pairs = new Map([...last.matchAll(/([A-Z][\w ]*): ([^,]*)/g)].map((m) => [m[1], m[2]]));
  const number = (key: string): number | undefined => {
    const value = Number(pairs.get(key));
    return pairs.has(key) && Number.isFinite(value) ? value : undefined;
  };
  const size = /^(\d+)x(\d+)$/.exec(pairs.get("Size") ?? "");
  const sampler = pairs.get("Sampler");
  const known = Object.entries(SAMPLERS).find(([, title]) => title === sampler);
  const found = {
    steps: number("Steps"),
    guidanceScale: number("CFG scale"),
    seed: parseSeed(pairs.get("Seed") ?? ""),
    eta: number("Eta DDIM"),
    width: size === null ? undefined : Number(size[1]),
    height: size === null ? undefined : Number(size[2]),
    scheduler: known?.[0],
    model: pairs.get("Model"),
  };
  const present = Object.entries(found).filter(([, value]) => value !== undefined);
  return { ...settings, ...Object.fromEntries(present) };
}
