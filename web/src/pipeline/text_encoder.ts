/** Encodes prompts for the denoiser with one or several text encoders, in the manifest's order. */

import { TABLE } from "../adapters/inversion_file";
import type { GivenEmbeddings, PromptSyntax } from "../api/options";
import type { TokenCount } from "../api/types";
import type { EntryPoint, Manifest, Role, TensorSpec } from "../bundle/manifest";
import { promptChunks, valueCount } from "../bundle/manifest";
import { withRows } from "../gpu/embedding_rows";
import type { Model, NamedTensors } from "../gpu/model";
import type { Tensor } from "../gpu/tvm/runtime";
import { TEXT_STATES } from "../util/constants.generated";
import type { TextTokenizer } from "./clip_tokenizer";
import type { Inversion } from "./inversion";
import { emptyChunk, tokenizePrompt, weighStates } from "./prompt_tokens";
import type { Chunk, PromptTokens } from "./prompt_tokens";

/** The tokenizer of each text encoder. */
export type Tokenizers = Record<string, TextTokenizer>;

/** A prompt as the text encoders take it. */
export interface Words {
  text: string;
  /** What the second encoder reads; the same unless given, or empty. */
  text2?: string | undefined;
  /** What the third encoder reads; the first one's text unless given, or empty. */
  text3?: string | undefined;
  /** `plain` unless given. */
  syntax?: PromptSyntax | undefined;
  /** Words for which vectors stand. */
  inversions?: readonly Inversion[] | undefined;
  /** How many of the encoders' last layers are left out; 0 unless given. */
  clipSkip?: number | undefined;
}

/** Runs a model's text encoders one after another. */
export class PromptEncoder {
  private readonly encoders: EntryPoint[];
  /** The encoders that give the states of their layers; none in bundles of older versions. */
  private readonly layered: EntryPoint[];
  /** The most chunks that a prompt may have. */
  private readonly mostChunks: number;

  constructor(
    private readonly model: Model,
    private readonly tokenizers: Tokenizers,
  ) {
    const { encoders } = model.manifest.conditioning;
    const find = (role: Role): EntryPoint[] => {
      const entries = model.entries(role);
      return encoders.flatMap((id) => entries.find(({ component }) => component === id) ?? []);
    };
    this.encoders = find("text_encoder");
    this.layered = find("layered_text_encoder");
    this.mostChunks = promptChunks(model.manifest);
  }

  /** The functions that encode prompts. */
  functions(clipSkip = 0): EntryPoint[] {
    return clipSkip > 0 ? this.layered : this.encoders;
  }

  /**
   * Count the chunks of a prompt: texts as long as the text encoders take.
   *
   * @throws OptionError for a prompt that cannot be read in its syntax.
   */
  countChunks(words: Words): number {
    return Math.max(...this.tokenizeAll(words).map(({ chunks }) => chunks.length));
  }

  /**
   * Encode a prompt; each encoder also gets what those before it gave, the last of each name. Where
   * words have weights, or there are several chunks, the embeddings are read back, weighed and joined,
   * each chunk by itself; the pooled text stays that of the first chunk, as in the web UI.
   *
   * @param least so many chunks at least; chunks of the empty text are added to fewer.
   * @returns what the encoders gave, the last of each name: `text_embeddings` and, but for SD 1.5,
   *   `pooled_text`; the caller disposes of them.
   * @throws OptionError for a prompt that cannot be read in its syntax.
   */
  async encode(words: Words, least = 1): Promise<NamedTensors> {
    const tokens = this.tokenizeAll(words);
    const count = Math.max(least, ...tokens.map(({ chunks }) => chunks.length));
    // What each encoder reads of each chunk.
    const chunks = Array.from({ length: count }, (_, index) =>
      tokens.map(
        (own, place) => own.chunks[index] ?? emptyChunk(this.tokenizers[this.idOf(place)]!),
      ),
    );
    const { clipSkip } = words;
    if (count === 1 && chunks[0]!.every(({ weights }) => weights === undefined)) {
      return this.encodeChunk(chunks[0]!, clipSkip);
    }
    const parts: Float32Array[] = [];
    let pooled: NamedTensors = {};
    let shape: number[] = [];
    try {
      for (const [index, chunk] of chunks.entries()) {
        const { text_embeddings: states, ...others } = this.encodeChunk(chunk, clipSkip);
        if (index === 0) pooled = others;
        else for (const other of Object.values(others)) other.dispose();
        shape = [...states!.shape];
        parts.push(this.weigh(await this.model.readAndDispose(states!), chunk));
      }
    } catch (error) {
      for (const tensor of Object.values(pooled)) tensor.dispose();
      throw error;
    }
    shape[1]! *= count;
    const joined = joinFloats(parts);
    const { runtime } = this.model;
    return {
      ...pooled,
      text_embeddings: runtime.scope(() => runtime.tensor(joined, shape)),
    };
  }

