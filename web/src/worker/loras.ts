/** The LoRAs that are loaded for a model, in the order in which they are applied. */

import { suggestSettings } from "../adapters/fast_variants";
import { readLoraFile } from "../adapters/lora_file";
import { collectPatches } from "../adapters/patch";
import type { Layer, WeightPatches } from "../adapters/patch";
import type { LoadedLora } from "../api/lora";
import type { Manifest } from "../bundle/manifest";
import type { AppliedLora } from "../settings/lora_tags";
import { isLoraName, noSuchLora } from "../settings/lora_tags";
import { LoraError } from "../util/errors";
import type { LoraData } from "./lora_source";

/** So many characters of a file's name are its LoRA's; a number may follow. */
const LONGEST_NAME = 90;

/** A LoRA and the changes that it makes. */
interface Lora {
  info: LoadedLora;
  layers: readonly Layer[];
}

/**
 * Check a scale before it is taken: with `offload`, weights are changed only when they are needed.
 *
 * @throws LoraError if it makes a factor beyond float32.
 */
function checkScale(layers: readonly Layer[], scale: number): void {
  if (scale !== 0) for (const { patch } of layers) patch.check(scale);
}

/** A list of LoRAs; it is not changed: each call gives another one. */
export class Loras {
  private constructor(private readonly loras: readonly Lora[]) {}

  static readonly none = new Loras([]);

  /** What is known of each. */
  get loaded(): LoadedLora[] {
    return this.loras.map(({ info }) => ({ ...info }));
  }

  /** Those that change weights, as pictures name them. */
  get applied(): AppliedLora[] {
    return this.loras
      .filter(({ info }) => info.scale !== 0)
      .map(({ info: { name, scale, hash } }) => ({ name, scale, hash }));
  }

  get patches(): WeightPatches {
    return collectPatches(this.loras.map(({ info, layers }) => ({ layers, scale: info.scale })));
  }

  /**
   * Add a LoRA at the end.
   *
   * @param name that the caller gives it; undefined for that of its file.
   * @throws LoraError if its file does not belong to the model, there is one of the given name, or the
   *   scale is beyond what a layer takes.
   */
  async add(
    source: LoraData,
    manifest: Manifest,
    name: string | undefined,
    scale: number,
  ): Promise<Loras> {
    const chosen = name ?? this.freeName(source.name);
    if (this.find(chosen) !== undefined) {
      throw new LoraError(
        `there is a LoRA of the name ${JSON.stringify(chosen)} already`,
        "give this one another name, or unload the other one first",
      );
    }
    const { layers, changed, unused, hash, triggerWords, fastVariant } = await readLoraFile(
      source.data,
      manifest,
      source.title,
      // A bundle's own LoRA has a file that is named by its digest.
      [source.name, name ?? "", source.folder],
    );
    checkScale(layers, scale);
    const suggested = suggestSettings(fastVariant, manifest);
    const info: LoadedLora = {
      name: chosen,
      scale,
      layers: changed,
      bytes: source.data.byteLength,
      sha256: source.sha256,
      hash,
      unused,
      triggerWords: source.triggerWords ?? triggerWords,
      ...(suggested === undefined ? {} : { suggested }),
    };
    return new Loras([...this.loras, { info, layers }]);
  }

  /**
   * Give LoRAs their scales; those that are not named get 0, as diffusers' `set_adapters` does.
   *
   * @throws OptionError if a name is not that of a LoRA.
   * @throws LoraError if a scale is beyond what a layer takes.
   */
  withScales(scales: Readonly<Record<string, number>>): Loras {
    for (const name of Object.keys(scales)) this.require(name);
    return new Loras(
      this.loras.map(({ info, layers }) => {
        const scale = Object.hasOwn(scales, info.name) ? scales[info.name]! : 0;
        checkScale(layers, scale);
        return { info: { ...info, scale }, layers };
      }),
    );
  }

  /**
   * Leave out a LoRA, or all of them.
   *
   * @throws OptionError if the name is not that of a LoRA.
   */
  without(name: string | undefined): Loras {
    if (name === undefined) return Loras.none;
    this.require(name);
    return new Loras(this.loras.filter(({ info }) => info.name !== name));
  }

  private find(name: string): Lora | undefined {
    return this.loras.find(({ info }) => info.name === name);
  }

  private require(name: string): void {
    if (this.find(name) === undefined) throw noSuchLora(name, this.loaded);
  }

  /** Make a name of a file's that no other one has: without characters that a tag cannot have. */
  private freeName(stem: string): string {
    const plain = stem
      .replaceAll(/[^\p{L}\p{N}._ -]+/gu, " ")
      .trim()
      .slice(0, LONGEST_NAME)
      .trim();
    const wanted = isLoraName(plain) ? plain : "lora";
    let name = wanted;
    for (let count = 2; this.find(name) !== undefined; count++) name = `${wanted}-${count}`;
    return name;
  }
}
