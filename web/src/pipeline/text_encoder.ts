/** Encodes prompts for the denoiser with one or several text encoders, in the manifest's order. */

import type { EntryPoint } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import type { Tokenize } from "./clip_tokenizer";

/** The tokenizer of each text encoder. */
export type Tokenizers = Record<string, Tokenize>;

/** Runs a model's text encoders one after another. */
export class PromptEncoder {
  private readonly encoders: EntryPoint[];

  constructor(
    private readonly model: Model,
    private readonly tokenizers: Tokenizers,
  ) {
    const entries = model.entries("text_encoder");
    const { encoders } = model.manifest.conditioning;
    this.encoders = encoders.map((id) => entries.find(({ component }) => component === id)!);
  }

  /**
   * Encode a text; each encoder also gets what the encoders before it gave.
   *
   * @returns the last encoder's outputs, `text_embeddings` and, for SDXL, `pooled_text`; the
   *   caller disposes of them.
   */
  encode(text: string): NamedTensors {
    return this.model.kept(() => {
      let found: NamedTensors = {};
      for (const encoder of this.encoders) {
        found = this.model.call(encoder, { ...found, ...this.tokenize(encoder, text) });
      }
      return found;
    });
  }

  /** Return what stands for no negative prompt: zeros, or the encoding of the empty text. */
  encodeNothing(): NamedTensors {
    if (this.model.manifest.conditioning.empty_negative === "encode") return this.encode("");
    return this.model.kept(() =>
      Object.fromEntries(
        this.encoders.at(-1)!.outputs.map(({ name, shape }) => {
          const zeros = new Float32Array(valueCount(shape));
          return [name, this.model.runtime.tensor(zeros, shape)];
        }),
      ),
    );
  }

  private tokenize(encoder: EntryPoint, text: string): NamedTensors {
    const { ids, end } = this.tokenizers[encoder.component!]!(text);
    const shape = [1, ids.length];
    const endOfText = new Float32Array(ids.length);
    endOfText[end] = 1;
    return {
      input_ids: this.model.runtime.tensor(ids, shape),
      end_of_text: this.model.runtime.tensor(endOfText, shape),
    };
  }
}

/** List the tensors of encoded texts. */
export function tensorsOf(...texts: (NamedTensors | undefined)[]): Tensor[] {
  return texts.flatMap((text) => Object.values(text ?? {}));
}
