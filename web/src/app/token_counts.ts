/** Shows how many tokens the prompts have, what of them the model does not read, and what is wrong. */

import type { CountOptions, TokenCount } from "../index";
import { OptionError, readLoraTags } from "../index";
import { element } from "./dom";
import type { Field } from "./dropped_settings";
import { text } from "./strings";

/** What the page does for it. */
export interface Counting {
  /** Read the form. */
  read: () => Record<Field, string>;
  /** Count a prompt's tokens; undefined while no model is loaded. */
  count: (prompt: string, options: CountOptions) => Promise<TokenCount[]> | undefined;
}

/** Milliseconds from a change until tokens are counted, so that not every letter asks the worker. */
const DELAY = 250;
/** So many characters of a prompt are counted; what is longer is far beyond any model. */
const LONGEST = 20_000;

/**
 * Count tokens whenever the form has changed.
 *
 * @returns `count`, to be called at each change, when a model is loaded, and when another language is
 *   chosen.
 */
export function mountTokenCounts({ read, count }: Counting): { count: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts calls: what an older one finds is no longer true. */
  let turn = 0;

  const show = async (id: string, prompt: string, places: readonly number[], negative: boolean) => {
    const own = turn;
    const line = element(`${id}-tokens`);
    const promptSyntax = read().promptSyntax === "" ? "plain" : "a1111";
    const asked =
      prompt === "" ? undefined : count(prompt.slice(0, LONGEST), { promptSyntax, negative });
    let said = "";
    let wrong = false;
    try {
      const counts = await asked;
      if (counts !== undefined) {
        const readers = readersOf(counts, places);
        wrong = readers.every(isCut);
        // The empty prompt has the limit of every other one.
        const wider =
          wrong && promptSyntax === "plain"
            ? await count("", { promptSyntax: "a1111", negative })
            : undefined;
        said = describe(readers, readersOf(wider ?? counts, places));
      }
    } catch (error) {
      // A model that is unloaded meanwhile counts nothing more.
      if (!(error instanceof OptionError)) return;
      wrong = true;
      said = `${error.message}: ${error.hint}`;
    }
    if (own !== turn) return;
    line.textContent = said;
    line.hidden = said === "";
    line.classList.toggle("cut", wrong);
  };

  const now = (): void => {
    timer = undefined;
    turn += 1;
    const { prompt, negative, prompt2, negative2, prompt3, negative3 } = read();
    // Draw takes the tags of LoRAs out of the prompt.
    void show("prompt", readLoraTags(prompt).prompt, prompt3 === "" ? [0, 2] : [0], false);
    void show("negative", negative, negative3 === "" ? [0, 2] : [0], true);
    void show("prompt2", prompt2, [1], false);
    void show("negative2", negative2, [1], true);
    void show("prompt3", prompt3, [2], false);
    void show("negative3", negative3, [2], true);
  };
  return {
    count: () => {
      timer ??= setTimeout(now, DELAY);
    },
  };
}

/**
 * The counts of those text encoders that read a field's text.
 *
 * @param places of the encoders, from 0. A prompt of the third encoder's own replaces the prompt there.
 */
function readersOf(counts: readonly TokenCount[], places: readonly number[]): TokenCount[] {
  const readers = counts.filter((_, at) => places.includes(at));
  return readers.length > 0 ? readers : [...counts];
}

function isCut({ tokens, limit }: TokenCount): boolean {
  return tokens > limit;
}

/**
 * Say how many tokens a text has, and what of it no encoder reads.
 *
 * @param readers the encoders that read it.
 * @param wider the same with the syntax that takes longer prompts.
 */
function describe(readers: readonly TokenCount[], wider: readonly TokenCount[]): string {
  const most = (counts: readonly TokenCount[]): TokenCount =>
    counts.reduce((one, other) => (other.limit > one.limit ? other : one));
  // T5 reads more than CLIP.
  const { tokens, limit, cut } = most(readers);
  const [clip] = readers;
  const widest = most(wider).limit;
  return [
    tokens > limit ? text().prompts.cut(tokens, limit, cut) : text().prompts.tokens(tokens, limit),
    ...(clip!.limit < limit && isCut(clip!)
      ? [text().prompts.clip(clip!.limit, clip!.tokens)]
      : []),
    ...(tokens > limit && widest > limit ? [text().prompts.wider(widest)] : []),
  ].join(" · ");
}
