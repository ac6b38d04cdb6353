/** Encodes prompts for the denoiser with one or several text encoders, in the manifest's order. */

import type { PromptEmbeddings } from "../api/options";
import type { EntryPoint, Manifest } from "../bundle/manifest";
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

  /**
   * Bring the given embeddings of one prompt to the GPU, in place of {@link encode}.
   *
   * @param embeddings of all prompts, checked.
   * @param side whether those of the prompts or of the negative ones.
   * @param index the prompt's.
   */
  upload(embeddings: PromptEmbeddings, side: "positive" | "negative", index: number): NamedTensors {
    return this.model.kept(() =>
      Object.fromEntries(
        embeddingSpecs(this.model.manifest).map(({ name, shape, [side]: option }) => {
          const count = valueCount(shape);
          const values = embeddings[option]!.slice(index * count, (index + 1) * count);
          return [name, this.model.runtime.tensor(values, shape)];
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

/** List the tensors of encoded texts, each once. */
export function tensorsOf(texts: Iterable<NamedTensors | undefined>): Tensor[] {
  return [...new Set([...texts].flatMap((text) => Object.values(text ?? {})))];
}

/** An output of the last text encoder, and what the options call it. */
export interface EmbeddingSpec {
  /** The compiled functions' name. */
  name: string;
  positive: keyof PromptEmbeddings;
  negative: keyof PromptEmbeddings;
  /** Lengths of the axes for one prompt; the first is 1. */
  shape: number[];
}

const OPTION_NAMES = {
  text_embeddings: { positive: "promptEmbeds", negative: "negativePromptEmbeds" },
  pooled_text: { positive: "pooledPromptEmbeds", negative: "negativePooledPromptEmbeds" },
} as const;

/** Return what a model's text encoders make of a prompt: one tensor, and with SDXL two. */
export function embeddingSpecs(manifest: Manifest): EmbeddingSpec[] {
  const last = manifest.conditioning.encoders.at(-1);
  const encoder = manifest.entry_points.find(
    ({ role, component }) => role === "text_encoder" && component === last,
  );
  return (encoder?.outputs ?? []).map(({ name, shape }) => {
    return { name, shape, ...OPTION_NAMES[name as keyof typeof OPTION_NAMES] };
  });
}
