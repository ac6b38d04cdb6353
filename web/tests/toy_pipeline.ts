/** A pipeline that needs no GPU: it fills pictures with a colour that a file of its bundle holds. */

import type { WeightPatches } from "../src/adapters/patch";
import type { PromptEmbeddings } from "../src/api/options";
import type { OnStage } from "../src/api/progress";
import type { GenerationResult, SafetyReport, TokenCount, Usage } from "../src/api/types";
import type { Manifest } from "../src/bundle/manifest";
import type { ModelOptions, ModelSource } from "../src/gpu/model";
import type { Pipeline } from "../src/pipeline";
import type { GenerationRequest, RequestTexts } from "../src/pipeline/generation_request";
import type { Words } from "../src/pipeline/text_encoder";
import type { WsdError } from "../src/util/errors";
import { throwIfAborted, UnsupportedError } from "../src/util/errors";

const NOTHING: Usage = {
  gpuBytes: 0,
  peakGpuBytes: 0,
  gpuBuffers: 0,
  pipelines: 0,
  variants: {},
  callbacks: 0,
  wasmBytes: 0,
};

/** A request of one picture of two pixels. */
export function toyRequest(prompt: string, options: Partial<GenerationRequest> = {}) {
  const request: GenerationRequest = {
    prompts: [prompt],
    negativePrompts: undefined,
    embeddings: {},
    steps: 4,
    guidanceScale: 1,
    seed: 0,
    size: [2, 1],
    scheduler: "euler",
    eta: 0,
    imagesPerPrompt: 1,
    batch: 1,
    indices: [0],
    latents: undefined,
    previewEvery: 0,
    output: "imageData",
  };
  return { ...request, ...options };
}

/** What loading it took, in milliseconds. */
export const TOY_TIMES = {
  ...{ start: 1, weights: 2, pipelines: 3 },
  ...{ fetch: 4, read: 5, hash: 6, write: 7, upload: 8 },
};

export class ToyPipeline implements Pipeline {
  readonly adapter = { vendor: "none" };
  readonly loadTimes = TOY_TIMES;
  /** What the next call of generate throws. */
  nextError: Error | undefined;
  failure: WsdError | undefined;
  disposed = false;
  patches: WeightPatches = new Map();

  constructor(
    readonly manifest: Manifest,
    readonly options: ModelOptions,
    private readonly colour: Uint8Array,
  ) {}

  static async load({ manifest, files, options }: ModelSource): Promise<ToyPipeline> {
    const bytes = await files.get(manifest.library, () => undefined, options.signal);
    return new ToyPipeline(manifest, options, new Uint8Array(bytes));
  }

  generate(
    { prompts, size: [width, height], seed }: GenerationRequest,
    onStage: OnStage,
    signal: AbortSignal,
  ): Promise<GenerationResult<ImageData>> {
    const error = this.nextError;
    this.nextError = undefined;
    if (error !== undefined) return Promise.reject(error);
    throwIfAborted(signal);
    const pixels = Array.from({ length: width * height }, () => [...this.colour, 255]).flat();
    onStage({ stage: "decode", loaded: 1, total: 1, image: 0, images: 1 });
    const image = new ImageData(Uint8ClampedArray.from(pixels), width, height);
    const settings = {
      ...{ prompt: String(prompts), negativePrompt: undefined, steps: 1, scheduler: "none" },
      ...{ guidanceScale: 1, seed, width, height, model: this.manifest.model.name, eta: 0 },
    };
    return Promise.resolve({
      image,
      images: [image],
      latents: Float32Array.of(Number(seed)),
      timings: { text: 0, denoise: 0, firstPreview: null, decode: 0, total: 0 },
      settings,
      imageSettings: [settings],
    });
  }

  /** Embeds a prompt as its length. */
  encodePrompt({ prompts }: RequestTexts): Promise<PromptEmbeddings> {
    const lengths = (prompts ?? []).map(({ length }) => length);
    return Promise.resolve({ promptEmbeds: Float32Array.from(lengths) });
  }

  /** Counts characters, of which the last ones are cut. */
  countTokens({ text }: Words): TokenCount[] {
    return [{ encoder: "toy", tokens: text.length, limit: 8, cut: text.slice(8) }];
  }

  /** Encodes a picture as its first pixel. */
  encodeImage(pixels: Uint8ClampedArray): Promise<Float32Array> {
    return Promise.resolve(Float32Array.from(pixels.subarray(0, 4)));
  }

  /** Flags pictures whose first pixel is mostly red. */
  checkPictures(images: readonly ImageData[]): Promise<SafetyReport[]> {
    return Promise.resolve(
      images.map(({ data }) => {
        const flagged = data[0]! > 200;
        const concepts = flagged ? [0] : [];
        return { flagged, concepts, conceptScores: [flagged ? 0.1 : -0.1], specialScores: [] };
      }),
    );
  }

  /** Notes what would be patched; it has no weights. */
  patchWeights(patches: WeightPatches): Promise<void> {
    this.patches = patches;
    return Promise.resolve();
  }

  withStages<Result>(): Promise<Result> {
    return Promise.reject(new UnsupportedError("no compiled functions", "draw in place of that"));
  }

  usage(): Usage {
    return NOTHING;
  }

  dispose(): void {
    this.disposed = true;
  }
}
