/** Serves a bundle for the toy pipeline: a manifest and one file that holds a colour. */

import { createServer } from "node:http";

import { sha256 } from "../src/bundle/sha256";
import { SCHEMA_VERSION } from "../src/util/constants.generated";

/** Width and height of the pictures. */
const SIZE = [2, 1];

/** What the bundle holds. */
interface ToyBundle {
  pipeline: string;
  /** Red, green and blue. */
  colour: number[];
  /** What the server sends in place of the colour. */
  served?: number[];
}

/** Run work with the address of a toy bundle's manifest, and the paths that are requested. */
export async function withToyBundle(
  { pipeline, colour, served = colour }: ToyBundle,
  work: (manifestUrl: string, requested: string[]) => Promise<void>,
): Promise<void> {
  const bytes = Uint8Array.from(colour);
  const manifest = {
    schema_version: SCHEMA_VERSION,
    pipeline,
    model: { name: "toy" },
    library: { file: "colour.bin", bytes: bytes.length, sha256: await sha256(bytes.buffer) },
    tokenizers: {},
    latent_space: { scale_factor: 1 },
    components: {},
    conditioning: { encoders: [], empty_negative: "encode" },
    entry_points: [
      { name: "denoise", role: "denoiser", component: null, size: SIZE, kernels: ["one", "two"] },
      { name: "encode", role: "vae_encoder", component: null, size: SIZE, kernels: [] },
    ],
    defaults: { steps: 4, guidance_scale: 1, eta: 0, size: SIZE },
    noise_schedule: { kind: "discrete" },
    schedulers: { default: "euler", available: { euler: { max_steps: 100, min_steps: 1 } } },
  };
  const requested: string[] = [];
  const server = createServer((request, response) => {
    requested.push(request.url!);
    const isManifest = request.url === "/manifest.json";
    response.setHeader(
      "Content-Type",
      isManifest ? "application/json" : "application/octet-stream",
    );
    response.end(isManifest ? JSON.stringify(manifest) : Uint8Array.from(served));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    await work(`http://127.0.0.1:${port}/manifest.json`, requested);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
