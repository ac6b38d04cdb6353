/** Shows how many tokens the prompts have, what of them the model does not read, and what is wrong. */

import type { CountOptions, TokenCount } from "../index";
import { OptionError } from "../index";
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
      const found = counts?.[place] ?? counts?.[0];
      if (found !== undefined) {
        const { tokens, limit, cut } = found;
        wrong = tokens > limit;
        said = wrong
          ? text().prompts.cut(tokens, limit, cut)
          : text().prompts.tokens(tokens, limit);
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
    void show("prompt", prompt, 0, false);
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