  /**
   * Count a prompt's tokens.
   *
   * @throws OptionError for a prompt that cannot be read in its syntax.
   */
  count(words: Words): TokenCount[] {
    const most = words.syntax === "a1111" ? this.mostChunks : 1;
    return this.tokenizeAll(words).map(({ count, cut }, place) => {
      const encoder = this.idOf(place);
      return {
        encoder,
        tokens: count,
        limit: most * this.tokenizers[encoder]!.capacity,
        cut,
      };
    });
  }

  /**
   * Return what stands for no negative prompt: zeros, or the encoding of the empty text.
   *
   * @param chunks of the prompt beside it.
   */
  async encodeNothing(chunks = 1, clipSkip?: number): Promise<NamedTensors> {
    if (this.model.manifest.conditioning.empty_negative === "encode") {
      return this.encode({ text: "", clipSkip }, chunks);
    }
    return this.model.kept(() =>
      Object.fromEntries(
        embeddingSpecs(this.model.manifest, chunks).map(({ name, shape }) => {
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
   * @param chunks that each prompt's embeddings are of.
   */
  uploadEmbeddings(
    embeddings: GivenEmbeddings,
    side: "positive" | "negative",
    index: number,
    chunks = 1,
  ): NamedTensors {
    return this.model.kept(() =>
      Object.fromEntries(
        embeddingSpecs(this.model.manifest, chunks).map(({ name, shape, [side]: option }) => {
          const count = valueCount(shape);
          const values = embeddings[option]!.slice(index * count, (index + 1) * count);
          return [name, this.model.runtime.tensor(values, shape)];
        }),
      ),
    );
  }

  /** Tokenize a prompt for each encoder. */
  private tokenizeAll(words: Words): PromptTokens[] {
    const { text, text2, text3, syntax = "plain", inversions = [] } = words;
    return this.encoders.map((_, place) => {
      // As in diffusers, an empty second or third prompt is none.
      const further = [text, text2, text3][place];
      const read = further === undefined || further === "" ? text : further;
      const id = this.idOf(place);
      // T5 has no vectors: it reads the word.
      const own = inversions.flatMap(({ token, count, vectors: { [id]: vectors } }) =>
        vectors === undefined ? [] : [{ token, count, vectors }],
      );
      return tokenizePrompt(this.tokenizers[id]!, read, syntax, own, this.mostChunks);
    });
  }

  /** Id of the component of an encoder. */
  private idOf(place: number): string {
    return this.encoders[place]!.component!;
  }

  /**
   * Encode one chunk.
   *
   * @param chunk what each encoder reads.
   */
  private encodeChunk(chunk: readonly Chunk[], clipSkip = 0): NamedTensors {
    return this.model.kept(() => {
      let outputs: NamedTensors = {};
      for (const [place, encoder] of this.functions(clipSkip).entries()) {
        const own = chunk[place]!;
        const inputs = { ...outputs, ...this.upload(own) };
        const { components, manifest, runtime } = this.model;
        const id = encoder.component!;
        const made = withRows(
          runtime,
          manifest.components[id]!,
          components.parameters(id),
          TABLE,
          own.rows,
          () => this.model.call(encoder, inputs),
        );
        outputs = { ...outputs, ...(clipSkip > 0 ? chooseStates(made, clipSkip) : made) };
      }
      return outputs;
    });
  }

  /** Make an encoder's inputs. Call within a scope. */
  private upload({ ids, end }: Chunk): NamedTensors {
    const shape = [1, ids.length];
    const endOfText = new Float32Array(ids.length);
    endOfText[end] = 1;
    return {
      input_ids: this.model.runtime.tensor(ids, shape),
      end_of_text: this.model.runtime.tensor(endOfText, shape),
    };
  }

  /** Weigh the states of all encoders, each by its own tokens; changes the values. */
  private weigh(values: Float32Array, chunk: readonly Chunk[]): Float32Array {
    const shapes = this.encoders.map(({ outputs }) => statesOf(outputs)!.shape);
    const [, rows, width] = shapes.at(-1)!;
    for (const [place, { weights }] of chunk.entries()) {
      if (weights === undefined) continue;
      const before = statesOf(this.encoders[place]!.inputs)?.shape;
      // An encoder puts its states beside those before it, or where room was left behind them.
      const isBehind = String(before) === String(shapes[place]);
      weighStates(values, weights, {
        width: width!,
        row: isBehind ? rows! - weights.length : 0,
        from: isBehind ? 0 : (before?.at(-1) ?? 0),
        to: shapes[place]!.at(-1)!,
      });
    }
    return values;
  }
}

/** Find the states among the tensors that an encoder takes or gives. */
function statesOf(specs: readonly TensorSpec[]): TensorSpec | undefined {
  return specs.find(({ name }) => name === TEXT_STATES);
}

/** Take the states of one layer out of all. */
function chooseStates(outputs: NamedTensors, clipSkip: number): NamedTensors {
  const others = Object.entries(outputs).filter(([name]) => !name.startsWith(TEXT_STATES));
  const states = outputs[`${TEXT_STATES}_${clipSkip}`]!;
  return {
    ...Object.fromEntries(others),
    [TEXT_STATES]: states,
  };
}

/** Lay arrays end to end. */
export function joinFloats(arrays: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let offset = 0;
  for (const array of arrays) {
    joined.set(array, offset);
    offset += array.length;
  }
  return joined;
}

/** List the tensors of encoded texts, each once. */
export function tensorsOf(texts: Iterable<NamedTensors | undefined>): Tensor[] {
  return [...new Set([...texts].flatMap((text) => Object.values(text ?? {})))];
}

/** What the text encoders give in the end, and what the options call it. */
export interface EmbeddingSpec {
  /** The compiled functions' name. */
  name: string;
  positive: keyof GivenEmbeddings;
  negative: keyof GivenEmbeddings;
  /** Lengths of the axes for one prompt; the first is 1. */
  shape: number[];
}

const OPTION_NAMES = {
  [TEXT_STATES]: { positive: "promptEmbeds", negative: "negativePromptEmbeds" },
  pooled_text: { positive: "pooledPromptEmbeds", negative: "negativePooledPromptEmbeds" },
} as const;

/**
 * Return what a model's text encoders make of a prompt: one tensor, and two but for SD 1.5.
 *
 * @param chunks of the prompt.
 */
export function embeddingSpecs(manifest: Manifest, chunks = 1): EmbeddingSpec[] {
  const outputs = manifest.conditioning.encoders.flatMap((id) => {
    const encoder = manifest.entry_points.find(
      ({ role, component }) => role === "text_encoder" && component === id,
    );
    return encoder?.outputs ?? [];
  });
  // What a later encoder gives takes the place of what one before it gave by the same name.
  const last = new Map(outputs.map((output) => [output.name, output]));
  return [...last.values()].map(({ name, shape: [first, second, ...others] }) => {
    const rows = name === TEXT_STATES ? chunks * second! : second!;
    return {
      name,
      shape: [first!, rows, ...others],
      ...OPTION_NAMES[name as keyof typeof OPTION_NAMES],
    };
  });
}
