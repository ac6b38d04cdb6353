/**
 * The names by which files of LoRAs know the layers of a transformer of text and picture, Stable
 * Diffusion 3.5's. wsd/models/sd35/adapter_names.py says whose each spelling is.
 */

import {
  SWAPPED_IN_LAST_BLOCK,
  SWAPPED_TOP,
  TRANSFORMER_HEADS,
  TRANSFORMER_LAYERS,
  TRANSFORMER_TOP,
} from "../util/constants.generated";
import { ALL_ROWS } from "./rows";
import type { RowOrder } from "./rows";

const BLOCK = /^transformer_blocks\.(\d+)\.(.+)$/;
/** Both halves of the rows, in the other order. */
const SWAPPED: RowOrder = { pieces: 2, order: [1, 0] };

/** diffusers' name of a layer in a block → where the original code has it. */
const IN_BLOCK = new Map<string, { side: string; layer: string; rows: RowOrder }>();
for (const [side, layers] of Object.entries(TRANSFORMER_LAYERS)) {
  for (const [layer, own] of Object.entries<string>(layers)) {
    IN_BLOCK.set(own, { side, layer, rows: ALL_ROWS });
  }
}
for (const [side, layers] of Object.entries(TRANSFORMER_HEADS)) {
  for (const [layer, heads] of Object.entries<readonly string[]>(layers)) {
    heads.forEach((own, place) =>
      IN_BLOCK.set(own, { side, layer, rows: { pieces: heads.length, order: [place] } }),
    );
  }
}
const OUTSIDE = new Map<string, string>(
  Object.entries(TRANSFORMER_TOP).map(([name, own]) => [own, name]),
);

/** Whether a denoiser's parameters are those of such a transformer, and not of a UNet. */
export function isTransformer(names: readonly string[]): boolean {
  return names.some((name) => BLOCK.test(name));
}

/** Return what spells the layers of a transformer. */
export function transformerNames(
  modules: readonly string[],
): (module: string) => [string, RowOrder][] {
  const numbers = modules.map((module) => Number(BLOCK.exec(module)?.[1] ?? -1));
  const last = Math.max(...numbers);
  return (module) => {
    const flat = flatten(module);
    const own: [string, RowOrder][] = [
      `transformer.${module}`,
      module,
      `lora_transformer_${flat}`,
      `lycoris_${flat}`,
    ].map((name) => [name, ALL_ROWS]);
    const original = originalOf(module, last);
    if (original === undefined) return own;
    const [name, rows] = original;
    return [
      ...own,
      [`lora_unet_${flatten(name)}`, rows],
      [`diffusion_model.${name}`, rows],
      [`model.diffusion_model.${name}`, rows],
    ];
  };
}

/** Find the layer of the original code that has a layer of diffusers' as its rows. */
function originalOf(module: string, last: number): [string, RowOrder] | undefined {
  const [, number, layer] = BLOCK.exec(module) ?? [];
  if (layer === undefined) {
    const name = OUTSIDE.get(module);
    return name === undefined ? undefined : [name, module === SWAPPED_TOP ? SWAPPED : ALL_ROWS];
  }
  const found = IN_BLOCK.get(layer);
  if (found === undefined) return undefined;
  const isSwapped = Number(number) === last && layer === SWAPPED_IN_LAST_BLOCK;
  return [
    `joint_blocks.${number!}.${found.side}_block.${found.layer}`,
    isSwapped ? SWAPPED : found.rows,
  ];
}

function flatten(name: string): string {
  return name.replaceAll(".", "_");
}
