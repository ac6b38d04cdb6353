/** LoRAs of a loaded model: what `loadLora` takes, and what is known of those that are loaded. */

import type { OnProgress } from "./progress";

export type { AppliedLora } from "../settings/lora_tags";

/**
 * Where a LoRA comes from: the address of a .safetensors file, or of the adapter.json of a bundle
 * that `wsd lora` made, or the file itself.
 */
export type LoraSource = string | URL | Blob;

/** Options of `loadLora`. */
export interface LoraOptions {
  /**
   * Name by which `setAdapters` and `unloadLora` know it, and that pictures carry: letters, digits,
   * spaces and `. _ -`. That of the file, or of the adapter bundle, unless given.
   */
  name?: string | undefined;
  /** Factor on what it adds to the weights; 1 unless given. With 0 it is loaded and not applied. */
  scale?: number | undefined;
  /**
   * SHA-256 that its file must have, in lower-case hexadecimal. A file from an address is kept in the
   * browser under its digest, and is not fetched again where this is given. An adapter.json states it for
   * its file.
   */
  sha256?: string | undefined;
  /** Called with the progress of the call; what it throws is reported as an error of the page. */
  onProgress?: OnProgress | undefined;
  /** Cancels this call. The LoRAs are then as they were. */
  signal?: AbortSignal | undefined;
}

/** Options of `generate` that suit a LoRA which was distilled for few steps. */
export interface SuggestedSettings {
  /** What it is: `lcm-lora` for example, a name of `wsd build --fine-tune`. */
  fastVariant: string;
  /** The scheduler that suits it, or the nearest that the model's bundle has. */
  scheduler: string;
  /** The scheduler that suits it, if the bundle lacks that; pictures are worse then. */
  missingScheduler?: string;
  numInferenceSteps: number;
  /** Up to 1 means none. */
  guidanceScale: number;
  eta: number;
}

/** A LoRA that is loaded. */
export interface LoadedLora {
  name: string;
  /** Factor on what it adds to the weights; with 0 it is not applied. */
  scale: number;
  /** How many layers of the model it changes. */
  layers: number;
  /** Size of its file in bytes. */
  bytes: number;
  /** SHA-256 of its file, in lower-case hexadecimal. */
  sha256: string;
  /**
   * The first 12 hexadecimal digits of the SHA-256 of its tensors, by which AUTOMATIC1111's web UI
   * knows it: pictures carry it as `Lora hashes`.
   */
  hash: string;
  /**
   * Names of its tensors that change nothing, because they belong to layers that the model does not run:
   * the last one of SDXL's first text encoder, and the norm behind it.
   */
  unused: string[];
  /** Words that its training used in prompts, as its metadata or its bundle states them; 20 at most. */
  triggerWords: string[];
  /**
   * What suits it if it is an LCM, TCD, Turbo, Lightning, Hyper or DMD2 LoRA; absent for others. Nothing
   * is set by itself: give it to `generate`.
   */
  suggested?: SuggestedSettings;
}
