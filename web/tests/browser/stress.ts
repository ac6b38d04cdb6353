/**
 * Draws many pictures in a row and swaps models, for tests/e2e/test_stress.py, which evaluates this
 * program in a page of a bundle and calls `wsdStress`. Results are JSON.
 */

import { importModule } from "../../src/driver/import_module";
import type { StableDiffusionPipeline, Usage } from "../../src/index";
import type * as Client from "../../src/index";

let pipe: StableDiffusionPipeline | undefined;

/** Load a model in the place of the one that is loaded, which is unloaded. */
async function load(manifest: string): Promise<void> {
  const client = (await importModule("/client.js")) as typeof Client;
  await pipe?.unload();
  pipe = await client.StableDiffusionPipeline.fromPretrained(manifest);
}

/** Draw pictures of one step one after another, each with its own prompt and seed. */
async function draw(count: number): Promise<Usage[]> {
  const held: Usage[] = [];
  for (let seed = 0; seed < count; seed++) {
    const { latents } = await pipe!.generate(`star ${seed}`, { seed, numInferenceSteps: 1 });
    if (!latents.every(Number.isFinite)) throw new Error(`picture ${seed} is not finite`);
    held.push(await pipe!.usage());
  }
  return held;
}

Object.assign(globalThis, { wsdStress: { load, draw } });
