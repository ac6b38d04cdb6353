/** Encodes prompts for the denoiser with one or several text encoders, in the manifest's order. */

import { TABLE } from "../adapters/inversion_file";
import type { PromptEmbeddings, PromptSyntax } from "../api/options";
import type { TokenCount } from "../api/types";
import type { EntryPoint, Manifest } from "../bundle/manifest";
import { valueCount } from "../bundle/manifest";
import { withRows } from "../gpu/embedding_rows";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import type { TextTokenizer } from "./clip_tokenizer";
import type { Inversion } from "./inversion";
import { tokenizePrompt, weighStates } from "./prompt_tokens";
import type { PromptTokens } from "./prompt_tokens";

/** The tokenizer of each text encoder. */
export type Tokenizers = Record<string, TextTokenizer>;

/** A prompt as the text encoders take it. */
export interface Words {
  text: string;
  /** What the encoders after the first one read; the same unless given, or empty. */
  text2?: string | undefined;
  /** `plain` unless given. */
  syntax?: PromptSyntax | undefined;
  /** Words for which vectors stand. */
  inversions?: readonly Inversion[] | undefined;
}

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
   * Encode a prompt; each encoder also gets what the encoders before it gave. Where words have
   * weights, the embeddings are read back and weighed; the pooled text stays as it is, as in the web
   * UI.
   *
   * @returns the last encoder's outputs, `text_embeddings` and, for SDXL, `pooled_text`; the
   *   caller disposes of them.
   * @throws OptionError for a prompt that cannot be read in its syntax.
   */
  async encode(words: Words): Promise<NamedTensors> {
    const tokens = this.encoders.map((encoder, place) => this.tokenize(encoder, place, words));
    const found = this.model.kept(() => {
      let outputs: NamedTensors = {};
      for (const [place, encoder] of this.encoders.entries()) {
        const own = tokens[place]!;
        const inputs = { ...outputs, ...this.upload(own) };
        const { components, manifest, runtime } = this.model;
        const id = encoder.component!;
        outputs = withRows(
          runtime,
          manifest.components[id]!,
          components.parameters(id),
          TABLE,
          own.rows,
          () => this.model.call(encoder, inputs),
        );
      }
      return outputs;
    });
    if (tokens.every(({ weights }) => weights === undefined)) return found;
    try {
      return { ...found, text_embeddings: await this.weigh(found.text_embeddings!, tokens) };
    } catch (error) {
      found.pooled_text?.dispose();
      throw error;
    }
  }

  /**
   * Count a prompt's tokens.
   *
   * @throws OptionError for a prompt that cannot be read in its syntax.
   */
  count(words: Words): TokenCount[] {
    return this.encoders.map((encoder, place) => {
      const tokenizer = this.tokenizers[encoder.component!]!;
      const { count, cut } = this.tokenize(encoder, place, words);
      const limit = tokenizer.capacity;
      return { encoder: encoder.component!, tokens: count, limit, cut };
    });
  }

  /** Return what stands for no negative prompt: zeros, or the encoding of the empty text. */
  async encodeNothing(): Promise<NamedTensors> {
    if (this.model.manifest.conditioning.empty_negative === "encode") {
      return this.encode({ text: "" });
    }
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
   * Bring given embeddings of one prompt to the GPU, in place of {@link encode}.
   *
   * @param embeddings of all prompts, checked.
   * @param side whether those of the prompts or of the negative ones.
   * @param index the prompt's.
   */
  uploadEmbeddings(
    embeddings: PromptEmbeddings,
    side: "positive" | "negative",
    index: number,
  ): NamedTensors {
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

  private tokenize(encoder: EntryPoint, place: number, words: Words): PromptTokens {
    const { text, text2, syntax = "plain", inversions = [] } = words;
    // As in diffusers, an empty second prompt is none.
    const read = place > 0 && text2 ? text2 : text;
    const id = encoder.component!;
    const own = inversions.map(({ token, count, vectors }) => {
      return { token, count, vectors: vectors[id]! };
    });
    return tokenizePrompt(this.tokenizers[id]!, read, syntax, own);
  }

  /** Make an encoder's inputs. Call within a scope. */
  private upload({ ids, end }: PromptTokens): NamedTensors {
    const shape = [1, ids.length];
    const endOfText = new Float32Array(ids.length);
    endOfText[end] = 1;
    return {
      input_ids: this.model.runtime.tensor(ids, shape),
      end_of_text: this.model.runtime.tensor(endOfText, shape),
    };
  }

  /** Weigh the states of all encoders, each by its own tokens; disposes of the given ones. */
  private async weigh(states: Tensor, tokens: PromptTokens[]): Promise<Tensor> {
    const shape = [...states.shape];
    const values = await this.model.readAndDispose(states);
    let from = 0;
    for (const [place, { weights }] of tokens.entries()) {
      const outputs = this.encoders[place]!.outputs;
      // An encoder's states are joined to those before it.
      const to = outputs.find(({ name }) => name === "text_embeddings")!.shape.at(-1)!;
      if (weights !== undefined) weighStates(values, weights, { from, to });
      from = to;
    }
    return this.model.runtime.scope(() => this.model.runtime.tensor(values, shape));
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
