/** The list of loaded LoRAs: their names, and what is known of each. */

import { expect, it } from "vitest";

import { Loras } from "../../src/worker/loras";
import type { LoraData } from "../../src/worker/lora_source";
import { modelOf } from "../adapters/adapter_models";
import { writeSafetensors } from "../safetensors_file";

const LAYER = "down_blocks.0.resnets.0.conv1";
const manifest = modelOf({ unet: { [`${LAYER}.weight`]: [2, 2, 3, 3] } });
Object.assign(manifest, { schedulers: { default: "lcm", available: { lcm: {} } } });
const matrix = (...shape: number[]): { shape: number[]; values: number[] } => {
  return { shape, values: Array<number>(shape.reduce((one, other) => one * other)).fill(0.5) };
};
const source = (name: string): LoraData => ({
  data: writeSafetensors({
    [`unet.${LAYER}.lora_A.weight`]: matrix(1, 2, 3, 3),
    [`unet.${LAYER}.lora_B.weight`]: matrix(2, 1, 1, 1),
  }),
  ...{ sha256: "0".repeat(64), title: `${name}.safetensors`, name, folder: "" },
  triggerWords: undefined,
});
const names = (loras: Loras): string[] => loras.loaded.map(({ name }) => name);

it("names that come from files are numbered; a given one is refused if it is taken", async () => {
  let loras = Loras.none;
  for (const name of ["style", "style", "a/b", "x".repeat(200), "x".repeat(200)])
    loras = await loras.add(source(name), manifest, undefined, 0);
  const long = "x".repeat(90);
  expect(names(loras)).toEqual(["style", "style-2", "a b", long, `${long}-2`]);
  await expect(loras.add(source("other"), manifest, "style", 0)).rejects.toThrow(
    'there is a LoRA of the name "style" already',
  );
});

it("what suits a fast variant is told, and nothing of another LoRA", async () => {
  const loras = await (
    await Loras.none.add(source("pixel"), manifest, undefined, 1)
  ).add(source("pytorch_lora_weights lcm"), manifest, "mine", 1);
  const suggested = {
    fastVariant: "lcm-lora",
    scheduler: "lcm",
    numInferenceSteps: 4,
    guidanceScale: 1,
    eta: 0,
  };
  expect(loras.loaded.map((lora) => lora.suggested)).toEqual([undefined, suggested]);
  // Of a file that is named by its digest, as a bundle's own LoRAs are.
  const own = await Loras.none.add(source(`lora.${"0".repeat(64)}`), manifest, "LCM-LoRA", 1);
  expect(own.loaded[0]!.suggested).toEqual(suggested);
});
