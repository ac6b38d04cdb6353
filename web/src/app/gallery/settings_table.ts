/** What a picture was drawn with, in words: its name for whoever does not see it, and a table. */

import type { Settings } from "../../index";
import { parseSettings } from "../../index";
import { write } from "../strings";
import { galleryText } from "../strings/gallery";
import { make } from "./elements";
import type { Picture } from "./picture";

type SecondPassSettings = NonNullable<Settings["secondPass"]>;

/** Characters of a prompt that name its picture. */
const LONGEST_NAME = 500;

/** The prompt of a picture, for whoever does not see it. */
export function promptOf({ text }: Picture): string {
  const { prompt = "" } = parseSettings(text);
  return prompt.trim() === "" ? galleryText().unnamed : prompt.slice(0, LONGEST_NAME);
}

/** Write a second pass: the size that it enlarged to, and how much it drew anew. */
function describeSecondPass({ width, height, strength }: SecondPassSettings): string {
  return `${width} × ${height} (${write().percent(strength)})`;
}

/** Make a table of the settings of one picture or two; what differs is marked. */
export function settingsTable(texts: readonly string[]): HTMLElement {
  const strings = galleryText();
  const columns = texts.map((text) => {
    const { width, height, numImages = 1, imageIndex = 0, ...settings } = parseSettings(text);
    return {
      prompt: settings.prompt,
      negative: settings.negativePrompt,
      prompt2: settings.prompt2,
      negative2: settings.negativePrompt2,
      prompt3: settings.prompt3,
      negative3: settings.negativePrompt3,
      promptSyntax: settings.promptSyntax === "a1111" ? settings.promptSyntax : undefined,
      clipSkip: settings.clipSkip?.toString(),
      seed: settings.seed?.toString(),
      steps: settings.steps?.toString(),
      guidance: settings.guidanceScale?.toString(),
      cacheInterval: settings.cacheInterval?.toString(),
      scheduler: settings.scheduler,
      size: width === undefined || height === undefined ? undefined : `${width} × ${height}`,
      strength: settings.strength?.toString(),
      secondPass: settings.secondPass && describeSecondPass(settings.secondPass),
      variationSeed:
        settings.variationSeed === undefined
          ? undefined
          : `${settings.variationSeed.toString()} (${write().percent(settings.variationStrength ?? 0)})`,
      loras: settings.loras?.map(({ name, scale }) => `${name} ${scale}`).join(", "),
      image: numImages === 1 ? undefined : strings.numberOf(imageIndex + 1, numImages),
      model: settings.model,
    };
  });
  const names = { ...strings.fields, model: strings.model };
  const body = make("tbody");
  for (const name of [
    "prompt",
    "negative",
    "prompt2",
    "negative2",
    "prompt3",
    "negative3",
    "promptSyntax",
    "clipSkip",
    "seed",
    "steps",
    "guidance",
    "cacheInterval",
    "scheduler",
    "size",
    "strength",
    "secondPass",
    "variationSeed",
    "loras",
    "image",
    "model",
  ] as const) {
    const values = columns.map((column) => column[name] ?? "");
    if (values.every((value) => value === "")) continue;
    const differs = new Set(values).size > 1;
    const heading = make("th", { scope: "row" }, names[name]);
    // Not by colour alone.
    if (differs) heading.append(" ", make("small", {}, strings.different));
    const cells = values.map((value) => make("td", { dir: "auto" }, value));
    body.append(make("tr", differs ? { class: "differs" } : {}, heading, ...cells));
  }
  return make("table", {}, body);
}
