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

  const show = async (id: string, prompt: string, place: number, negative: boolean) => {
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
        const readers = readersOf(counts, place);
        wrong = readers.every(isCut);
        // The empty prompt has the limit of every other one.
        const wider =
          wrong && promptSyntax === "plain"
            ? await count("", { promptSyntax: "a1111", negative })
            : undefined;
        said = describe(readers, readersOf(wider ?? counts, place));
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
    const { prompt, negative, prompt2, negative2 } = read();
    // Draw takes the tags of LoRAs out of the prompt.
    void show("prompt", readLoraTags(prompt).prompt, 0, false);
    void show("negative", negative, 0, true);
    void show("prompt2", prompt2, 1, false);
    void show("negative2", negative2, 1, true);
  };
  return {
    count: () => {
      timer ??= setTimeout(now, DELAY);
    },
  };
}

/**
 * Those text encoders that read a field's text: the second one reads the second prompt, and all others the
 * prompt.
 *
 * @param place 0 for the prompt, 1 for the second prompt.
 */
function readersOf(counts: readonly TokenCount[], place: number): TokenCount[] {
  const second = counts.slice(1, 2);
  return place === 1 && second.length > 0 ? second : counts.filter((_, at) => at !== 1);
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
