/**
 * One LoRA or textual inversion in the list: its switch, its strength, what its file says, and the button
 * to remove it.
 */

import { make, makeButton } from "../gallery/elements";
import type { Sentence } from "../strings";
import { inWords, text } from "../strings";
import { MOST_SCALE } from "./kept_loras";
import type { KeptLora } from "./kept_loras";

/** What the list does with it. */
export interface ItemHost {
  /** The visitor has switched it, or has moved its slider or finished doing so. */
  changed: (finished: boolean) => void;
  remove: () => void;
  /** Put one of its words into the prompt. */
  addWord: (word: string) => void;
  /** Say what the form is set to for it; undefined if nothing. */
  describeFast: () => Sentence | undefined;
}

/** The slider's ends and steps; the number beside it takes more. */
const SLIDER = { min: "-2", max: "2", step: "0.05" };
/** So many words, and characters of each, are shown. */
const MOST_WORDS = 12;
const LONGEST_WORD = 60;

let made = 0;

export class LoraItem {
  readonly element = make("li", { class: "lora" });
  /** Why it could not be loaded, and why it is not kept; undefined if all is well. */
  fault: Sentence | undefined;
  unkept: Sentence | undefined;
  private readonly facts = make("small", { id: `lora-facts-${++made}` });
  private readonly fast = make("p", { class: "hint", hidden: true });
  private readonly warning = make("p", { class: "warning", hidden: true });
  private readonly words = make("div", { class: "words", role: "group" });
  private readonly box = make("input", {
    type: "checkbox",
    "aria-describedby": this.facts.id,
  });
  private readonly slider = make("input", { type: "range", ...SLIDER });
  private readonly number = make("input", {
    ...{
      type: "number",
      min: String(-MOST_SCALE),
      max: String(MOST_SCALE),
      step: "any",
    },
    ...{ required: true, form: "form" },
  });
  private readonly removal: HTMLButtonElement;

  constructor(
    readonly lora: KeptLora,
    private readonly host: ItemHost,
  ) {
    this.removal = makeButton("×", host.remove, { class: "remove" });
    const label = make(
      "label",
      { class: "check" },
      this.box,
      make("span", { dir: "auto" }, lora.name),
    );
    this.element.append(
      make("div", { class: "lora-head" }, label, this.removal),
      // A textual inversion has no strength of its own: its word may have a weight.
      ...(lora.token === ""
        ? [make("div", { class: "lora-scale" }, this.slider, this.number)]
        : []),
      this.facts,
      this.fast,
      this.words,
      this.warning,
    );
    this.box.onchange = () => {
      lora.on = this.box.checked;
      this.fault = undefined;
      this.changed(true);
    };
    for (const input of [this.slider, this.number]) {
      const take = (finished: boolean): void => {
        // A number that is being typed, or is out of range, is none yet.
        if (input === this.number && !input.validity.valid) return;
        lora.scale = input.valueAsNumber;
        const other = input === this.slider ? this.number : this.slider;
        other.value = String(lora.scale);
        host.changed(finished);
      };
      input.oninput = () => take(false);
      input.onchange = () => take(true);
    }
    this.write();
  }

  focus(): void {
    this.box.focus();
  }

  /** Show the LoRA as it is now, in the language of the page. */
  write(): void {
    const { lora } = this;
    const strings = text().loras;
    this.box.checked = lora.on;
    this.slider.value = this.number.value = String(lora.scale);
    this.slider.setAttribute("aria-label", strings.strength(lora.name));
    this.number.setAttribute("aria-label", strings.strengthNumber(lora.name));
    this.removal.setAttribute("aria-label", strings.remove(lora.name));
    this.removal.title = strings.remove(lora.name);
    this.facts.textContent = [
      lora.token === "" ? strings.facts(lora.layers, lora.bytes) : strings.inversion(lora.vectors),
      ...(lora.unused === 0 ? [] : [strings.unused(lora.unused)]),
    ].join(". ");
    const fast = lora.on ? this.host.describeFast() : undefined;
    this.fast.hidden = fast === undefined;
    this.fast.textContent = fast === undefined ? "" : inWords(fast);
    const warnings = [this.fault, this.unkept].filter((each) => each !== undefined);
    this.warning.hidden = warnings.length === 0;
    this.warning.textContent = warnings.map(inWords).join(" ");
    const words = lora.triggerWords.slice(0, MOST_WORDS);
    this.words.hidden = words.length === 0;
    this.words.setAttribute("aria-label", strings.wordsOf(lora.name));
    this.words.replaceChildren(
      make("small", {}, strings.words),
      ...words.map((word) => {
        const shown = word.length > LONGEST_WORD ? `${word.slice(0, LONGEST_WORD)}…` : word;
        const title = strings.addWord(shown);
        // Texts of training are English, or tags that look like it.
        return makeButton(shown, () => this.host.addWord(word), {
          title,
          dir: "auto",
        });
      }),
    );
  }

  private changed(finished: boolean): void {
    this.write();
    this.host.changed(finished);
  }
}
