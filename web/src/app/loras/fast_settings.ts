/** Sets the form as a LoRA of few steps needs it, and puts the former values back afterwards. */

import type { Manifest, SuggestedSettings } from "../../index";
import { suggestSettings } from "../../index";
import type { Sentence } from "../strings";
import { text } from "../strings";
import type { KeptLora } from "./kept_loras";

/** The fields of the form that it sets, as texts. */
export type FastFields = Record<"scheduler" | "steps" | "guidance", string>;

const FIELDS = ["scheduler", "steps", "guidance"] as const;

/** Read and write those fields of the form. */
export interface FastForm {
  readSettings: () => FastFields;
  writeSettings: (fields: Partial<FastFields>) => void;
}

/** The LoRA that the form is set for, and what the form had before. */
interface Turn {
  lora: KeptLora;
  before: FastFields;
}

/** Follows which LoRAs are on. */
export class FastSettings {
  private manifest: Manifest | undefined;
  private turn: Turn | undefined;

  constructor(private readonly form: FastForm) {}

  /** Take up another model, whose own settings the form has now. */
  offerModel(manifest: Manifest): void {
    this.manifest = manifest;
    this.turn = undefined;
  }

  /**
   * Set the form for the LoRA of few steps that was turned on last, unless it is set for it already;
   * without one, put back what the form had, except where somebody has changed it since.
   *
   * @param on the LoRAs that are on, the one that was turned on last at the end.
   * @returns what is to be said; undefined if nothing was set.
   */
  follow(on: readonly KeptLora[]): Sentence | undefined {
    const { turn } = this;
    const lora = this.lastFast(on);
    if (lora === turn?.lora) return undefined;
    if (turn !== undefined) this.putBack(turn);
    this.turn = lora && { lora, before: this.form.readSettings() };
    if (lora === undefined) return () => text().loras.slow;
    this.form.writeSettings(fieldsOf(this.suggestion(lora)!));
    return this.describe(lora);
  }

  /**
   * Take the form as it is, which was set together with the LoRAs that are on: by a picture's settings,
   * or on an earlier visit. The model's own values come back when the LoRA is turned off.
   */
  accept(on: readonly KeptLora[]): void {
    const { defaults, schedulers } = this.manifest ?? {};
    const lora = this.lastFast(on);
    if (lora === this.turn?.lora) return;
    this.turn = lora && {
      lora,
      before: {
        scheduler: schedulers!.default,
        steps: String(defaults!.steps),
        guidance: String(defaults!.guidance_scale),
      },
    };
  }

  /** Say what suits a LoRA of few steps, and what the model's bundle lacks for it. */
  describe(lora: KeptLora): Sentence | undefined {
    const suggested = this.suggestion(lora);
    if (suggested === undefined) return undefined;
    const { scheduler, missingScheduler: missing, numInferenceSteps, guidanceScale } = suggested;
    const title = this.manifest!.schedulers.available[scheduler]?.title ?? scheduler;
    return () => {
      const { fast, fastMissing } = text().loras;
      const sentence = fast(lora.name, title, numInferenceSteps, guidanceScale);
      return missing === undefined ? sentence : `${sentence} ${fastMissing(missing, title)}`;
    };
  }

  /** The share of noise that the LoRA needs with a scheduler; undefined for the model's own. */
  eta(scheduler: string): number | undefined {
    const suggested = this.turn && this.suggestion(this.turn.lora);
    return suggested?.scheduler === scheduler && suggested.eta > 0 ? suggested.eta : undefined;
  }

  private suggestion({ fastVariant }: KeptLora): SuggestedSettings | undefined {
    return this.manifest && suggestSettings(fastVariant, this.manifest);
  }

  private lastFast(on: readonly KeptLora[]): KeptLora | undefined {
    return on.filter((lora) => lora.scale !== 0 && this.suggestion(lora) !== undefined).at(-1);
  }

  private putBack({ lora, before }: Turn): void {
    const now = this.form.readSettings();
    const set = fieldsOf(this.suggestion(lora)!);
    const own = FIELDS.filter((field) => now[field] === set[field]);
    this.form.writeSettings(Object.fromEntries(own.map((field) => [field, before[field]])));
  }
}

function fieldsOf({ scheduler, numInferenceSteps, guidanceScale }: SuggestedSettings): FastFields {
  return { scheduler, steps: String(numInferenceSteps), guidance: String(guidanceScale) };
}
