/** Manifests of models that have the layers of a table, for tests of LoRAs. */

import type { Manifest, ParameterRecord } from "../../src/bundle/manifest";

/** Component → name of a parameter → PyTorch's shape. */
export type Layers = Record<string, Record<string, number[]>>;

function store(name: string, shape: number[]): ParameterRecord {
  const [rows, inputs, ...kernel] = shape;
  const stored = shape.length === 4 ? [rows!, ...kernel, inputs!] : shape;
  return { name, shape: stored, dtype: "float32", offset: 0, bytes: 0 };
}

/** Make a manifest with what reading a LoRA needs of one. */
export function modelOf(layers: Layers, family = "tiny"): Manifest {
  const components = Object.entries(layers).map(([id, parameters]) => [
    id,
    {
      role: id === "unet" || id === "transformer" ? "denoiser" : "text_encoder",
      records: Object.entries(parameters).map(([name, shape]) => store(name, shape)),
    },
  ]);
  const encoders = Object.keys(layers).filter((id) => id.startsWith("text_encoder"));
  const manifest = {
    model: { name: family, family },
    components: Object.fromEntries(components) as unknown,
    entry_points: [],
    conditioning: { encoders },
    tokenizers: Object.fromEntries(encoders.map((id) => [id, { max_length: 5 }])),
  };
  return manifest as unknown as Manifest;
}
